"""Colours with fixed roles: one role keeps one colour in every figure, plotted or live.

The hues follow the Okabe-Ito set, which stays apart under the common colour-vision deficiencies;
their lightness is set per theme so that text in any of them reaches a contrast of 4.5 : 1.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Theme = Literal["light", "dark"]

ROLES: Mapping[Theme, Mapping[str, str]] = MappingProxyType(
    {
        "light": MappingProxyType(
            {
                "query": "#0072b2",
                "key": "#b84a00",
                "value": "#00735a",
                "error": "#a8457f",
                "gold": "#7d5a00",
                "predicted": "#6a3d9a",
                "neutral": "#5c6670",
                "text": "#1f2328",
                "muted": "#59636e",
                "grid": "#d8dee4",
                "background": "#ffffff",
            }
        ),
        "dark": MappingProxyType(
            {
                "query": "#5db7f0",
                "key": "#ff9a5c",
                "value": "#4fd1a5",
                "error": "#f29cc8",
                "gold": "#f2c14e",
                "predicted": "#c3a6f5",
                "neutral": "#9aa4b2",
                "text": "#e6e9ed",
                "muted": "#a9b1bb",
                "grid": "#3a424c",
                "background": "#14181e",
            }
        ),
    }
)

SERIES = ("query", "key", "value", "error", "gold", "predicted", "neutral")
"""Order in which unrelated series take their colours."""


def color(role: str, theme: Theme = "light") -> str:
    """Return the hex colour of ``role`` in ``theme``.

    Raises
    ------
    KeyError
        If the role is unknown; the message lists the known ones.
    """
    try:
        return ROLES[theme][role]
    except KeyError:
        known = ", ".join(ROLES[theme])
        raise KeyError(f"unknown colour role {role!r}; the palette has {known}") from None
