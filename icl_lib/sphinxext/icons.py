"""The theme's icon font, cut down to the icons that the site shows: 150 kB less on each page."""

import re
from pathlib import Path
from typing import Any

from fontTools import subset
from fontTools.ttLib import TTFont

FONT = "vendor/fontawesome/webfonts/fa-solid-900"
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
CODE = re.compile(r'"\\(f[0-9a-f]{3})"')
ICON_CLASS = re.compile(r"\bfa-[a-z0-9-]+")
FORMATS = re.compile(
    r'url\(([^)]*fa-solid-900)\.woff2\) format\("woff2"\),url\([^)]*\) format\("\w+"\)'
)


def used_icons(styles: str, pages: str) -> set[int]:
    """Return the code points that rules of ``styles`` show.

    A rule for an icon's class counts if the class occurs in ``pages`` (HTML and scripts); a rule
    of the theme for one of its own elements always counts.
    """
    present = set(ICON_CLASS.findall(pages))
    found = set()
    for selector, body in RULE.findall(styles):
        classes = set(ICON_CLASS.findall(selector))
        if not classes or classes & present:
            found |= {int(code, 16) for code in CODE.findall(body)}
            found |= {ord(sign) for sign in body if "\ue000" <= sign <= "\uf8ff"}
    return found


def drop_rules(styles: str, pages: str) -> str:
    """Return ``styles`` without the rules for icons whose class does not occur in ``pages``."""
    present = set(ICON_CLASS.findall(pages))

    def keep(match: re.Match) -> str:
        parts = match[1].split(",")
        unused = all(
            part.strip().startswith(".fa-") and not set(ICON_CLASS.findall(part)) & present
            for part in parts
        )
        return "" if unused and CODE.search(match[2]) else match[0]

    return RULE.sub(keep, styles)


def cut_font(source: Path, target: Path, codes: set[int]) -> None:
    """Write the glyphs for ``codes`` of a TrueType font as WOFF."""
    options = subset.Options(flavor="woff", notdef_outline=True, drop_tables=["FFTM"])
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=codes)
    with TTFont(source) as font:
        cutter.subset(font)
        font.flavor = "woff"
        font.save(target)


def _text(files: list[Path]) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def cut_icons(app: Any, error: Exception | None) -> None:
    """Replace the icon font of the finished site by its used part."""
    site = Path(app.outdir)
    source = site / "_static" / f"{FONT}.ttf"
    if error is not None or app.builder.format != "html" or not source.exists():
        return
    sheets = sorted((site / "_static").rglob("*.css"))
    scripts = [*site.rglob("*.html"), *(site / "_static" / "scripts").glob("*.js")]
    pages = _text(scripts)
    cut_font(source, source.with_suffix(".woff"), used_icons(_text(sheets), pages))
    for sheet in sheets:
        text = sheet.read_text(encoding="utf-8")
        new, count = FORMATS.subn(r'url(\1.woff) format("woff")', text)
        if count:
            sheet.write_text(drop_rules(new, pages), encoding="utf-8")
    source.with_suffix(".woff2").unlink()


def setup(app: Any) -> None:
    """Connect the hook, before unused files are deleted and pages are weighed."""
    app.connect("build-finished", cut_icons, priority=300)
