"""The directive ``{differs-list}``: where the book departs from a paper, on one page."""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from icl_lib.sphinxext.tables import link

CLASS = "differs"


class Placeholder(nodes.General, nodes.Element):
    """Stands where the list goes until all pages have been read."""


class DiffersList(SphinxDirective):
    """The list, in the order of the table of contents."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        return [Placeholder()]


def blocks(doctree: nodes.document) -> list[nodes.admonition]:
    """Return the admonitions of a page that carry the class."""
    return [node for node in doctree.findall(nodes.admonition) if CLASS in node["classes"]]


def name_blocks(app: Any, doctree: nodes.document) -> None:
    """Give each block an address, so that the list can link to it."""
    for number, block in enumerate(blocks(doctree), 1):
        block["ids"].append(f"differs-{number}")


def copied(block: nodes.admonition, page: str) -> list[nodes.Node]:
    """Return the content of a block without its title, ready to stand on another page."""
    content = [child.deepcopy() for child in block.children if not isinstance(child, nodes.title)]
    for child in content:
        for node in child.findall(nodes.Element):
            node["ids"] = []
            if isinstance(node, addnodes.pending_xref):
                node["refdoc"] = page
    return content


def chapters(app: Any) -> list[str]:
    """Return the pages in the order of the table of contents."""
    order = list(app.env.toctree_includes.get(app.config.root_doc, ()))
    return [*order, *sorted(set(app.env.found_docs) - set(order))]


def collect(app: Any, page: str) -> list[nodes.Node]:
    """Return the sections of the list, one for each page that has a block."""
    found: list[nodes.Node] = []
    for name in chapters(app):
        doctree = app.env.get_doctree(name)
        for number, block in enumerate(blocks(doctree), 1):
            if number == 1:
                found.append(nodes.rubric("", app.env.titles[name].astext()))
            box = nodes.container("", *copied(block, page), classes=["icl-differs"])
            address = app.builder.get_relative_uri(page, name) + f"#differs-{number}"
            box += nodes.paragraph("", "", link("Read it in its place", address))
            found.append(box)
    return found or [nodes.paragraph("", "No chapter departs from a paper.")]


class FillList(SphinxPostTransform):
    """Puts the list in place, before the references in it are resolved with all others."""

    default_priority = 5

    def run(self, **_: Any) -> None:
        """Replace each placeholder of the page."""
        for placeholder in list(self.document.findall(Placeholder)):
            content = collect(self.app, self.env.docname)
            formulas = any(True for box in content for _ in box.findall(nodes.math))
            if formulas:  # Sphinx looked for formulas before this, to load their script
                self.env.get_domain("math").data["has_equations"][self.env.docname] = True
            placeholder.replace_self(nodes.container("", *content, classes=["icl-differs-list"]))


def setup(app: Any) -> None:
    """Register the directive and its hooks."""
    app.add_node(Placeholder)
    app.add_directive("differs-list", DiffersList)
    app.connect("doctree-read", name_blocks)
    app.add_post_transform(FillList)
