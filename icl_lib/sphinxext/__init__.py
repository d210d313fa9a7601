"""The book's own Sphinx pieces: assets, page repairs, and pages made from data."""

from typing import Any

from icl_lib.sphinxext import (
    assets,
    build_report,
    differs,
    icons,
    live_figure,
    notation,
    repairs,
    scoreboard,
    search,
)


def setup(app: Any) -> dict[str, Any]:
    """Register everything with Sphinx."""
    for module in (
        assets,
        icons,
        repairs,
        notation,
        scoreboard,
        differs,
        build_report,
        live_figure,
        search,
    ):
        module.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
