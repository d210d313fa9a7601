"""Execute the notebooks whose inputs changed, each one once, for the tests and the site alike.

A notebook is fresh if its source, icl_lib, the pinned packages and Python are those of its last
execution. The executed copies go to ``_build/executed``; the sources stay without outputs. They
run one after the other, so that the seconds are those of a notebook alone; ``--jobs`` runs several
at a time and shares the cores out among them. One that took too long runs again alone, once: on a
shared machine a notebook can be kept waiting.
"""

import argparse
import json
import os
import re
import resource
import shutil
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import nbformat
import pytest
from common import BUILD, EXECUTED, ROOT, notebook_key, sources, usable_cores

# nbmake does not collect below a folder called _build, so notebooks run here.
RUNNING = ROOT / "_work" / "running"
SECONDS = 90
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Outcome:
    """A pytest plugin that keeps the result of one notebook in place of printing a report."""

    def __init__(self) -> None:
        self.failed = False
        self.text = ""

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        # nbmake reads this option, which the terminal reporter, switched off here, would define
        parser.addoption("--verbose", dest="verbose", default=0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed, self.text = True, str(report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed, self.text = True, str(report.longrepr)


def run_nbmake(copy: Path, timeout: int) -> Outcome:
    """Execute ``copy`` in place with nbmake."""
    outcome = Outcome()
    settings = RUNNING / "pytest.ini"
    options = ["--nbmake", "--overwrite", f"--nbmake-timeout={timeout}", "-c", str(settings)]
    options += [f"--rootdir={RUNNING}", "-p", "no:cacheprovider", "-p", "no:terminal"]
    code = pytest.main([*options, str(copy)], plugins=[outcome])
    if code != 0 and not outcome.failed:
        outcome.failed, outcome.text = True, f"pytest ended with {code!r}"
    return outcome


def describe(cell: dict, number: int) -> str:
    """Return the cell's number among the code cells and its first line of code."""
    lines = [line for line in cell["source"].splitlines() if line.strip()]
    return f"code cell {number} ({lines[0].strip() if lines else 'empty'})"


def _where(traceback: list[str]) -> str:
    """Return the innermost place inside icl_lib that a traceback names, or nothing."""
    text = ANSI.sub("", "\n".join(traceback))
    places = re.findall(r"(icl_lib/[\w/]+\.py):(\d+)", text)
    return f" (in {places[-1][0]}, line {places[-1][1]})" if places else ""


def problems(copy: Path) -> list[str]:
    """Return one message for each cell that raised or that wrote to the error stream."""
    found, number = [], 0
    for cell in nbformat.read(copy, 4).cells:
        if cell.cell_type != "code":
            continue
        number += 1
        for output in cell.outputs:
            if output.output_type == "error":
                message = ANSI.sub("", output.evalue).strip() or "no message"
                where = _where(output.traceback)
                found.append(f"{describe(cell, number)}: {output.ename}: {message}{where}")
            elif output.output_type == "stream" and output.name == "stderr":
                text = ANSI.sub("", output.text).strip()[:400]
                found.append(f"{describe(cell, number)}: wrote to the error stream: {text}")
    return found


def read_record(name: str) -> dict:
    """Return what is known of the last execution of a notebook."""
    record = EXECUTED / f"{name}.json"
    if not (EXECUTED / f"{name}.ipynb").exists() or not record.exists():
        return {}
    return json.loads(record.read_text(encoding="utf-8"))


def _processor_seconds() -> float:
    """Return the processor seconds of this process and of the kernels that have ended."""
    used = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def execute(notebook: Path, key: str, timeout: int) -> tuple[float, list[str]]:
    """Execute one notebook; keep copy and record if it succeeds. Return seconds and problems."""
    copy = Path(shutil.copy(notebook, RUNNING / notebook.name))
    start, before = time.perf_counter(), _processor_seconds()
    outcome = run_nbmake(copy, timeout)
    seconds = time.perf_counter() - start
    found = problems(copy)
    if outcome.failed and not found:
        found = [" ".join(ANSI.sub("", outcome.text).split("\n")[:3])[:1000]]
    if not found:
        EXECUTED.mkdir(parents=True, exist_ok=True)
        shutil.move(copy, EXECUTED / notebook.name)
        worked = _processor_seconds() - before
        record = {"key": key, "seconds": round(seconds, 1), "processor": round(worked, 1)}
        (EXECUTED / f"{notebook.stem}.json").write_text(json.dumps(record), encoding="utf-8")
    return seconds, found


def forget_removed(names: set[str]) -> None:
    """Delete executed copies of notebooks that no longer exist."""
    for file in EXECUTED.glob("*"):
        if file.stem not in names:
            file.unlink()


def prepare_environment(threads: int) -> None:
    """Make the kernel the one of this environment, whatever the user has installed elsewhere."""
    os.environ["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ["PATH"]])
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    for name in ("PYTEST_ADDOPTS", "PYTHONWARNINGS"):
        os.environ.pop(name, None)
    RUNNING.mkdir(parents=True, exist_ok=True)
    (RUNNING / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    BUILD.mkdir(exist_ok=True)


def longest_first(stale: list[Path]) -> list[Path]:
    """Order notebooks by the seconds of their last execution, those never executed by size."""
    return sorted(
        stale, key=lambda p: (-read_record(p.stem).get("seconds", 1e6), -p.stat().st_size)
    )


def execute_all(keys: dict[Path, str], jobs: int, timeout: int) -> dict[Path, list[str]]:
    """Execute notebooks, ``jobs`` at a time; print a line for each; return problems by notebook."""
    failures, slow, width = {}, [], max((len(p.stem) for p in keys), default=0)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running: dict[Future, Path] = {
            pool.submit(execute, p, keys[p], timeout): p for p in longest_first(list(keys))
        }
        for number, done in enumerate(as_completed(running), 1):
            notebook, (seconds, found) = running[done], done.result()
            print(f"[{number}/{len(keys)}] {notebook.stem:<{width}}  ", end="")
            print(f"{'FAILED after' if found else 'executed in'} {seconds:.1f} s", flush=True)
            if found:
                failures[notebook] = found
            elif seconds > SECONDS:
                slow.append(notebook)
        for notebook in slow:
            seconds, found = pool.submit(execute, notebook, keys[notebook], timeout).result()
            print(f"{notebook.stem} once more: {seconds:.1f} s", flush=True)
            if found:
                failures[notebook] = found
    return failures


def main() -> int:
    """Execute what is stale; return 1 if a notebook fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="file stems; all notebooks if none is given")
    parser.add_argument("--force", action="store_true", help="execute fresh notebooks too")
    parser.add_argument("--timeout", type=int, default=300, help="seconds for one cell")
    cores = usable_cores()
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time")
    arguments = parser.parse_args()
    chosen = [p for p in sources() if not arguments.names or p.stem in arguments.names]
    if not chosen:
        print("There is no notebook to execute.")
        return 1
    jobs = max(1, min(arguments.jobs, len(chosen)))
    prepare_environment(max(1, cores // jobs))
    forget_removed({p.stem for p in sources()})
    keys = {p: notebook_key(p) for p in chosen}
    fresh = [p for p in chosen if read_record(p.stem).get("key") == keys[p] and not arguments.force]
    for notebook in fresh:
        seconds = read_record(notebook.stem)["seconds"]
        print(f"{notebook.stem}  unchanged (executed in {seconds:.1f} s)")
    stale = {p: key for p, key in keys.items() if p not in fresh}
    failures = execute_all(stale, jobs, arguments.timeout)
    for notebook, found in sorted(failures.items()):
        print(f"\n{notebook.relative_to(ROOT)} failed:", file=sys.stderr)
        for problem in found:
            print(f"  {problem}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
