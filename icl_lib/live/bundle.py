"""JavaScript and CSS of the live figures, put together from their sources.

Two functions are for whoever builds a page that holds a figure:

``host_script()``
    one classic script with the custom element ``<icl-figure>`` and the sources of all figures, or
    of those that are named.
    Write it to a file and load it with ``<script defer src=…>``. It works over http and from disk.
``stylesheet()``
    the CSS of figures, their still pictures, control panels and themed pictures.

A third, ``bundle(name)``, is for the notebook: one ES module without imports.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from icl_lib.palette import ROLES

HERE = Path(__file__).parent
KIT_IMPORT = re.compile(
    r"""^import\s*\{([^}]*)\}\s*from\s*["']\./kit\.js["'][ \t]*;?""", re.MULTILINE
)
ANY_IMPORT = re.compile(
    r"""^\s*import\b(?!\s*\.meta).*|\bimport\s*\(.*|^\s*export\b[^;\n]*\bfrom\s*["'].*""",
    re.MULTILINE,
)
EXPORT = re.compile(r"^export\s+((?:async\s+)?function\*?|const|let|class)\s+(\w+)", re.MULTILINE)
SOURCES_SLOT = re.compile(r"/\*ICL_SOURCES\*/ \{[^\n]*\};")


def names() -> tuple[str, ...]:
    """Return the module names of all figures: the files in ``js`` other than kit and host."""
    found = (path.stem for path in (HERE / "js").glob("*.js"))
    return tuple(sorted(name for name in found if name not in {"kit", "host"}))


def kit() -> str:
    """Return the kit as one constant, so that its private names cannot meet a figure's names."""
    source = _read("kit")
    exported = [name for _, name in EXPORT.findall(source)]
    body = EXPORT.sub(r"\1 \2", source)
    _refuse_imports("kit", body)
    if re.search(r"^\s*export\b", body, re.MULTILINE):
        raise ValueError("kit.js: write `export` in front of a function, const, let or class only")
    return f"const __kit = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();\n"


def body(name: str, source: str | None = None) -> str:
    """Return a figure's module with its kit import turned into names taken from ``__kit``.

    Parameters
    ----------
    name
        Module name; also says whose fault an error is.
    source
        Text of the module; read from ``js/<name>.js`` when left out.

    Raises
    ------
    ValueError
        If the module imports anything but ``./kit.js``, or has no default export.
    """
    source = _read(name) if source is None else source
    source = KIT_IMPORT.sub(lambda m: f"const {{{_aliases(m[1])}}} = __kit;", source)
    _refuse_imports(name, source)
    if not re.search(r"^export\s+default\b", source, re.MULTILINE):
        raise ValueError(f"{name}.js: needs `export default {{ render }}`")
    return source


def bundle(name: str) -> str:
    """Return the figure as one ES module without imports, as anywidget's ``_esm`` wants it."""
    return kit() + body(name)


def host_script(figures: Iterable[str] | None = None) -> str:
    """Return the classic script that makes every ``<icl-figure>`` of a page come alive.

    Parameters
    ----------
    figures
        Module names of the figures that the page holds; all there are when left out.

    Raises
    ------
    ValueError
        If there is no figure of such a name.
    """
    chosen = names() if figures is None else sorted(set(figures))
    sources = {"kit": kit(), "figures": {name: body(name) for name in chosen}}
    text = json.dumps(sources, ensure_ascii=False).replace("</", "<\\/")
    script, count = SOURCES_SLOT.subn(lambda _: f"{text};", _read("host"))
    if count != 1:
        raise ValueError("host.js has lost the place where the sources go")
    return script


def stylesheet() -> str:
    """Return the CSS: palette variables for both themes, then the rules of ``css/icl-live.css``."""
    light, dark = (_variables(theme) for theme in ("light", "dark"))
    return "\n".join(
        [
            f':root, html[data-theme="light"], body[data-jp-theme-light="true"] {{ {light} }}',
            f"@media (prefers-color-scheme: dark) {{ html:not([data-theme]) {{ {dark} }} }}",
            f'html[data-theme="dark"], body[data-jp-theme-light="false"] {{ {dark} }}',
            (HERE / "css" / "icl-live.css").read_text("utf-8"),
        ]
    )


def _variables(theme) -> str:
    return " ".join(f"--icl-{role}: {value};" for role, value in ROLES[theme].items())


def _aliases(names_in_braces: str) -> str:
    return re.sub(r"(\w+)\s+as\s+(\w+)", r"\1: \2", names_in_braces)


def _read(name: str) -> str:
    path = HERE / "js" / f"{name}.js"
    if not path.is_file():
        raise ValueError(f"no live figure named {name!r}; there are {', '.join(names())}")
    return path.read_text("utf-8")


def _refuse_imports(name: str, source: str) -> None:
    found = ANY_IMPORT.search(source)
    if found:
        raise ValueError(
            f"{name}.js: a live figure imports from ./kit.js by `import {{ … }}` and nothing else; "
            f"found `{found[0].strip()}`"
        )
