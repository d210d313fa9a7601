"""The directive ``{notation-table}``: symbols, shapes and the names that stand for them in code."""

import tomllib
from importlib import resources
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from icl_lib.sphinxext.tables import table

HEADER = ("Symbol", "Meaning", "Shape", "In code")
WIDTHS = (12, 38, 16, 34)
FIELDS = {"symbol", "meaning", "shape", "code"}


def load() -> dict[str, dict]:
    """Return the groups of the notation table with their entries.

    Raises
    ------
    ValueError
        If an entry lacks a field or has an unknown one.
    """
    text = (resources.files("icl_lib.sphinxext") / "notation.toml").read_text("utf-8")
    groups = tomllib.loads(text)
    for group in groups.values():
        for entry in group["entries"]:
            if set(entry) != FIELDS:
                wrong = ", ".join(sorted(set(entry) ^ FIELDS))
                raise ValueError(f"notation entry {entry.get('symbol')!r}: check {wrong}")
    return groups


def identifiers() -> list[str]:
    """Return every code identifier that the table names."""
    return [
        name for group in load().values() for entry in group["entries"] for name in entry["code"]
    ]


def _math(formula: str) -> nodes.Node:
    return nodes.math("", formula) if formula else nodes.Text("–")


def _code(names: list[str]) -> nodes.paragraph:
    paragraph = nodes.paragraph()
    for i, name in enumerate(names):
        if i:
            paragraph += nodes.Text(", ")
        paragraph += nodes.literal("", name)
    return paragraph if names else nodes.paragraph("", "–")


class NotationTable(SphinxDirective):
    """One table per group, each under its heading."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        for key, group in load().items():
            section = nodes.section("", nodes.title("", group["title"]), ids=[f"notation-{key}"])
            rows = [
                [_math(e["symbol"]), e["meaning"], _math(e["shape"]), _code(e["code"])]
                for e in group["entries"]
            ]
            section += table(HEADER, rows, WIDTHS)
            found.append(section)
        return found


def setup(app: Any) -> None:
    """Register the directive."""
    app.add_directive("notation-table", NotationTable)
