"""Scripts, styles and fonts that the site carries itself, so that no request leaves it."""

import importlib.metadata
import re
import shutil
from pathlib import Path
from typing import Any

from icl_lib.live.bundle import host_script, stylesheet

TEMPLATES = Path(__file__).parent / "templates"
MATHJAX = "sphinx-mathjax-offline"
# What a page can ask for: the main file, its fonts, and commands that are loaded when first used.
MATHJAX_PARTS = re.compile(
    r"static/mathjax/(tex-chtml\.js|output/chtml/fonts/woff-v2/.*\.woff"
    r"|input/tex/extensions/(?!all-packages|mhchem|bussproofs|physics).*\.js|a11y/assistive-mml\.js)$"
)

FIGURE = re.compile(r'<icl-figure module="(\w+)"')


def copy_mathjax(target: Path) -> int:
    """Copy what pages load of MathJax from its Python package; return the number of files.

    Raises
    ------
    FileNotFoundError
        If the package holds no ``tex-chtml.js``.
    """
    count = 0
    for file in importlib.metadata.files(MATHJAX) or ():
        part = MATHJAX_PARTS.search(file.as_posix())
        if part:
            place = target / part[1]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), place)
            count += 1
    if not (target / "tex-chtml.js").exists():
        raise FileNotFoundError(f"the package {MATHJAX} holds no tex-chtml.js")
    return count


def write_assets(app: Any, config: Any) -> None:
    """Write the generated files beside the output and add them to the static files."""
    folder = Path(app.outdir).parent / "assets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "icl-live.css").write_text(stylesheet(), encoding="utf-8")
    copy_mathjax(folder / "mathjax")
    config.html_static_path.append(str(folder))
    config.templates_path.append(str(TEMPLATES))


def drop_unused(app: Any, error: Exception | None) -> None:
    """Delete what no page asks for: a second format of fonts, source maps, template macros."""
    if error is None and app.builder.format == "html":
        static = Path(app.outdir) / "_static"
        for pattern in ("**/*.ttf", "**/*.map", "*macros.html"):
            for file in static.glob(pattern):
                file.unlink()


def live_pages_only(app: Any, page: str, template: str, context: dict, doctree: Any) -> None:
    """Load, on a page that holds live figures, a script with these figures and no others."""
    names = sorted(set(FIGURE.findall(context.get("body") or "")))
    if names:
        file = Path(app.outdir) / "_static" / f"icl-live.{'.'.join(names)}.js"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(host_script(names), encoding="utf-8")
        app.add_js_file(file.name, loading_method="defer")


def setup(app: Any) -> None:
    """Connect the hooks."""
    app.add_css_file("icl-live.css")
    app.add_css_file("book.css")
    app.add_js_file("book.js", loading_method="defer")
    app.connect("config-inited", write_assets)
    app.connect("html-page-context", live_pages_only, priority=400)
    app.connect("build-finished", drop_unused)
