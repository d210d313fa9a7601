"""The book's Sphinx pieces, without building a site."""

import base64
import gzip
import importlib
import json
from pathlib import Path

import pytest
from docutils import nodes

from icl_lib import claims
from icl_lib.live import panel
from icl_lib.sphinxext import build_report, icons, notation, repairs, scoreboard, search
from icl_lib.sphinxext.assets import copy_mathjax
from icl_lib.sphinxext.tables import table
from icl_lib.sphinxext.weights import packed, weigh


def resolve(name: str):
    """Import the longest module prefix of a dotted name and walk the rest as attributes."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", sorted(set(notation.identifiers())))
def test_identifier_on_the_notation_page_exists(name):
    assert callable(resolve(name))


def test_data_picture_becomes_a_lazy_file_named_after_its_content(tmp_path):
    content = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    data = base64.b64encode(content).decode()
    body = f'<p><img class="icl-light" src="data:image/svg+xml;base64,{data}" alt="A line."></p>'
    out = repairs.extract_images(body + body, tmp_path / "_images", "../_images/")
    files = list((tmp_path / "_images").iterdir())
    assert len(files) == 1
    assert files[0].read_bytes() == content
    assert out.count(f'loading="lazy" decoding="async" src="../_images/{files[0].name}"') == 2
    assert 'alt="A line."' in out
    assert "base64" not in out


def test_first_frame_of_a_panel_leads_to_the_setup_page():
    shown = panel(lambda x: f"{x}", x=(0.0, 1.0, 0.5, 0.5)).html()
    out = repairs.link_panel_notes(f"<p>Text.</p>{shown}<p>More.</p>{shown}", "../")
    link = ' <a href="../book/setup.html">How to run it.</a></p>'
    assert out.count(link) == 2
    assert out.replace(link, "</p>") == f"<p>Text.</p>{shown}<p>More.</p>{shown}"
    assert (Path(__file__).parents[2] / "book" / "setup.md").exists()


def test_description_is_cut_at_a_word():
    document = nodes.document(None, None)
    document += nodes.paragraph("", "word " * 60)
    text = repairs.description(document)
    assert len(text) <= repairs.DESCRIPTION_LENGTH + 2
    assert text.endswith("word …")
    assert repairs.description(None) == repairs.FALLBACK


def claim(kind="equal", value=2.0, tolerance=0.5, **fields):
    return claims.Claim("a", "01_x", "A statement.", value, kind, tolerance, "A source.", **fields)


def executed(folder, *records):
    cell = {"cell_type": "code", "outputs": [{"data": {claims.MIME: r.as_dict()}} for r in records]}
    (folder / "05_dual_form.ipynb").write_text(json.dumps({"cells": [cell]}), "utf-8")


def test_scoreboard_reads_records_counts_verdicts_and_explains_failures(tmp_path):
    good = claim()
    bad = claims.Claim("b", "05_dual_form", "Another.", 1.0, "at_most", 0.0, "S.", "Because.")
    executed(
        tmp_path,
        claims.Record(good, 2.1, (2.0, 2.2), "holds"),
        claims.Record(bad, 3.0, (3.0,), "fails"),
    )
    ledger = {"a": good, "b": bad, "c": claim()}
    measured = scoreboard.all_records(tmp_path)
    assert scoreboard.summary(ledger, measured) == "3 claims: 1 hold, 1 fail, 1 are open."
    row = scoreboard.row(good, measured["a"])
    assert row[1:4] == ["2 ± 0.5", "2.1", "2"]
    assert row[-1]["refuri"] == "../notebooks/05_dual_form.html#claim-a"
    assert "Because." in scoreboard.failures(ledger, measured)[1].astext()


def test_claim_measured_as_nan_is_shown_as_not_finite():
    record = claims.Record(claim(), float("nan"), (float("nan"),), "fails").as_dict()
    assert scoreboard.row(claim(), {**record, "notebook": "01_x"})[2] == "not finite"


def test_table_with_a_short_row_is_refused():
    with pytest.raises(ValueError, match="a row has 1 cells, the table 2 columns"):
        table(("a", "b"), [["only"]])


def test_mathjax_comes_complete_from_its_package(tmp_path):
    assert copy_mathjax(tmp_path) > 40
    assert (
        tmp_path / "output/chtml/fonts/woff-v2/MathJax_Math-Italic.woff"
    ).stat().st_size > 10_000
    assert (tmp_path / "input/tex/extensions/boldsymbol.js").exists()


def test_weight_of_a_page_is_the_packed_size_of_what_it_loads(tmp_path):
    packed.cache_clear()
    script = "let x = 1;" * 500
    page = '<script src="_static/a.js?v=1"></script><img src="big.png">'
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "a.js").write_text(script, "utf-8")
    (tmp_path / "index.html").write_text(page, "utf-8")
    expected = len(gzip.compress(script.encode(), 6)) + len(gzip.compress(page.encode(), 6))
    assert weigh(tmp_path) == {"index.html": pytest.approx(expected, abs=20)}


def test_icons_are_those_whose_class_occurs_and_those_the_theme_shows_itself():
    styles = (
        '.fa-bars:before{content:"\\f0c9"}.fa-cat:before{content:"\\f6be"}'
        '.admonition:after{content:"\\f05a"}html{--pst-icon-bell:"\uf0f3"}'
    )
    assert icons.used_icons(styles, '<i class="fa-solid fa-bars">') == {0xF0C9, 0xF05A, 0xF0F3}


def test_committed_benchmarks_are_shown_with_their_hardware():
    results = {"hardware": {"cpu": "a chip", "gpu": None}, "rows": [{"N": 10, "ours_seconds": 0.5}]}
    shown = build_report.benchmarks({"Speed": results, "Nothing": {}})
    assert [node.astext() for node in shown[:2]] == ["Speed", "Measured on: cpu a chip."]
    assert "ours seconds" in shown[2].astext()
    assert "0.5" in shown[2].astext()
    assert len(shown) == 3


def test_rules_of_unused_icons_are_dropped_and_no_others():
    styles = '.fa-cat:before{content:"\\f6be"}.fa-bars:before{content:"\\f0c9"}.fa-cat{color:red}'
    kept = icons.drop_rules(styles, '<i class="fa-bars">')
    assert kept == '.fa-bars:before{content:"\\f0c9"}.fa-cat{color:red}'


def test_the_scripts_of_the_search_are_taken_out_and_no_others():
    kept = '<script src="../_static/doctools.js?v=1"></script>\n'
    dropped = "".join(
        f'  <script src="../{name}"></script>\n'
        for name in ("_static/searchtools.js", "_static/language_data.js?v=2", "searchindex.js")
    )
    assert search.drop_search_scripts(kept + dropped + kept) == kept + kept
