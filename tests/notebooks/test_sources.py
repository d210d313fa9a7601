"""The chapters as their authors store them: clean, short-celled, and built to one plan."""

import json
import re
from pathlib import Path

import pytest

from icl_lib import claims

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 25
MACHINE_PATH = re.compile(r"(/home/|/Users/|/root/|/tmp/|/work/|/mnt/|[A-Z]:\\\\)")
CARD = ("**Question.**", "**You need.**", "**Time.**", "**You will check.**")


def read(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def text(path: Path, kind: str) -> str:
    return "\n\n".join(cell["source"] for cell in read(path) if cell["cell_type"] == kind)


def tagged(cell: dict, tag: str) -> bool:
    return tag in cell.get("metadata", {}).get("tags", ())


every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def test_all_chapters_are_in_the_table_of_contents():
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = re.findall(r"file: notebooks/(\w+)", contents)
    assert listed == [p.stem for p in NOTEBOOKS]
    assert len(listed) >= 6


@every
def test_source_carries_no_outputs(path):
    for cell in read(path):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    assert "widgets" not in json.loads(path.read_text(encoding="utf-8"))["metadata"]


@every
def test_cell_ids_are_there_and_differ(path):
    ids = [cell["id"] for cell in read(path)]
    assert len(ids) == len(set(ids))


@every
def test_code_cells_fit_on_a_screen(path):
    lengths = {
        cell["id"]: len(cell["source"].splitlines())
        for cell in read(path)
        if cell["cell_type"] == "code"
    }
    assert {i: n for i, n in lengths.items() if n > LONGEST_CELL} == {}


@every
def test_no_path_of_a_machine_is_typed(path):
    assert MACHINE_PATH.findall(text(path, "code") + text(path, "markdown")) == []


@every
def test_chapter_opens_with_its_card(path):
    first = read(path)[0]["source"]
    assert first.startswith("# ")
    assert ":class: chapter-card" in first
    for part in CARD:
        assert part in first


@every
def test_chapter_ends_with_take_aways_exercises_and_sources(path):
    headings = re.findall(r"^## (.+)$", text(path, "markdown"), re.MULTILINE)
    ending = ["What to take away", "Exercises", "Sources and further reading"]
    assert headings[-3:] == ending


@every
def test_chapter_has_a_live_figure_a_panel_and_a_differs_block(path):
    code = text(path, "code")
    assert re.search(r"\blive\.[A-Z]\w+(\.\w+)?\(", code), "no live figure"
    assert "live.panel(" in code, "no control panel"
    assert ":class: differs" in text(path, "markdown")


@every
def test_chapter_checks_claims_of_the_ledger(path):
    assert re.search(r"\bclaims\.(check|require)\(", text(path, "code"))


@every
def test_claims_of_the_chapter_are_in_its_own_ledger(path):
    names = re.findall(r'claims\.(?:check|require)\(\s*"([^"]+)"', text(path, "code"))
    ledger = claims.ledger()
    assert {name for name in names if name not in ledger} == set()
    assert {name for name in names if ledger[name].chapter != path.stem} == set()


def exercises(path: Path) -> list[str]:
    pattern = r":::+\{exercise\}[^\n]*\n:label: (\S+)"
    return re.findall(pattern, text(path, "markdown"))


@every
def test_chapter_has_three_exercises_each_with_hints_check_and_solution(path):
    labels, prose, code = exercises(path), text(path, "markdown"), text(path, "code")
    assert len(labels) >= 3
    for label in labels:
        checked = re.findall(rf'exercises\.check\(\s*"{label.removeprefix("ex-")}"', code)
        assert len(checked) >= 2, f"{label}: a check for the reader and one for the solution"
        assert f"{{solution-start}} {label}" in prose
    assert prose.count("{solution-start}") == prose.count("{solution-end}") == len(labels)
    assert len(re.findall(r"\{dropdown\} Hint", prose)) >= 2 * len(labels)


@every
def test_every_exercise_says_goal_difficulty_and_minutes(path):
    for block in re.findall(r":::+\{exercise\}.*?\n:::", text(path, "markdown"), re.DOTALL):
        assert "**Goal.**" in block
        assert re.search(r"[●○]{5}", block), block[:80]
        assert re.search(r"\d+ min", block), block[:80]


@every
def test_gluing_cells_are_hidden(path):
    for cell in read(path):
        if cell["cell_type"] == "code" and "glue(" in cell["source"]:
            assert tagged(cell, "remove-cell")
