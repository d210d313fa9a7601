"""The directive ``{build-report}``: hardware, versions, seconds and bytes of this very build."""

import html
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from icl_lib.sphinxext.tables import link, table
from icl_lib.sphinxext.weights import packed, weigh

SLOT = "<!-- page weights stand here when all pages are written -->"
RESULTS = {
    "Our GPT and the transformers implementation of GPT-2": "results.json",
    "The dual form against the weight matrix": "dual_results.json",
    "All prefixes of 4,096 prompts in one call against a loop": "learners_results.json",
    "The paper's protocol: demonstrations read once against every prompt read whole": (
        "protocol_results.json"
    ),
    "The paper's protocol at real length": "../icl_lib/meta/real_length.json",
}
PARTS = ("machine", "notebooks", "pages", "benchmarks", "lighthouse")


def _read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def machine(report: dict) -> list[nodes.Node]:
    """Return the hardware and the versions."""
    memory = f"{report['memory_gb']} GiB" if report.get("memory_gb") else "unknown"
    rows = [
        ["processor", f"{report['processor']}, {report['cores']} cores used"],
        ["memory", memory],
        ["system", report["system"]],
        ["Python", report["python"]],
        *[[name, version] for name, version in report["packages"].items()],
    ]
    return [table(("What", "Which"), rows)]


def notebooks(report: dict) -> list[nodes.Node]:
    """Return the seconds of each notebook."""
    rows: list[list] = [
        [link(name, f"../notebooks/{name}.html"), f"{seconds:.1f}"]
        for name, seconds in report["notebooks"].items()
    ]
    rows.append(["all", f"{sum(report['notebooks'].values()):.1f}"])
    return [table(("Notebook", "Seconds"), rows)]


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _measured_on(results: dict) -> list[nodes.Node]:
    facts = {**results.get("hardware", {}), **results.get("versions", {})}
    words = ", ".join(f"{name.replace('_', ' ')} {_number(v)}" for name, v in facts.items() if v)
    return [nodes.paragraph("", f"Measured on: {words}.")] if words else []


def rows_table(rows: list[dict]) -> nodes.table:
    """Return records that share their keys as a table, one column per key."""
    header = list(rows[0])
    body = [[_number(row.get(key, "–")) for key in header] for row in rows]
    return table([key.replace("_", " ") for key in header], body)


def benchmarks(files: dict[str, dict]) -> list[nodes.Node]:
    """Return the committed results, each under its title."""
    found: list[nodes.Node] = []
    for title, results in files.items():
        if results.get("rows"):
            found += [nodes.rubric("", title), *_measured_on(results), rows_table(results["rows"])]
    return found or [nodes.paragraph("", "No benchmark has been recorded yet.")]


def lighthouse(results: dict) -> list[nodes.Node]:
    """Return the Lighthouse scores that were recorded by ``make lighthouse``."""
    if not results:
        return [nodes.paragraph("", "No scores have been recorded yet.")]
    names = list(next(iter(results["pages"].values())))
    rows = [[page, *(str(row[n]) for n in names)] for page, row in results["pages"].items()]
    return [table(("Page", *names), rows)]


class BuildReport(SphinxDirective):
    """One part of the report: machine, notebooks, pages, benchmarks or lighthouse."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        part, root = self.arguments[0], Path(self.env.srcdir)
        report = _read(root / self.config.icl_report)
        if part == "pages":
            return [nodes.raw("", SLOT, format="html")]
        if part == "benchmarks":
            names = {t: _read(root / "benchmarks" / f) for t, f in RESULTS.items()}
            return benchmarks(names)
        if part == "lighthouse":
            return lighthouse(_read(root / "benchmarks" / "lighthouse.json"))
        if part not in PARTS:
            raise self.error(f"build-report has the parts {', '.join(PARTS)}, not {part!r}")
        if not report:
            return [nodes.paragraph("", "This build was made without the book's own commands.")]
        return {"machine": machine, "notebooks": notebooks}[part](report)


def weights_table(sizes: dict[str, int], up: str) -> str:
    """Return the table of bytes per page as HTML."""
    rows = "".join(
        f'<tr><td><a class="reference internal" href="{up}{html.escape(page)}">{html.escape(page)}'
        f"</a></td><td>{size / 1000:.0f}</td></tr>"
        for page, size in sizes.items()
    )
    head = "<thead><tr><th>Page</th><th>kB with gzip</th></tr></thead>"
    return f'<table class="table docutils">{head}<tbody>{rows}</tbody></table>'


def fill_weights(app: Any, error: Exception | None) -> None:
    """Weigh all pages and put the table where the directive left its mark."""
    if error is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    packed.cache_clear()
    sizes = weigh(site)
    for page in sizes:
        file = site / page
        text = file.read_text(encoding="utf-8")
        if SLOT in text:
            filled = weights_table(sizes, "../" * page.count("/"))
            file.write_text(text.replace(SLOT, filled), encoding="utf-8")


def setup(app: Any) -> None:
    """Register the directive and its hook."""
    app.add_config_value("icl_report", "_build/report.json", "env")
    app.add_directive("build-report", BuildReport)
    app.connect("build-finished", fill_weights, priority=900)
