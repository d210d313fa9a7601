"""Live figures: one JavaScript module each, a widget in the notebook and an element on the page.

How to add a figure
-------------------
1. Write ``live/js/<name>.js``. It imports from ``./kit.js`` and nothing else, exports its
   mathematics as pure functions, and ends with ``export default { render }``. ``render({model, el,
   signal})`` builds the figure in ``el``. All that it shows is a function of its traits: controls
   write traits, and one ``update`` function reads them and draws.
2. Show each key number with ``readout`` of the kit: it writes the full precision to ``data-exact``.
3. Write ``live/figures/<name>.py``: a :class:`~icl_lib.live.base.BookFigure` with ``_module =
   "<name>"``, its traits tagged ``sync=True``, a constructor that takes tensors or lists, and
   ``picture()`` and ``sentence()`` for readers without JavaScript (:mod:`icl_lib.live.svg` helps).
4. Add its line to ``FIGURES`` below, so that ``live.Name`` finds it.
5. Write ``tests/live/cases/<name>.py`` with a ``CASE``: how to make it, which keys to press on
   which control, and the torch function that gives the numbers expected from the new state.

:func:`~icl_lib.live.panels.panel` is the other half of the room: sliders that drive Python code
through the kernel. Whoever builds pages needs ``bundle.host_script()`` and ``bundle.stylesheet()``.
"""

import importlib

FIGURES = {
    "AttentionTemperature": "attention_temperature",
    "ParameterCount": "parameter_count",
    "Descent": "descent",
    "DualForm": "dual_form",
    "MetaOptimizer": "meta_optimizer",
    "InContextRegression": "in_context_regression",
    "ScaleCurves": "scale_curves",
    "RewardLeash": "reward_leash",
    "BytePairs": "byte_pairs",
    "NextToken": "next_token",
    "ForgettingTradeOff": "forgetting",
    "OneHead": "one_head",
    "DepthSteps": "depth_steps",
    "ShiftedPrompt": "shifted_prompt",
    "TaskPool": "task_pool",
    "DemonstrationsExplorer": "demonstrations_explorer",
    "UpdateVectors": "update_vectors",
    "SimilarityInTraining": "similarity_in_training",
    "ProtocolCost": "protocol_cost",
}
"""Class name and module name of every live figure."""

_OTHERS = {"BookFigure": "icl_lib.live.base", "panel": "icl_lib.live.panels"}

__all__ = ["FIGURES", *FIGURES, *_OTHERS]


def __getattr__(name: str):
    """Import a figure when it is first asked for."""
    if name in FIGURES:
        module = f"icl_lib.live.figures.{FIGURES[name]}"
    elif name in _OTHERS:
        module = _OTHERS[name]
    else:
        raise AttributeError(f"icl_lib.live has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(module), name)
