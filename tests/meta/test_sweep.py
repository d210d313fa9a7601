"""Sweeps: killed and resumed, with a broken cell, in one process, in several, and on Ray."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from icl_lib.meta.result import Result
from icl_lib.meta.sweep import Cell, grid, is_done, load_sweep, sweep

HERE = Path(__file__).parent
CELLS = grid(["m"], ["a", "b"], [1, 2, 3], [0.1])


@pytest.fixture
def work(monkeypatch, tmp_path):
    """Return the measuring function and the log that it writes."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("SWEEP_LOG", str(tmp_path / "log.txt"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parents[1])]))
    import sweep_work

    return sweep_work.measure, tmp_path / "log.txt"


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


def test_a_broken_cell_is_reported_and_stops_nothing(work, tmp_path):
    measure, log = work
    told = []
    cells = grid(["m"], ["a", "broken", "b"], [1, 2], [0.5])
    report = sweep(measure, cells, tmp_path / "out", progress=told.append)
    assert len(report.done) == 4
    assert set(report.failed.values()) == {"RuntimeError: this cell is broken"}
    assert "4 cells measured, 0 were there already, 2 failed" in report.summary()
    assert len(told) == 6
    notes = sorted((tmp_path / "out").glob("*.error.txt"))
    assert len(notes) == 2
    assert "Traceback" in notes[0].read_text()
    table = load_sweep(tmp_path / "out").table
    assert sorted(zip(table.task, table.seed, table.value, strict=True)) == [
        ("a", 1, 0.5), ("a", 2, 1.0), ("b", 1, 0.5), ("b", 2, 1.0),
    ]  # fmt: skip
    again = sweep(measure, cells, tmp_path / "out")
    assert (len(again.done), len(again.found), len(again.failed)) == (0, 4, 2)
    assert max(lines(log, "end").values()) == 1


def test_processes_give_the_same(work, tmp_path):
    measure, _ = work
    sweep(measure, CELLS, tmp_path / "one")
    sweep(measure, CELLS, tmp_path / "two", jobs=2)
    one, two = (load_sweep(tmp_path / name).table for name in ("one", "two"))
    assert one.equals(two)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_without_repeating_or_losing_a_cell(work, tmp_path, monkeypatch):
    measure, log = work
    monkeypatch.setenv("SWEEP_SECONDS", "0.4")
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, str(HERE / "sweep_work.py"), str(out)], start_new_session=True
    )
    limit = time.monotonic() + 120
    while not (log.exists() and lines(log, "end").total() >= 2) and time.monotonic() < limit:
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
    report = sweep(measure, CELLS, out)
    assert set(report.found) == done
    assert set(report.done) == {c.name for c in CELLS} - done
    assert all(lines(log, "begin")[name] == 1 for name in done)
    assert len(load_sweep(out).table) == len(CELLS)


def test_no_results_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no results in"):
        load_sweep(tmp_path)


def test_without_ray_an_address_is_an_error(work, tmp_path, monkeypatch):
    measure, _ = work
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match="needs Ray"):
        sweep(measure, CELLS, tmp_path / "out", address="auto")


@pytest.mark.slow
def test_on_ray(work, tmp_path):
    ray = pytest.importorskip("ray")
    measure, _ = work
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        report = sweep(measure, CELLS, tmp_path / "out", jobs=2, address="auto")
    finally:
        ray.shutdown()
    assert len(report.done) == len(CELLS)
