"""Figures in two themes: drawn once on light, once on dark, shown by the theme of the page.

A figure function is written as ``draw(fig, theme, data, ...)`` and decorated with :func:`figure`.
Called as ``draw(data, ..., alt="…")`` it returns a :class:`ThemedFigure`.
"""

import base64
import functools
import html
import inspect
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import matplotlib as mpl
from matplotlib.figure import Figure

from icl_lib.palette import ROLES, SERIES, Theme, color

SVG_LIMIT = 200_000
"""Bytes above which a figure is written as PNG: many thousand points make an SVG heavy."""

# IDs in an SVG come from this salt, so that the same data give the same bytes.
SVG_SALT = "icl-book"


def style(theme: Theme) -> dict:
    """Return the matplotlib settings of the book for one theme."""
    role = ROLES[theme]
    return {
        "font.family": ["DejaVu Sans"],
        "font.size": 11,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "axes.edgecolor": role["muted"],
        "axes.labelcolor": role["text"],
        "axes.titlecolor": role["text"],
        "axes.titlesize": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.prop_cycle": mpl.cycler(color=[role[name] for name in SERIES]),
        "grid.color": role["grid"],
        "grid.linewidth": 0.8,
        "text.color": role["text"],
        "xtick.color": role["muted"],
        "ytick.color": role["muted"],
        "xtick.labelcolor": role["text"],
        "ytick.labelcolor": role["text"],
        "lines.linewidth": 2.0,
        "legend.frameon": False,
        "svg.fonttype": "path",
        "svg.hashsalt": SVG_SALT,
    }


@dataclass(frozen=True)
class ThemedFigure:
    """One figure as two pictures, with the sentence that stands for it.

    Attributes
    ----------
    light, dark
        Encoded pictures.
    mime
        ``image/svg+xml`` or ``image/png``.
    alt
        What a reader who cannot see the figure is told.
    width, height
        Size in CSS pixels.
    """

    light: bytes = field(repr=False)
    dark: bytes = field(repr=False)
    mime: str
    alt: str
    width: int
    height: int

    def _image(self, theme: Theme) -> str:
        data = base64.b64encode(self.light if theme == "light" else self.dark).decode("ascii")
        hidden = "display:none;" if theme == "dark" else ""
        alt = html.escape(self.alt, quote=True)
        return (
            f'<img class="icl-{theme}" src="data:{self.mime};base64,{data}" '
            f'alt="{alt}" width="{self.width}" height="{self.height}" '
            f'style="{hidden}background:{color("background", theme)};max-width:100%;height:auto">'
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        pictures = self._image("light") + self._image("dark")
        return {
            "text/html": f'<div class="icl-figure">{pictures}</div>',
            "text/plain": f"Figure: {self.alt}",
        }


def _encode(fig: Figure) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = re.sub(rb"[ \t]+\n", b"\n", buffer.getvalue())
    if len(svg) <= SVG_LIMIT:
        return "image/svg+xml", svg
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=192, metadata={"Software": None})
    return "image/png", buffer.getvalue()


def check_alt(alt: str) -> str:
    """Return ``alt`` if it is a sentence; raise otherwise.

    Raises
    ------
    ValueError
        If it has fewer than 20 characters or fewer than four words: "plot" tells nobody anything.
    """
    words = alt.split()
    if len(alt.strip()) < 20 or len(words) < 4:
        raise ValueError(f"alt must be a sentence that tells what the figure shows, got {alt!r}")
    return " ".join(words)


def figure(size: tuple[float, float] = (6.4, 3.8)) -> Callable[[Callable], Callable]:
    """Turn ``draw(fig, theme, ...)`` into ``draw(..., alt=…) -> ThemedFigure``.

    Parameters
    ----------
    size
        Width and height in inches; one inch is 100 CSS pixels on the page.
    """

    def decorate(draw: Callable[..., None]) -> Callable[..., ThemedFigure]:
        @functools.wraps(draw)
        def drawn(*args, alt: str, **options) -> ThemedFigure:
            alt = check_alt(alt)
            pictures: dict[str, tuple[str, bytes]] = {}
            for theme in ("light", "dark"):
                with mpl.rc_context(style(theme)):
                    fig = Figure(figsize=size, layout="constrained")
                    draw(fig, theme, *args, **options)
                    pictures[theme] = _encode(fig)
            mime = pictures["light"][0]
            if pictures["dark"][0] != mime:
                raise RuntimeError("the two themes of a figure must have the same format")
            width, height = (round(100 * inches) for inches in size)
            return ThemedFigure(pictures["light"][1], pictures["dark"][1], mime, alt, width, height)

        signature = inspect.signature(draw)
        shown = list(signature.parameters.values())[2:]
        extra = inspect.Parameter("alt", inspect.Parameter.KEYWORD_ONLY, annotation=str)
        at = next((i for i, p in enumerate(shown) if p.kind is p.VAR_KEYWORD), len(shown))
        drawn.__signature__ = signature.replace(
            parameters=[*shown[:at], extra, *shown[at:]], return_annotation=ThemedFigure
        )
        return drawn

    return decorate
