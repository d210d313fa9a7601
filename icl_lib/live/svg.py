"""A few lines of SVG for the still pictures; colours are CSS variables and follow the theme."""

import html
from collections.abc import Iterable, Sequence

from icl_lib.palette import color


def paint(role: str) -> str:
    """Return the CSS colour of a role, with the light one for pages without the stylesheet."""
    return f"var(--icl-{role}, {color(role)})"


def node(tag: str, content: str = "", **attributes) -> str:
    """Return one element; ``stroke_width=2`` becomes ``stroke-width="2"``, None is left out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(_text(value), quote=True)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{written}>{content}</{tag}>"


def svg(width: float, height: float, alt: str, parts: Iterable[str]) -> str:
    """Return the whole picture; ``alt`` is what a reader who cannot see it is told."""
    return node(
        "svg",
        "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        role="img",
        aria_label=alt,
    )


def text(x, y, content, *, anchor="start", role="text", size=12) -> str:
    """Return a line of text."""
    return node(
        "text",
        html.escape(str(content)),
        x=x, y=y, text_anchor=anchor, fill=paint(role), font_size=size,
    )  # fmt: skip


def rect(x, y, width, height, role, *, opacity=None) -> str:
    """Return a filled rectangle."""
    return node(
        "rect", x=x, y=y, width=width, height=height, fill=paint(role), fill_opacity=opacity
    )


def line(x1, y1, x2, y2, role="muted", *, width=1, dash=None) -> str:
    """Return a straight line."""
    return node(
        "line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=paint(role), stroke_width=width,
        stroke_dasharray=dash,
    )  # fmt: skip


def polyline(points: Sequence[tuple[float, float]], role="query", *, width=2, dash=None) -> str:
    """Return a line through points."""
    joined = " ".join(f"{_text(x)},{_text(y)}" for x, y in points)
    return node(
        "polyline", points=joined, fill="none", stroke=paint(role), stroke_width=width,
        stroke_dasharray=dash,
    )  # fmt: skip


def circle(x, y, radius, role="query", *, opacity=None) -> str:
    """Return a filled dot."""
    return node("circle", cx=x, cy=y, r=radius, fill=paint(role), fill_opacity=opacity)


def _text(value) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
