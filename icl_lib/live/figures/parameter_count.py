"""The parameters of a GPT, part by part, for sizes that the reader chooses."""

import math
from collections.abc import Mapping, Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure

SIZES = ("layers", "width", "heads", "vocabulary", "context")
PARTS = {
    "token": ("token embedding", "gold"),
    "position": ("position embedding", "predicted"),
    "attention": ("attention", "query"),
    "mlp": ("MLP", "key"),
    "norms": ("layer norms", "neutral"),
}


def count(layers: int, width: int, vocabulary: int, context: int) -> dict[str, int]:
    """Return the parameters of each part of a GPT with tied embeddings and biases::

        token      V D              attention  L (4 D² + 4 D)
        position   T D              MLP        L (8 D² + 5 D)
                                    norms      4 L D + 2 D

    The number of heads does not appear: heads share out the width, they do not add to it.

    Explained in: 03_gpt
    """
    return {
        "token": vocabulary * width,
        "position": context * width,
        "attention": layers * (4 * width * width + 4 * width),
        "mlp": layers * (8 * width * width + 5 * width),
        "norms": layers * 4 * width + 2 * width,
    }


class ParameterCount(BookFigure):
    """Sliders for the sizes of a GPT; its parameters part by part, and their memory.

    Parameters
    ----------
    models
        Known models: mappings with ``name`` and the five sizes ``layers``, ``width``, ``heads``,
        ``vocabulary``, ``context``.
    start
        Name of the model shown first; the first one when left out.
    marks
        Names of the models marked on the ruler.

    Raises
    ------
    ValueError
        If no model is given, a size is missing or not a positive integer, or a name is unknown.

    Explained in: 03_gpt
    """

    _module = "parameter_count"
    models = t.List().tag(sync=True)
    preset = t.Unicode("").tag(sync=True)
    layers = t.Int(12).tag(sync=True)
    width = t.Int(768).tag(sync=True)
    heads = t.Int(12).tag(sync=True)
    vocabulary = t.Int(50257).tag(sync=True)
    context = t.Int(1024).tag(sync=True)

    def __init__(
        self,
        models: Sequence[Mapping],
        *,
        start: str | None = None,
        marks: Sequence[str] = (),
    ):
        entries = [_entry(model, marks) for model in models]
        if not entries:
            raise ValueError("expected at least one model, got none")
        names = [entry["name"] for entry in entries]
        for name in (*marks, *([] if start is None else [start])):
            if name not in names:
                raise ValueError(f"unknown model {name!r}; there are {', '.join(names)}")
        first = entries[0 if start is None else names.index(start)]
        super().__init__(
            models=entries, preset=first["name"], **{size: first[size] for size in SIZES}
        )

    def parts(self) -> dict[str, int]:
        """Return the parameters of each part for the present sizes."""
        return count(self.layers, self.width, self.vocabulary, self.context)

    def sentence(self) -> str:
        """Return the count in words."""
        parts = self.parts()
        total = sum(parts.values())
        share = 100 * (parts["attention"] + parts["mlp"]) / total
        name = f"{self.preset} has" if self.preset else "This model has"
        return (
            f"{name} {total:,} parameters, {share:.3g} % of them in its blocks; "
            f"in 16 bits they take {2 * total / 1e9:.3g} GB."
        )

    def picture(self) -> str:
        """Return one bar for each part, on one scale."""
        parts, rows = self.parts(), []
        most = max(parts.values())
        for i, (part, number) in enumerate(parts.items()):
            label, role = PARTS[part]
            y, width = 10 + 28 * i, 180 * number / most
            rows += [
                svg.text(130, y + 15, label, anchor="end"),
                svg.rect(138, y, width, 20, role),
                svg.text(144 + width, y + 15, f"{number:,}", role="muted", size=11),
            ]
        return svg.svg(460, 20 + 28 * len(parts), self.sentence(), rows)


def _entry(model: Mapping, marks: Sequence[str]) -> dict:
    missing = [key for key in ("name", *SIZES) if key not in model]
    if missing:
        raise ValueError(f"a model needs {', '.join(('name', *SIZES))}; {missing[0]!r} is missing")
    for size in SIZES:
        if model[size] != math.floor(model[size]) or model[size] < 1:
            raise ValueError(
                f"{size} of {model['name']} must be a positive integer, got {model[size]}"
            )
    sizes = {size: int(model[size]) for size in SIZES}
    return {"name": str(model["name"]), **sizes, "mark": model["name"] in marks}
