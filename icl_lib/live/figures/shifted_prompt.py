"""One trained step on other prompts: longer ones, larger inputs, noise."""

import math

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure

LONGEST, SMALLEST, LARGEST, LOUDEST = 200, 0.25, 4.0, 3.0
LINES = (("fixed", "predicted", None), ("best", "query", "7 4"), ("least", "gold", "2 3"))


class ShiftedPrompt(BookFigure):
    """The exact error of a layer that was trained at one length and scale, at any other.

    A layer of linear attention that was trained on N examples with normal inputs takes a step of
    size η = N/(N + d + 1). On M examples with inputs scaled by α and noise σ its error, in units
    of what guessing 0 costs, is::

        1 − 2 η α² + η² α⁴ (1 + (d + 1 + σ²/α²) / M)

    Beside it: the step that is best for the prompt at hand, and least squares.

    Parameters
    ----------
    dimension, trained
        d and N of the training.
    examples, scale, noise
        M, α and σ at the start.

    Raises
    ------
    ValueError
        If a number is out of the range of its slider, or d or N is not positive.

    Explained in: 15_limits
    """

    _module = "shifted_prompt"
    dimension = t.Int(10).tag(sync=True)
    trained = t.Int(10).tag(sync=True)
    examples = t.Int(50).tag(sync=True)
    scale = t.Float(1.0).tag(sync=True)
    noise = t.Float(0.0).tag(sync=True)

    def __init__(
        self,
        dimension: int = 10,
        trained: int = 10,
        *,
        examples: int = 50,
        scale: float = 1.0,
        noise: float = 0.0,
    ):
        for name, value in {"dimension": dimension, "trained": trained}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        ranges = {
            "examples": (1, examples, LONGEST),
            "scale": (SMALLEST, scale, LARGEST),
            "noise": (0.0, noise, LOUDEST),
        }
        for name, (low, value, high) in ranges.items():
            if not low <= value <= high:
                raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value}")
        super().__init__(
            dimension=dimension, trained=trained, examples=examples, scale=float(scale),
            noise=float(noise),
        )  # fmt: skip

    def numbers(self, examples: int | None = None) -> dict[str, float]:
        """Return the errors at the present state, or at another number of examples."""
        count, d = examples or self.examples, self.dimension
        size, noise = self.scale**2, self.noise**2 / self.scale**2
        step = self.trained / (self.trained + d + 1) * size
        spread = 1 + (d + 1 + noise) / count
        least, far = max(0.0, 1 - count / d), abs(count - d) - 1
        if noise:
            least += noise / d * min(count, d) / far if far > 0 else math.inf
        return {
            "fixed": 1 - 2 * step + step**2 * spread,
            "floor": (1 - step) ** 2,
            "best": 1 - 1 / spread,
            "least": least,
        }

    def sentence(self) -> str:
        """Return the errors at the start in words."""
        now = self.numbers()
        least = "infinite" if math.isinf(now["least"]) else f"{now['least']:.3g}"
        return (
            f"With {self.examples} examples and inputs scaled by {self.scale:g}, a layer trained "
            f"at N = {self.trained} has error {now['fixed']:.3g}, the best single step "
            f"{now['best']:.3g}, least squares {least}, where guessing 0 has 1. However long the "
            f"prompt, the layer keeps {now['floor']:.3g}."
        )

    def picture(self) -> str:
        """Return the errors against the number of examples."""
        left, top, right, bottom = 44, 20, 404, 220

        def at(count: int, error: float) -> tuple[float, float]:
            across = left + (count - 1) / (LONGEST - 1) * (right - left)
            return float(across), bottom - min(error, 2.0) / 2 * (bottom - top)

        parts = [svg.line(left, bottom, right, bottom)]
        for error in (0, 0.5, 1, 1.5, 2):
            y = at(1, error)[1]
            parts += [svg.line(left, y, right, y, "grid"), svg.text(left - 6, y + 4, f"{error:g}",
                      anchor="end", role="muted")]  # fmt: skip
        for count in (1, 50, 100, 150, 200):
            parts.append(
                svg.text(at(count, 0)[0], bottom + 16, count, anchor="middle", role="muted")
            )
        for name, role, dash in LINES:
            line = [at(m, self.numbers(m)[name]) for m in range(1, LONGEST + 1)]
            parts.append(svg.polyline(line, role, dash=dash))
            parts.append(svg.circle(*at(self.examples, self.numbers()[name]), 5, role))
        parts.append(svg.text((left + right) / 2, bottom + 34, "examples in the prompt, M",
                              anchor="middle"))  # fmt: skip
        return svg.svg(420, 264, self.sentence(), parts)
