"""The chapters as they ran: in time, silent, every figure described, every solution accepted."""

import json
import re
from pathlib import Path

import pytest
from browser import in_ci

from icl_lib import claims

pytestmark = pytest.mark.site

ROOT = Path(__file__).resolve().parents[2]
EXECUTED = ROOT / "_build" / "executed"
SECONDS = 90
SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=SOURCES, ids=lambda p: p.stem)
def name(request) -> str:
    """Stem of a chapter that was executed."""
    if not (EXECUTED / request.param.name).exists():
        (pytest.fail if in_ci() else pytest.skip)("not executed yet; run `make book` first")
    return request.param.stem


def outputs(name: str) -> list[dict]:
    cells = json.loads((EXECUTED / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return [output for cell in cells for output in cell.get("outputs", ())]


def shown(name: str, mime: str) -> list[str]:
    data = [output.get("data", {}).get(mime) for output in outputs(name)]
    return ["".join(d) if isinstance(d, list) else d for d in data if d]


def test_runs_in_time(name):
    record = json.loads((EXECUTED / f"{name}.json").read_text(encoding="utf-8"))
    assert record["seconds"] <= SECONDS


def test_writes_nothing_to_the_error_stream_and_raises_nothing(name):
    assert [
        o for o in outputs(name) if o["output_type"] == "error" or o.get("name") == "stderr"
    ] == []


def test_every_figure_comes_in_two_themes_with_a_sentence(name):
    pictures = [p for text in shown(name, "text/html") for p in re.findall(r"<img[^>]*>", text)]
    figures = [p for p in pictures if re.search(r'class="[^"]*icl-(light|dark)', p)]
    assert len(figures) >= 2
    assert sum("icl-light" in p for p in figures) == sum("icl-dark" in p for p in figures)
    for picture in pictures:
        alt = re.search(r'alt="([^"]*)"', picture)
        assert alt is not None
        assert len(alt[1].split()) >= 4


def test_no_bare_picture_without_a_description(name):
    assert shown(name, "image/png") == []
    assert shown(name, "image/svg+xml") == []


def test_live_figure_and_panel_carry_a_page_for_readers_without_a_kernel(name):
    pages = shown(name, "text/html")
    assert any("<icl-figure" in page for page in pages)
    assert any("icl-panel" in page for page in pages)


def test_outputs_name_no_path_of_this_machine(name):
    for output in outputs(name):
        assert str(ROOT) not in json.dumps(output, ensure_ascii=False)


def test_every_claim_of_the_chapter_was_measured(name):
    found = {
        output["data"][claims.MIME]["claim"]["id"]
        for output in outputs(name)
        if claims.MIME in output.get("data", {})
    }
    own = {claim.id for claim in claims.ledger().values() if claim.chapter == name}
    assert found
    assert found <= set(claims.ledger())
    assert own - found == set()


def test_failed_claims_are_explained(name):
    for output in outputs(name):
        record = output.get("data", {}).get(claims.MIME)
        if record and record["verdict"] == "fails":
            assert claims.ledger()[record["claim"]["id"]].explanation
