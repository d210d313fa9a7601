"""Measure three representative pages with Lighthouse on desktop, and write the scores.

Needs Node (``npx`` fetches Lighthouse) and Chromium. The result goes to ``benchmarks`` and is shown
on the page about how the book was built.
"""

import functools
import gzip
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading

from common import BUILD, ROOT, SITE

VERSION = "lighthouse@13.5.0"
PAGES = ("index.html", "notebooks/05_dual_form.html", "book/scoreboard.html")
GOALS = {"performance": 95, "accessibility": 100, "best-practices": 100, "seo": 100}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Compressing(http.server.SimpleHTTPRequestHandler):
    """Serve text with gzip, as every real host does."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = self.translate_path(self.path)
        path = os.path.join(path, "index.html") if os.path.isdir(path) else path
        kind = self.guess_type(path)
        text = kind.startswith("text/") or "javascript" in kind or "svg" in kind or "json" in kind
        if not os.path.isfile(path) or not text:
            super().do_GET()
            return
        with open(path, "rb") as file:
            body = gzip.compress(file.read(), 6)
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def scores(address: str, browser: str) -> dict[str, int]:
    """Return the four scores of one page."""
    target = BUILD / "lighthouse.json"
    command = ["npx", "--yes", VERSION, address, "--preset=desktop", "--quiet", "--output=json"]
    command += [f"--output-path={target}"]
    command += ["--chrome-flags=--headless=new --no-sandbox --disable-gpu --disable-quic"]
    environment = {**os.environ, "CHROME_PATH": browser}
    subprocess.run(command, check=True, env=environment, cwd=ROOT, timeout=300)
    found = json.loads(target.read_text("utf-8"))["categories"]
    return {name: round(100 * found[name]["score"]) for name in GOALS}


def main() -> int:
    """Measure, print and write; return 1 if a goal is missed."""
    browser = next((p for p in map(shutil.which, BROWSERS) if p), None)
    if browser is None or shutil.which("npx") is None:
        print("make lighthouse needs Chromium and Node (npx) on the PATH.")
        return 1
    handler = functools.partial(Compressing, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = [p for p in PAGES if (SITE / p).exists()]
    table = {p: scores(f"http://localhost:{server.server_port}/{p}", browser) for p in pages}
    server.shutdown()
    for page, row in table.items():
        print(page, *(f"{name} {value}" for name, value in row.items()), sep="  ")
    target = ROOT / "benchmarks" / "lighthouse.json"
    target.write_text(json.dumps({"version": VERSION, "pages": table}, indent=1) + "\n", "utf-8")
    missed = any(row[name] < goal for row in table.values() for name, goal in GOALS.items())
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
