"""The ledger of claims: what was published or derived, and what the book measured.

Each claim stands in ``icl_lib/ledger/<chapter>.toml`` with its statement, value, tolerance and
source. A chapter calls :func:`check` with its own measurement. The result is printed and stored in
the output of the cell, from which the scoreboard page is made: no file is written.
"""

import functools
import html
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Literal

MIME = "application/vnd.icl.claim+json"

Kind = Literal["equal", "at_most", "at_least", "relative"]
Verdict = Literal["holds", "fails"]


@dataclass(frozen=True)
class Claim:
    """One entry of the ledger.

    Attributes
    ----------
    id, chapter
        Name of the claim and file stem of the chapter that measures it.
    statement
        One sentence.
    value, kind, tolerance
        ``equal``: |measured − value| ≤ tolerance; ``relative``: the same divided by |value|;
        ``at_most``/``at_least``: measured ≤ value + tolerance / ≥ value − tolerance.
    source
        Where the value was read or how it was derived.
    explanation
        Filled in when the claim fails: what the chapter says about it.
    """

    id: str
    chapter: str
    statement: str
    value: float
    kind: Kind
    tolerance: float
    source: str
    explanation: str = ""

    def deviation(self, measured: float) -> float:
        """Return how far ``measured`` is on the wrong side, in units of the tolerance's kind."""
        gap = measured - self.value
        match self.kind:
            case "equal":
                return abs(gap)
            case "relative":
                return abs(gap) / abs(self.value)
            case "at_most":
                return max(0.0, gap)
            case "at_least":
                return max(0.0, -gap)

    def verdict(self, measured: float) -> Verdict:
        """Return ``holds`` or ``fails``; a NaN or an infinity never holds."""
        if not math.isfinite(measured):
            return "fails"
        return "holds" if self.deviation(measured) <= self.tolerance else "fails"

    @property
    def exact(self) -> bool:
        """Whether the measured number has to be this one, as a count has to."""
        return self.kind == "equal" and self.tolerance == 0

    def target(self) -> str:
        """Return what has to be measured for the claim to hold, in words."""
        match self.kind:
            case "equal" if self.exact:
                return _readable(self.value, 12)
            case "equal":
                return f"{_readable(self.value)} ± {_readable(self.tolerance, 2)}"
            case "relative":
                return f"{_readable(self.value)} ± {100 * self.tolerance:.3g} %"
            case "at_most":
                return f"≤ {_readable(self.value + self.tolerance)}"
            case "at_least":
                return f"≥ {_readable(self.value - self.tolerance)}"

    def show(self, measured: float | None) -> str:
        """Return a measured value for reading; ``None`` is one that is no finite number."""
        if measured is None or not math.isfinite(measured):
            return "not finite"
        return _readable(measured, 12 if self.exact else 6)


def _readable(x: float, digits: int = 6) -> str:
    """Return ``x`` for reading; a large whole number, as a count is, keeps all its digits."""
    whole = math.isfinite(x) and x == int(x) and 1e6 <= abs(x) < 1e15
    return f"{x:,.0f}" if whole else f"{x:.{digits}g}"


@dataclass(frozen=True)
class Record:
    """What a chapter measured for one claim; displays as one line and carries its data along."""

    claim: Claim
    measured: float
    per_seed: tuple[float, ...]
    verdict: Verdict

    def line(self) -> str:
        """Return the sentence that is printed under the cell."""
        runs = f" (mean of {len(self.per_seed)} measurements)" if len(self.per_seed) > 1 else ""
        return (
            f"{self.claim.id}: {self.verdict}, measured {self.claim.show(self.measured)}{runs}, "
            f"claim {self.claim.target()}"
        )

    def as_dict(self) -> dict:
        """Return the record as plain data for the scoreboard."""
        return {
            "claim": asdict(self.claim),
            # JSON has no NaN or infinity; a record of one is a failed claim with no number
            "measured": self.measured if math.isfinite(self.measured) else None,
            "per_seed": [v if math.isfinite(v) else None for v in self.per_seed],
            "verdict": self.verdict,
        }

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        mark = {"holds": "✓", "fails": "✗"}[self.verdict]
        return {
            MIME: self.as_dict(),
            "text/html": (
                f'<p class="icl-claim icl-claim-{self.verdict}" id="claim-{self.claim.id}">'
                f"{mark} {html.escape(self.line())}<br><small>{html.escape(self.claim.statement)} "
                f"Source: {html.escape(self.claim.source)}</small></p>"
            ),
            "text/plain": f"{mark} {self.line()}",
        }


def _parse(chapter: str, text: str) -> dict[str, Claim]:
    entries = tomllib.loads(text)
    claims = {}
    for name, fields in entries.items():
        fields = {"tolerance": 0.0, **fields}
        kind = fields.get("kind")
        if kind not in {"equal", "relative", "at_most", "at_least"}:
            raise ValueError(f"claim {name!r} of {chapter}: unknown kind {kind!r}")
        fields["value"] = float(fields["value"])
        fields["tolerance"] = float(fields["tolerance"])
        claims[name] = Claim(id=name, chapter=chapter, **fields)
    return claims


@functools.cache
def ledger() -> Mapping[str, Claim]:
    """Return all claims of the book by name, in the order of the chapters.

    Raises
    ------
    ValueError
        If two chapters use one name, or a claim has an unknown kind.
    """
    found: dict[str, Claim] = {}
    folder = resources.files("icl_lib") / "ledger"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    for file in files:
        for name, claim in _parse(file.name[: -len(".toml")], file.read_text("utf-8")).items():
            if name in found:
                raise ValueError(f"two claims are called {name!r}")
            found[name] = claim
    return found


def check(name: str, measured: float | Sequence[float]) -> Record:
    """Compare a measurement with its claim and return the record to be shown.

    Parameters
    ----------
    name
        Name in the ledger.
    measured
        One number, or one for each seed or random draw; the mean is compared, all are kept.

    Returns
    -------
    Record
        Shown by a notebook as one line. A claim that fails is recorded as failed, not raised:
        the chapter then has to explain it.

    Raises
    ------
    KeyError
        If the ledger has no such claim.
    ValueError
        If no number is given.
    """
    claims = ledger()
    if name not in claims:
        raise KeyError(f"the ledger has no claim {name!r}; it has {', '.join(claims)}")
    values = (
        tuple(float(v) for v in measured) if isinstance(measured, Sequence) else (float(measured),)
    )
    if not values:
        raise ValueError(f"claim {name!r} needs at least one measured number, got none")
    mean = math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.nan
    claim = claims[name]
    return Record(claim, mean, values, claim.verdict(mean))


def require(name: str, measured: float | Sequence[float]) -> Record:
    """Do what :func:`check` does and raise if the claim fails: for identities, which must hold.

    Raises
    ------
    AssertionError
        With the same line that would have been printed.
    """
    record = check(name, measured)
    if record.verdict != "holds":
        raise AssertionError(record.line())
    return record
