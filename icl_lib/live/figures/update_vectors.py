"""Two updates of one output: their similarity raw, normalised first, and by chance."""

import functools
import math

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure

SHORTEST, LONGEST, FARTHEST = 0.1, 10.0, 4.0
DIMENSIONS, PAIRS, SEED = 64, 800, 17
DOTS = (0.25, 0.5, 1.0, math.sqrt(3), 3.0, 6.0, 10.0)


class UpdateVectors(BookFigure):
    """The similarity of an in-context and a finetuning update, and what chance would give.

    The zero-shot output z has length 1. Both updates are at right angles to it: each has a part
    of its own, ρ and ρ′ long with an angle θ between them, and a shift σ that both share. With
    t² = ρ² + σ², t′² = ρ′² + σ² and s = √(1 + t²), s′ = √(1 + t′²)::

        raw    = (ρ ρ′ cos θ + σ²) / (t t′)
        chance = ½ √((1 − 1/s)(1 − 1/s′))
        published = chance + ½ √((1 + 1/s)(1 + 1/s′)) · raw

    Chance is what *independent* updates show once the outputs are divided by their lengths before
    they are subtracted. A mean over random pairs stands beside the closed form.

    Parameters
    ----------
    icl, ft
        ρ and ρ′ at the start.
    angle
        θ in degrees.
    shift
        σ.

    Raises
    ------
    ValueError
        If a number is out of the range of its slider.

    Explained in: 17_chance
    """

    _module = "update_vectors"
    icl = t.Float(math.sqrt(3)).tag(sync=True)
    ft = t.Float(math.sqrt(3)).tag(sync=True)
    angle = t.Float(90.0).tag(sync=True)
    shift = t.Float(0.0).tag(sync=True)

    def __init__(
        self,
        icl: float = math.sqrt(3),
        ft: float = math.sqrt(3),
        *,
        angle: float = 90.0,
        shift: float = 0.0,
    ):
        ranges = {
            "icl": (SHORTEST, icl, LONGEST),
            "ft": (SHORTEST, ft, LONGEST),
            "angle": (0.0, angle, 180.0),
            "shift": (0.0, shift, FARTHEST),
        }
        for name, (low, value, high) in ranges.items():
            if not low <= value <= high:
                raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value}")
        super().__init__(icl=float(icl), ft=float(ft), angle=float(angle), shift=float(shift))

    def numbers(self) -> dict[str, float]:
        """Return every number that the figure shows."""
        one, other = math.hypot(self.icl, self.shift), math.hypot(self.ft, self.shift)
        own = self.icl * self.ft * math.cos(math.radians(self.angle))
        raw, kept = ((x + self.shift**2) / (one * other) for x in (own, 0.0))
        return {
            "raw": raw,
            "normalised": normalised_similarity(one, other, (0.0, 0.0, raw)),
            "chance": chance(one, other),
            "simulated": simulated(one, other),
            "shuffled_raw": kept,
            "shuffled": normalised_similarity(one, other, (0.0, 0.0, kept)),
            "ratio_icl": one,
            "ratio_ft": other,
        }

    def sentence(self) -> str:
        """Return the similarities at the start in words."""
        now = self.numbers()
        return (
            f"Two updates {now['ratio_icl']:.3g} and {now['ratio_ft']:.3g} times as long as the "
            f"zero-shot output have a cosine of {now['raw'] + 0.0:.3f} as they are and of "
            f"{now['normalised']:.3f} if the outputs are normalised before they are subtracted; "
            f"independent updates of these lengths would show {now['chance']:.3f}."
        )

    def picture(self) -> str:
        """Return chance against the length of the updates, and where these two stand."""
        left, top, right, bottom = 44, 20, 404, 220
        now = self.numbers()

        def at(length: float, value: float) -> tuple[float, float]:
            share = math.log(length / SHORTEST) / math.log(LONGEST / SHORTEST)
            return left + share * (right - left), bottom - (value + 0.2) / 1.2 * (bottom - top)

        parts = [svg.line(left, bottom, right, bottom)]
        for value in (0, 0.25, 0.5, 0.75, 1):
            y = at(1, value)[1]
            parts += [svg.line(left, y, right, y, "grid"), svg.text(left - 6, y + 4, f"{value:g}",
                      anchor="end", role="muted")]  # fmt: skip
        for length in (0.1, 0.3, 1, 3, 10):
            place = at(length, 0)[0]
            parts.append(svg.text(place, bottom + 16, f"{length:g}", anchor="middle", role="muted"))
        grid = [SHORTEST * (LONGEST / SHORTEST) ** (i / 40) for i in range(41)]
        parts.append(svg.polyline([at(x, chance(x, x)) for x in grid], "gold"))
        parts += [svg.circle(*at(x, simulated(x, x)), 4, "gold", opacity=0.4) for x in DOTS]
        here = min(LONGEST, max(SHORTEST, length_for(now["chance"])))
        for name, role in (("chance", "gold"), ("normalised", "error"), ("raw", "neutral")):
            parts.append(svg.circle(*at(here, max(-0.2, now[name])), 5, role))
        words = "length of both updates, zero-shot output = 1"
        parts.append(svg.text((left + right) / 2, bottom + 34, words, anchor="middle"))
        return svg.svg(420, 264, self.sentence(), parts)


def chance(one: float, other: float) -> float:
    """Return what independent updates of these lengths show: ½ √((1 − 1/s)(1 − 1/s′))."""
    first, second = (1 - 1 / math.hypot(1, x) for x in (one, other))
    return math.sqrt(first * second) / 2


def length_for(score: float) -> float:
    """Return how long both updates have to be for a chance of this size."""
    return math.sqrt(1 / (1 - 2 * score) ** 2 - 1)


def normalised_similarity(one: float, other: float, cosines: tuple[float, float, float]) -> float:
    """Return the published similarity of updates with these lengths and cosines.

    ``cosines`` are those of the first with z, of the second with z, and of both with each other.
    """
    a, b, both = cosines
    n, m = (math.sqrt(1 + 2 * x * c + x**2) for x, c in ((one, a), (other, b)))
    c, d = (1 + one * a) / n, (1 + other * b) / m
    together = (1 + one * a + other * b + one * other * both) / (n * m)
    return (together - c - d + 1) / (2 * math.sqrt((1 - c) * (1 - d)))


def simulated(one: float, other: float) -> float:
    """Return the mean of the published similarity over pairs of random directions."""
    drawn = random_pairs()
    return sum(normalised_similarity(one, other, pair) for pair in drawn) / len(drawn)


@functools.cache
def random_pairs(
    dimensions: int = DIMENSIONS, count: int = PAIRS, seed: int = SEED
) -> tuple[tuple[float, float, float], ...]:
    """Return the cosines with z and with each other of random directions, as the page draws them.

    Each number of :func:`uniform` numbers is made normal by Box and Muller's formula.
    """
    numbers, found = uniform(seed), []

    def normal() -> float:
        radius = math.sqrt(-2 * math.log(1 - next(numbers)))
        return radius * math.cos(2 * math.pi * next(numbers))

    for _ in range(count):
        a, b = ([normal() for _ in range(dimensions)] for _ in range(2))
        n, m = math.hypot(*a), math.hypot(*b)
        both = math.fsum(x * y for x, y in zip(a, b, strict=True)) / (n * m)
        found.append((a[0] / n, b[0] / m, both))
    return tuple(found)


def uniform(seed: int):
    """Yield numbers in [0, 1) from a seed, the same as in the browser (mulberry32)."""
    mask, state = 0xFFFFFFFF, seed
    while True:
        state = (state + 0x6D2B79F5) & mask
        x = ((state ^ (state >> 15)) * (state | 1)) & mask
        x = (x ^ (x + ((x ^ (x >> 7)) * (x | 61)))) & mask
        yield ((x ^ (x >> 14)) & mask) / 4294967296
