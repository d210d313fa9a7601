"""The directive ``{scoreboard}``: every claim of the ledger beside what the chapters measured."""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from icl_lib import claims
from icl_lib.sphinxext.tables import Cell, link, table

HEADER = ("Claim and its source", "Claimed", "Ours", "Runs", "Verdict", "Cell")
WIDTHS = (44, 17, 14, 7, 9, 9)


def records(notebook: Path) -> dict[str, dict]:
    """Return the claim records in the outputs of one executed notebook, the last of each name."""
    found = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", ()):
            record = output.get("data", {}).get(claims.MIME)
            if record:
                record = json.loads("".join(record)) if isinstance(record, list | str) else record
                found[record["claim"]["id"]] = {**record, "notebook": notebook.stem}
    return found


def all_records(folder: Path) -> dict[str, dict]:
    """Return the records of all executed notebooks."""
    merged: dict[str, dict] = {}
    for notebook in sorted(folder.glob("*.ipynb")):
        merged.update(records(notebook))
    return merged


def _verdict(name: str) -> nodes.inline:
    words = {"holds": "✓ holds", "fails": "✗ fails", "open": "open"}
    return nodes.inline("", words[name], classes=[f"icl-verdict-{name}"])


def _statement(claim: claims.Claim) -> nodes.container:
    source = nodes.paragraph("", claim.source, classes=["icl-source"])
    return nodes.container("", nodes.paragraph("", claim.statement), source)


def row(claim: claims.Claim, record: dict | None) -> list[Cell]:
    """Return one line of the scoreboard; a claim without a record is open."""
    if record is None:
        return [_statement(claim), claim.target(), "–", "–", _verdict("open"), "–"]
    place = record["notebook"]
    return [
        _statement(claim),
        claim.target(),
        claim.show(record["measured"]),
        str(len(record["per_seed"])),
        _verdict(record["verdict"]),
        link(f"chapter {int(place[:2])}", f"../notebooks/{place}.html#claim-{claim.id}"),
    ]


def summary(ledger: dict, measured: dict) -> str:
    """Return the sentence above the table."""
    verdicts = [measured[name]["verdict"] for name in ledger if name in measured]
    holds, fails = verdicts.count("holds"), verdicts.count("fails")
    still = len(ledger) - len(verdicts)
    return f"{len(ledger)} claims: {holds} hold, {fails} fail, {still} are open."


def failures(ledger: dict, measured: dict) -> list[nodes.Node]:
    """Return a list of the failed claims with what the chapter says about each."""
    failed = [c for n, c in ledger.items() if measured.get(n, {}).get("verdict") == "fails"]
    if not failed:
        return []
    items = nodes.bullet_list()
    for claim in failed:
        why = claim.explanation or "The chapter gives no explanation yet."
        name = nodes.strong("", claim.statement)
        items += nodes.list_item("", nodes.paragraph("", "", name, nodes.Text(f" {why}")))
    return [nodes.rubric("", "What failed, and why"), items]


class Scoreboard(SphinxDirective):
    """All claims, in the order of the chapters."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.srcdir) / self.config.icl_executed
        for notebook in folder.glob("*.ipynb"):
            self.env.note_dependency(str(notebook))
        ledger, measured = dict(claims.ledger()), all_records(folder)
        rows = [row(claim, measured.get(name)) for name, claim in ledger.items()]
        first = nodes.paragraph("", summary(ledger, measured))
        return (
            [first, table(HEADER, rows, WIDTHS), *failures(ledger, measured)] if rows else [first]
        )


def setup(app: Any) -> None:
    """Register the directive."""
    app.add_config_value("icl_executed", "_build/executed", "env")
    app.add_directive("scoreboard", Scoreboard)
