"""What published percentages leave open: counts, the base rate of Rec2FTP, and its interval.

The paper prints accuracies to a tenth of a per cent and Rec2FTP to a hundredth. With the number of
examples that is often enough to find the counts behind them, and always enough for bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from icl_lib.meta.nulls import least_base_rate, most_base_rate
from icl_lib.meta.published import PARTS, published
from icl_lib.meta.rates import Share

EXAMPLES: Mapping[str, int] = MappingProxyType(
    {"sst2": 872, "sst5": 1101, "mr": 1066, "subj": 2000, "agnews": 2000, "cb": 56}
)
"""Validation examples that the paper's code reads: at most 2,000, where AGNews has 7,600."""

ROUNDING = 1e-9


@dataclass(frozen=True)
class Reported:
    """The printed percentages of one model on one data set.

    Attributes
    ----------
    examples
        How many were asked.
    zero_shot, finetuned, in_context
        Accuracies, to a tenth of a per cent.
    rec2ftp
        To a hundredth.

    Raises
    ------
    ValueError
        If no counts of examples give these percentages.

    Explained in: 17_chance
    """

    examples: int
    zero_shot: float
    finetuned: float
    in_context: float
    rec2ftp: float

    def __post_init__(self) -> None:
        for name in ("zero_shot", "finetuned", "in_context"):
            self._right(name)
        if not self.corrected():
            raise ValueError(f"no counts of {self.examples} examples give {self}")

    def _right(self, name: str) -> tuple[int, int]:
        """Return the fewest and the most right answers that round to an accuracy."""
        wanted = getattr(self, name)
        near = range(
            int(self.examples * (wanted - 0.1) / 100), int(self.examples * (wanted + 0.1) / 100) + 2
        )
        fits = [k for k in near if abs(100 * k / self.examples - wanted) <= 0.05 + ROUNDING]
        if not fits:
            raise ValueError(f"no count of {self.examples} examples is {wanted} per cent")
        return fits[0], fits[-1]

    @property
    def wrong(self) -> int:
        """The fewest examples that zero-shot can have got wrong."""
        return self.examples - self._right("zero_shot")[1]

    def corrected(self) -> list[Share]:
        """Return every pair of counts that rounds to the printed Rec2FTP.

        Each is a share: of ``n`` examples that finetuning corrects, ICL gets ``hits`` right. n is
        at least the gain of finetuning, at most what zero-shot gets wrong.
        """
        (least, most), (low, high) = self._right("zero_shot"), self._right("finetuned")
        found = []
        for n in range(max(1, low - most), min(high, self.examples - least) + 1):
            hits = round(self.rec2ftp * n / 100)
            if abs(100 * hits / n - self.rec2ftp) <= 0.005 + ROUNDING:
                found.append(Share(hits, n))
        return found

    def base_rate(self) -> tuple[float, float]:
        r"""Return the lowest and the highest base rate that the accuracies leave possible.

        .. math:: \frac{a_{ICL} - a_{ZSL}}{1 - a_{ZSL}} \;\le\; b \;\le\;
            \min\Bigl(1, \frac{a_{ICL}}{1 - a_{ZSL}}\Bigr)

        Roundings go to the wider side.
        """
        right, (few, many) = self._right("zero_shot"), self._right("in_context")
        n = self.examples
        low = min(least_base_rate(z / n, few / n) for z in right)
        return low, max(most_base_rate(z / n, many / n) for z in right)

    @property
    def if_no_easier(self) -> float:
        """The highest base rate if ICL is no better where zero-shot errs than where it does not.

        Then its accuracy on the errors is at most its accuracy on all examples. Plausible, and
        not known.
        """
        return self._right("in_context")[1] / self.examples

    def verdict(self) -> str:
        """Return whether the printed Rec2FTP is above its base rate, as far as can be known.

        ``above`` if the lowest end of its interval, over all counts that fit, is above the highest
        base rate possible; ``likely above`` if it is above that under the assumption of
        :attr:`if_no_easier`; ``unknown`` otherwise.
        """
        lowest = min(share.low for share in self.corrected())
        if lowest > self.base_rate()[1]:
            return "above"
        return "likely above" if lowest > self.if_no_easier else "unknown"


def reported(size: str) -> dict[str, Reported]:
    """Return the printed percentages of one of the paper's models by data set.

    Raises
    ------
    KeyError
        If the paper has no such model.

    Source: Dai et al. (2023), tables 1 and 2.

    Explained in: 17_chance
    """
    names = ("zero-shot", "finetuned", "in-context", "rec2ftp")
    tables = [published(name, size) for name in names]
    return {part: Reported(EXAMPLES[part], *(t[part] for t in tables)) for part in PARTS}
