"""Both themes, alt text required, the same bytes for the same data, colours that can be read."""

import base64
import inspect
import itertools
import re

import numpy as np
import pytest

from icl_lib import palette
from icl_lib.plots.themed import SVG_LIMIT, figure


@figure(size=(3, 2))
def line(fig, theme, ys, *, label=""):
    """Draw a line."""
    fig.subplots().plot(ys, color=palette.color("query", theme), label=label)


@figure(size=(3, 2))
def dots(fig, theme, points):
    """Draw one marker for each point."""
    fig.subplots().plot(points[:, 0], points[:, 1], ".", color=palette.color("key", theme))


ALT = "A line that rises from one to three."


def luminance(hex_color):
    channel = np.array([int(hex_color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(a, b):
    hi, lo = sorted((luminance(a), luminance(b)), reverse=True)
    return (hi + 0.05) / (lo + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("role", [*palette.SERIES, "text", "muted"])
def test_role_has_text_contrast_on_its_background(theme, role):
    assert contrast(palette.color(role, theme), palette.color("background", theme)) >= 4.5


# Viénot, Brettel, Mollon 1999: what a dichromat sees, in linear RGB
DICHROMACY = {
    "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


def lab(hex_color, matrix):
    channel = np.array([int(hex_color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(matrix) @ linear, 0, 1)
    xyz = (
        np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        @ linear
        / [0.9505, 1, 1.089]
    )
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", DICHROMACY)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_roles_that_meet_in_one_figure_stay_apart_without_red_or_green(theme, kind):
    together = [
        ("query", "key"),
        ("query", "value"),
        ("error", "query"),
        ("gold", "predicted"),
        ("error", "predicted"),
    ]
    for a, b in together:
        first, second = (lab(palette.color(r, theme), DICHROMACY[kind]) for r in (a, b))
        assert np.linalg.norm(first - second) > 10, (a, b)


def test_all_roles_exist_in_both_themes():
    assert set(palette.ROLES["light"]) == set(palette.ROLES["dark"])
    assert len(set(palette.ROLES["light"].values())) == len(palette.ROLES["light"])


def test_unknown_role_lists_the_known():
    with pytest.raises(KeyError, match="unknown colour role 'mauve'; the palette has query"):
        palette.color("mauve")


def test_figure_carries_two_different_pictures_and_the_alt_text():
    shown = line([1, 3], alt=ALT)._repr_mimebundle_()["text/html"]
    sources = re.findall(
        r'class="icl-(light|dark)" src="data:image/svg\+xml;base64,([^"]+)"', shown
    )
    assert [theme for theme, _ in sources] == ["light", "dark"]
    light, dark = (base64.b64decode(data).decode() for _, data in sources)
    assert palette.color("query", "light") in light
    assert palette.color("query", "dark") in dark
    assert shown.count(f'alt="{ALT}"') == 2
    assert 'width="300" height="200"' in shown


def test_alt_is_required_and_must_say_something():
    with pytest.raises(TypeError, match="alt"):
        line([1, 3])
    for poor in ("", "plot", "loss over time", " " * 40):
        with pytest.raises(ValueError, match="alt must be a sentence"):
            line([1, 3], alt=poor)


def test_alt_is_escaped():
    shown = line([1], alt='He said "a < b" and left.')._repr_mimebundle_()["text/html"]
    assert "&quot;a &lt; b&quot;" in shown


def test_same_data_same_bytes():
    assert line([1, 3], alt=ALT) == line([1, 3], alt=ALT)


def test_heavy_figures_become_png():
    heavy = dots(np.random.default_rng(0).normal(size=(4_000, 2)), alt=ALT)
    assert heavy.mime == "image/png"
    assert heavy.light.startswith(b"\x89PNG")
    assert line([1], alt=ALT).mime == "image/svg+xml"
    assert len(line([1], alt=ALT).light) < SVG_LIMIT


def test_signature_shows_what_a_caller_passes():
    assert list(inspect.signature(line).parameters) == ["ys", "label", "alt"]


def test_every_figure_of_the_book_has_a_docstring_and_alt():
    from icl_lib import plots

    drawn = [f for n, f in vars(plots).items() if n in plots.__all__ and inspect.isfunction(f)]
    for f in itertools.filterfalse(lambda f: f is figure, drawn):
        assert f.__doc__, f.__name__
        assert "alt" in inspect.signature(f).parameters, f.__name__
