"""The Python half of a live figure: its state, its widget, its still picture."""

import html
import json
import math
from numbers import Integral, Real
from typing import ClassVar

import anywidget

from icl_lib.live import bundle

STATE_LIMIT = 200_000
"""Bytes of initial state that a page may carry for one figure."""


def plain(value, name: str = "value"):
    """Return ``value`` as nested lists, numbers, strings and booleans.

    Tensors and arrays are turned by their ``tolist``; this room does not import torch.

    Raises
    ------
    ValueError
        If a number is NaN or infinite: JSON has neither, and no picture shows them.
    TypeError
        If something is no number, string, boolean, list or dictionary.
    """
    if hasattr(value, "tolist"):
        value = value.detach().tolist() if hasattr(value, "detach") else value.tolist()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
        return float(value)
    if isinstance(value, list | tuple):
        return [plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {str(key): plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    raise TypeError(
        f"{name} must be numbers, strings, lists or a tensor, got {type(value).__name__}"
    )


class BookFigure(anywidget.AnyWidget):
    """A live figure: a JavaScript module and its initial state.

    A subclass names its module in ``_module``, declares its state as traits tagged ``sync=True``,
    and implements :meth:`picture` and :meth:`sentence`. Shown in a notebook it is a widget; on the
    static page it is ``<icl-figure>`` with the same JavaScript; without JavaScript its picture and
    sentence stand in its place.
    """

    _module: ClassVar[str] = ""

    def __init_subclass__(cls, **options):
        taken = sorted(
            set(vars(cls)) & {"keys", "layout", "comm", "tooltip", "tabbable", "widgets"}
        )
        if taken:
            raise TypeError(
                f"{cls.__name__}: widgets already use the name {taken[0]!r}; take another"
            )
        super().__init_subclass__(**options)

    def __init__(self, **state):
        super().__init__(**{name: plain(value, name) for name, value in state.items()})

    @property
    def _esm(self) -> str:
        return bundle.bundle(self._module)

    @property
    def _css(self) -> str:
        return bundle.stylesheet()

    def picture(self) -> str:
        """Return an SVG of the initial state, as :mod:`icl_lib.live.svg` draws it."""
        raise NotImplementedError(f"{type(self).__name__} must draw its initial state in picture()")

    def sentence(self) -> str:
        """Return one sentence that says what the initial state shows, with its numbers."""
        raise NotImplementedError(f"{type(self).__name__} must say what it shows in sentence()")

    def state(self) -> dict:
        """Return the traits that the figure itself declares, as plain JSON values.

        Raises
        ------
        ValueError
            If a number is NaN or infinite, or if the state is larger than ``STATE_LIMIT``.
        """
        own = {
            name
            for cls in type(self).__mro__
            if issubclass(cls, BookFigure) and cls is not BookFigure
            for name in cls.class_own_traits(sync=True)
            if not name.startswith("_")
        }
        state = {name: plain(getattr(self, name), name) for name in sorted(own)}
        size = len(json.dumps(state))
        if size > STATE_LIMIT:
            raise ValueError(
                f"the state of {type(self).__name__} has {size} bytes, more than {STATE_LIMIT}; "
                "give it fewer numbers"
            )
        return state

    def html(self) -> str:
        """Return the element for the static page, with the still picture inside."""
        state = html.escape(
            json.dumps(self.state(), sort_keys=True, ensure_ascii=False), quote=True
        )
        return (
            f'<icl-figure module="{self._module}" state="{state}">'
            f'<figure class="icl-still">{self.picture()}'
            f"<figcaption>{html.escape(self.sentence())} With JavaScript switched on, "
            f"you can change it.</figcaption></figure></icl-figure>"
        )

    def _repr_mimebundle_(self, **kwargs):
        shown = super()._repr_mimebundle_(**kwargs)
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        words = f"Live figure: {self.sentence()}"
        return {**data, "text/plain": words, "text/html": self.html()}, metadata
