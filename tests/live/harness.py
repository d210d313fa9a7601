"""What the browser tests of the live figures share: a case, a page, and how numbers are read."""

import importlib.util
import json
import math
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from icl_lib.live.base import BookFigure
from icl_lib.live.bundle import host_script, stylesheet

HERE = Path(__file__).parent
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@dataclass(frozen=True)
class Move:
    """Focus the control with this role and accessible name, press a key some times."""

    role: str
    name: str
    key: str
    times: int = 1


@dataclass(frozen=True)
class Case:
    """One live figure under test.

    Attributes
    ----------
    make
        Builds the figure.
    moves
        Keyboard moves; afterwards the state must differ from the initial one.
    reference
        Computes with torch, from a state as the page reports it, every number that the figure
        shows: ``{data-value name: float or list of floats}``.
    """

    make: Callable[[], BookFigure]
    moves: tuple[Move, ...]
    reference: Callable[[dict], Mapping[str, object]]


def cases() -> dict[str, Case]:
    """Load every ``cases/<name>.py``; each defines one ``CASE``."""
    found = {}
    for path in sorted((HERE / "cases").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"live_case_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found[path.stem] = module.CASE
    return found


def write_page(folder: Path, figure: BookFigure) -> Path:
    """Write a page that holds the figure and nothing else; return its path."""
    return write_html(folder, figure.html())


def write_html(folder: Path, content: str) -> Path:
    """Write a page with the scripts and styles of live figures around some HTML."""
    (folder / "icl-figures.js").write_text(host_script(), "utf-8")
    (folder / "icl-live.css").write_text(stylesheet(), "utf-8")
    page = folder / "index.html"
    page.write_text(
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<title>A live figure</title><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="icl-live.css">'
        "<style>body{font-family:sans-serif;margin:8px;background:#fff}"
        'html[data-theme="dark"] body{background:#14181e;color:#e6e9ed}</style>'
        '<script defer src="icl-figures.js"></script></head>'
        f"<body><main><h1>A live figure</h1>{content}</main></body></html>",
        "utf-8",
    )
    return page


@contextmanager
def served(folder: Path):
    """Serve a folder on this machine; yield its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Visit:
    """A page opened with the network cut: foreign requests and console errors are recorded."""

    def __init__(self, browser, address: str, **context):
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.context = browser.new_context(**{"viewport": WIDE, "color_scheme": "light", **context})
        home = address.rsplit("/", 1)[0] + "/"

        def guard(route):
            if route.request.url.startswith((home, "data:", "blob:")):
                return route.continue_()
            self.foreign.append(route.request.url)
            return route.abort()

        self.context.route("**/*", guard)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )
        self.page.goto(address)

    def ready(self) -> "Visit":
        """Wait until the figure is alive."""
        self.page.wait_for_selector("icl-figure[data-ready]")
        state = self.page.get_attribute("icl-figure", "data-ready")
        assert state == "true", f"the figure did not start: {self.errors}"
        return self

    def state(self) -> dict:
        """Return the traits as the page holds them now."""
        return self.page.evaluate("document.querySelector('icl-figure').state")

    def numbers(self, inside: str = "icl-figure") -> dict[str, object]:
        """Return every key number that the figure shows, at full precision."""
        pairs = self.page.eval_on_selector_all(
            f"{inside} output[data-value]",
            "nodes => nodes.map(n => [n.dataset.value, n.dataset.exact])",
        )
        assert len(dict(pairs)) == len(pairs), "two outputs carry the same data-value"
        return {name: read(exact) for name, exact in pairs}

    def press(self, move: Move) -> None:
        """Do one move with the keyboard alone."""
        control = self.page.get_by_role(move.role, name=move.name, exact=True)
        control.focus()
        for _ in range(move.times):
            self.page.keyboard.press(move.key)

    def close(self) -> None:
        self.context.close()


def read(exact: str) -> object:
    """Read a data-exact attribute: a number, or a JSON list of numbers."""
    return json.loads(exact) if exact.startswith("[") else float(exact)


def flat(value) -> list[float]:
    """Return a number, list or tensor as a flat list of floats."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [x for item in value for x in flat(item)]
    return [float(value)]


def assert_equal_numbers(shown: Mapping, expected: Mapping, tolerance: float = 1e-6) -> None:
    """Compare all numbers that a figure shows with those of torch."""
    assert set(shown) == set(expected), "the figure and the reference name different numbers"
    for name in expected:
        ours, theirs = flat(shown[name]), flat(expected[name])
        assert len(ours) == len(theirs), (
            f"{name}: {len(ours)} numbers shown, {len(theirs)} expected"
        )
        for a, b in zip(ours, theirs, strict=True):
            same = a == b or math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
            assert same, f"{name}: the page shows {a!r}, torch gives {b!r}"
