"""Build the site from the executed notebooks, with warnings as errors, if anything changed."""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from common import (
    BUILD,
    EXECUTED,
    REPORT,
    ROOT,
    SITE,
    digest,
    files_below,
    machine,
    notebook_key,
    sources,
)
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

from icl_lib.claims import MIME

CACHE = BUILD / ".jupyter_cache"
STAMP = BUILD / "site.json"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def site_key() -> str:
    """Return the hash of all that the site is made of."""
    places = ["_config.yml", "_toc.yml", "index.md", "book", "web", "icl_lib", "benchmarks"]
    places += ["constraints.txt", "tools", "notebooks"]
    files = files_below(*(ROOT / p for p in places if (ROOT / p).exists()))
    return digest(files, *(p.read_text("utf-8") for p in sorted(EXECUTED.glob("*.json"))))


def is_fresh(notebook: Path) -> bool:
    """Tell whether the executed copy of a notebook belongs to its present inputs."""
    record = EXECUTED / f"{notebook.stem}.json"
    if not record.exists() or not (EXECUTED / notebook.name).exists():
        return False
    return json.loads(record.read_text("utf-8"))["key"] == notebook_key(notebook)


def write_report() -> None:
    """Write versions, hardware and seconds per notebook for the page that shows them."""
    seconds = {
        p.stem: json.loads((EXECUTED / f"{p.stem}.json").read_text("utf-8"))["seconds"]
        for p in sources()
    }
    report = {**machine(), "notebooks": seconds}
    REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def seed_cache() -> set[int]:
    """Fill a new execution cache from the executed copies; return the keys of its records."""
    shutil.rmtree(CACHE, ignore_errors=True)
    cache = get_cache(CACHE)
    for source in sources():
        notebook = nbformat.read(EXECUTED / source.name, 4)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # timings would make the record match nothing
            for output in cell.get("outputs", ()):
                output.get("data", {}).pop(MIME, None)  # data for the scoreboard, not to be shown
        bundle = CacheBundleIn(notebook, str(source))
        cache.cache_notebook_bundle(bundle, check_validity=True, overwrite=True)
    return {record.pk for record in cache.list_cache_records()}


def run_sphinx(log: Path) -> int:
    """Run Jupyter Book on a clean slate: a page kept from a failed build would hide its warning."""
    for leftover in (SITE, BUILD / ".doctrees", BUILD / "assets"):
        shutil.rmtree(leftover, ignore_errors=True)
    start = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", ".", "-W", "--keep-going"]
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, check=False
        )
    return done.returncode


def complaints(log: str) -> list[str]:
    """Return the lines of a build log that tell what is wrong."""
    marks = ("WARNING", "ERROR", "Error:", "Exception", "CRITICAL")
    return [line for line in log.splitlines() if any(mark in line for mark in marks)]


def build() -> int:
    """Build and report; return 0 if the site is complete."""
    stale = [p.stem for p in sources() if not is_fresh(p)]
    if stale:
        print(f"Not executed as they are now: {', '.join(stale)}. Run tools/execute.py first.")
        return 1
    key = site_key()
    if STAMP.exists() and (SITE / "index.html").exists():
        stamp = json.loads(STAMP.read_text("utf-8"))
        if stamp["key"] == key:
            print(f"site unchanged (built in {stamp['seconds']:.1f} s)")
            return 0
    STAMP.unlink(missing_ok=True)
    start, log = time.perf_counter(), BUILD / "site.log"
    write_report()
    seeded = seed_cache()
    code = run_sphinx(log)
    seconds = round(time.perf_counter() - start, 1)
    text = ANSI.sub("", log.read_text("utf-8", errors="replace"))
    if code != 0:
        print(f"The site build failed after {seconds} s; its full log is _build/site.log.")
        print("\n".join(complaints(text)[:60]) or text[-3000:], file=sys.stderr)
        return 1
    if {record.pk for record in get_cache(CACHE).list_cache_records()} != seeded:
        print("The site build executed a notebook again: its cache entry did not match.")
        return 1
    STAMP.write_text(json.dumps({"key": key, "seconds": seconds}), encoding="utf-8")
    print(f"site built in {seconds} s")
    return 0


def main() -> int:
    """Build the site and say how to open it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    code = build()
    if code == 0:
        page = SITE / "index.html"
        print(f"\nOpen {page}\nor run `make serve` and open http://localhost:{arguments.port}")
    return code


if __name__ == "__main__":
    sys.exit(main())
