"""Sweeps: killed and resumed, with a broken cell, in one process, in several, and on Ray."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from icl_lib.meta.choice import PAPER_STEP_SIZES
from icl_lib.meta.result import Result
from icl_lib.meta.sweep import (
    Cell,
    _mark,
    _Work,
    grid,
    groups,
    is_done,
    load_sweep,
    sweep,
)

HERE = Path(__file__).parent
CELLS = grid(["m"], ["a", "b"], [1, 2], [0.1, 0.2])


@pytest.fixture
def work(monkeypatch, tmp_path):
    """Return the preparing function and the log that it writes."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("SWEEP_LOG", str(tmp_path / "log.txt"))
    paths = [str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    import sweep_work

    return sweep_work.prepare, tmp_path / "log.txt"


def lines(log, kind):
    words = [line.split() for line in log.read_text().splitlines()]
    return Counter(name for what, name in words if what == kind)


def test_every_combination_once():
    cells = grid(["m", "n"], ["a"], [1, 2], [0.1, 0.2])
    assert len({c.name for c in cells}) == len(cells) == 8
    assert cells[0] == Cell("m", "a", 1, 0.1)
    assert cells[0].name == Cell("m", "a", 1, 0.1).name
    odd = Cell("hub/../name", "ta sk", 1, 0.1).name
    assert "/" not in odd
    assert " " not in odd
    with pytest.raises(ValueError, match="seeds must name"):
        grid(["m"], ["a"], [], [0.1])
    with pytest.raises(ValueError, match="none twice"):
        grid(["m"], ["a", "a"], [1], [0.1])


def test_the_papers_grid_is_one_list_in_groups_that_share_what_they_can():
    cells = grid(["1.3b", "2.7b"], list("abcdef"), range(1, 8), PAPER_STEP_SIZES)
    assert len({c.name for c in cells}) == 7 * 36 * 6 * 2
    parts = groups(cells)
    assert {len(part) for part in parts} == {36}
    assert [c for part in parts for c in part] == cells
    assert groups(cells[::-1])[0] == tuple(cells[-36:][::-1])


def test_a_broken_cell_is_reported_and_stops_nothing(work, tmp_path):
    prepare, log = work
    told = []
    cells = grid(["m"], ["a", "broken", "unreadable"], [1, 2], [0.5, 0.1])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{cells[0].name}.error.txt").write_text("of an earlier run, now mended")
    report = sweep(prepare, cells, tmp_path / "out", progress=told.append)
    assert len(report.done) == 6
    assert Counter(report.failed.values()) == {
        "RuntimeError: this cell is broken": 2,
        "FileNotFoundError: there is no such task": 4,
    }
    assert "6 cells measured, 0 were there already, 6 failed" in report.summary()
    assert len(told) == 12
    notes = sorted((tmp_path / "out").glob("*.error.txt"))
    assert len(notes) == 6
    assert "Traceback" in notes[0].read_text()
    table = load_sweep(tmp_path / "out").table
    rows = set(zip(table.task, table.seed, table.lr, table.value, strict=True))
    assert rows == {(c.task, c.seed, c.lr, c.seed * c.lr) for c in cells if c.name in report.done}
    assert lines(log, "prepare")["a-1"] == 1  # for both of its step sizes
    again = sweep(prepare, cells, tmp_path / "out")
    assert (len(again.done), len(again.found), len(again.failed)) == (0, 6, 6)
    assert max(lines(log, "end").values()) == 1
    assert lines(log, "prepare")["a-1"] == 1  # nothing was left to do


@pytest.mark.slow
def test_a_worker_killed_by_the_system_takes_nothing_with_it(work, tmp_path):
    """One cell kills its process once, one always."""
    prepare, log = work
    cells = grid(["m"], ["once", "deadly", "a"], [1], [0.1, 0.2])
    told, out = [], tmp_path / "out"
    report = sweep(prepare, cells, out, jobs=2, progress=told.append)
    wanted = {c.name for c in cells if (c.task, c.lr) == ("deadly", 0.1)}
    assert set(report.failed) == wanted
    assert all("the system killed its process" in why for why in report.failed.values())
    assert set(report.done) == {c.name for c in cells} - wanted
    assert len(told) == len(cells)
    assert len(load_sweep(out).table) == len(cells) - 1
    begun = lines(log, "begin")
    deadly, once = (Cell("m", task, 1, 0.1).name for task in ("deadly", "once"))
    assert begun[deadly] == begun[once] == 2  # tried once more, and not again
    assert max(lines(log, "end").values()) == 1
    assert {p.stem.removesuffix(".error") for p in out.glob("*.error.txt")} == wanted


def test_what_kills_its_process_before_the_first_cell_fails_as_a_whole(tmp_path, monkeypatch):
    group, tries = tuple(grid(["m"], ["huge"], [1], [0.1, 0.2])), []

    def dies(self, todo, jobs, kind):
        tries.append(todo)
        _mark(self.out, group).write_text("")
        return False

    monkeypatch.setattr(_Work, "_handed_out", dies)
    work = _Work(lambda *names: None, tmp_path, 2, print)
    work.all([group], None)
    assert set(work.failed) == {cell.name for cell in group}
    assert tries == [[group], [group[:1]]]


@pytest.mark.slow
def test_a_killed_sweep_goes_on_without_repeating_or_losing_a_cell(work, tmp_path, monkeypatch):
    prepare, log = work
    monkeypatch.setenv("SWEEP_SECONDS", "0.4")
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, str(HERE / "sweep_work.py"), str(out)], start_new_session=True
    )
    limit = time.monotonic() + 120
    while sum(is_done(out, c) for c in CELLS) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {c.name for c in CELLS if is_done(out, c)}
    assert done
    assert len(done) < len(CELLS)
    for file in out.glob("[!.]*.parquet"):  # what is there is whole
        if ".examples." not in file.name:
            Result.load(file)
    monkeypatch.setenv("SWEEP_SECONDS", "0")
    report = sweep(prepare, CELLS, out)
    assert set(report.found) == done
    assert set(report.done) == {c.name for c in CELLS} - done
    assert all(lines(log, "begin")[name] == 1 for name in done)
    one, two = load_sweep(out).table, sweep(prepare, CELLS, tmp_path / "whole")
    assert one.equals(load_sweep(tmp_path / "whole").table)  # processes and one process alike
    assert len(two.done) == len(CELLS)


def test_no_results_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no results in"):
        load_sweep(tmp_path)


def test_without_ray_an_address_is_an_error(work, tmp_path, monkeypatch):
    prepare, _ = work
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match="needs Ray"):
        sweep(prepare, CELLS, tmp_path / "out", address="auto")


@pytest.mark.slow
def test_on_ray(work, tmp_path):
    """A real Ray on this machine, reached by its address; one cell kills its process there."""
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'icl-lib[cluster]'")
    prepare, log = work
    cells = grid(["m"], ["a", "broken", "deadly"], [1], [0.2, 0.1])
    (tmp_path / "spent").touch()
    here = ray.init(num_cpus=2, include_dashboard=False)
    try:
        report = sweep(prepare, cells, tmp_path / "out", address=here.address_info["address"])
    finally:
        ray.shutdown()
    assert len(report.done) == 4
    assert {why.partition(":")[0] for why in report.failed.values()} == {
        "RuntimeError", "the system killed its process, perhaps for want of memory",
    }  # fmt: skip
    assert len(load_sweep(tmp_path / "out").table) == 4
    assert lines(log, "prepare")["a-1"] == 1
    assert max(lines(log, "end").values()) == 1
