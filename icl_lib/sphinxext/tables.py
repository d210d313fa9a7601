"""A table of docutils nodes from rows of nodes or strings."""

from collections.abc import Sequence

from docutils import nodes

Cell = str | nodes.Node


def _entry(cell: Cell) -> nodes.entry:
    content = nodes.Text(cell) if isinstance(cell, str) else cell
    if isinstance(content, nodes.Text | nodes.Inline):
        content = nodes.paragraph("", "", content)
    return nodes.entry("", content)


def _row(cells: Sequence[Cell]) -> nodes.row:
    return nodes.row("", *(_entry(cell) for cell in cells))


def table(
    header: Sequence[str], rows: Sequence[Sequence[Cell]], widths: Sequence[int] | None = None
) -> nodes.table:
    """Return a table with one line of headings.

    Parameters
    ----------
    header, rows
        Cells, as strings or nodes.
    widths
        Relative widths of the columns; all alike if not given.

    Raises
    ------
    ValueError
        If a row or the widths have another number of cells than the header.
    """
    widths = [1] * len(header) if widths is None else widths
    if len(widths) != len(header):
        raise ValueError(f"got {len(widths)} widths for {len(header)} columns")
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row has {len(row)} cells, the table {len(header)} columns")
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in widths), cols=len(header))
    group += nodes.thead("", _row(header))
    group += nodes.tbody("", *(_row(row) for row in rows))
    return nodes.table("", group, classes=["colwidths-given"])


def link(text: str, address: str) -> nodes.reference:
    """Return a link to an address relative to the page."""
    return nodes.reference("", text, internal=True, refuri=address)
