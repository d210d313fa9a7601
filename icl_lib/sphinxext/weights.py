"""What a page weighs over the wire: text with gzip, fonts as they are, images aside."""

import gzip
import re
from functools import cache
from pathlib import Path

ADDRESS = re.compile(r'<(?:script|link)\b[^>]*?\b(?:src|href)="([^"]+)"[^>]*>')
STYLE_OR_SCRIPT = re.compile(r'rel="(?:stylesheet|preload)"|<script\b')
# Fonts are fetched when a sign needs them: the icons on every page, these with formulas.
ICON_FONTS = ("_static/vendor/fontawesome/webfonts/fa-solid-900.woff",)
MATH_FONTS = tuple(
    f"_static/mathjax/output/chtml/fonts/woff-v2/MathJax_{name}.woff"
    for name in (
        "Zero", "Main-Regular", "Math-Italic", "AMS-Regular",
        "Size1-Regular", "Size2-Regular", "Size3-Regular", "Size4-Regular",
    )
)  # fmt: skip


@cache
def packed(file: Path) -> int:
    """Return the bytes of a file after gzip; 0 if there is no such file."""
    return len(gzip.compress(file.read_bytes(), 6)) if file.is_file() else 0


def parts(page: Path, site: Path) -> set[Path]:
    """Return the files that a page loads: itself, its styles, its scripts, the usual fonts."""
    text = page.read_text(encoding="utf-8")
    found = {page.resolve()}
    for match in ADDRESS.finditer(text):
        if STYLE_OR_SCRIPT.search(match[0]) and "://" not in match[1]:
            found.add((page.parent / match[1].split("?")[0].split("#")[0]).resolve())
    fonts = ICON_FONTS + (MATH_FONTS if "mathjax/tex-chtml.js" in text else ())
    return found | {(site / font).resolve() for font in fonts}


def weigh(site: Path) -> dict[str, int]:
    """Return the packed bytes of every page below ``site``."""
    pages = sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)
    return {
        page.relative_to(site).as_posix(): sum(packed(f) for f in parts(page, site))
        for page in pages
    }
