"""The directive ``{icl-figure}``: a live figure on a page of prose, its state given as JSON."""

import json
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from icl_lib import live


class LiveFigure(SphinxDirective):
    """``{icl-figure} ClassName`` with the arguments of the class as a JSON object in the body."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        kind = getattr(live, self.arguments[0], None)
        if kind is None or not hasattr(kind, "html"):
            raise self.error(f"icl_lib.live has no figure {self.arguments[0]!r}")
        try:
            state = json.loads("\n".join(self.content) or "{}")
        except json.JSONDecodeError as error:
            raise self.error(f"the body of icl-figure must be a JSON object: {error}") from error
        return [nodes.raw("", kind(**state).html(), format="html")]


def setup(app: Any) -> None:
    """Register the directive."""
    app.add_directive("icl-figure", LiveFigure)
