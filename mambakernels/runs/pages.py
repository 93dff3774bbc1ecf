"""Executed notebooks as HTML pages, by nbconvert."""

from __future__ import annotations

import io

from mambakernels.runs import outputs
from mambakernels.runs.notebooks import prepare_nbformat
from mambakernels.runs.outputs import Place
from mambakernels.runs.records import Run

REMOVED = "remove-cell"
"""The tag of cells that a report's page does not show, as Jupyter Book has it."""

# nbconvert's own template without its scripts from the network: for mathematics, widgets and diagrams.
_OFFLINE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}"""


def write(run: Run) -> Place:
    """Write the page of a run's executed notebook next to it and return its path."""
    prepare_nbformat()
    from nbconvert import HTMLExporter

    name = run.path.name.removesuffix(".ipynb")
    executed = io.StringIO(run.path.read_bytes().decode())
    page, _ = HTMLExporter().from_file(executed, resources={"metadata": {"name": name}})  # type: ignore[no-untyped-call]
    target = run.path.parent / f"{name}.html"
    outputs.write(target, page)
    return target


def without_code(executed: str, *, title: str, offline: bool) -> str:
    """Return the page of an executed notebook's text and outputs; with `offline` it loads nothing from the network."""
    prepare_nbformat()
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import TagRemovePreprocessor

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        exclude_input=True, exclude_input_prompt=True, exclude_output_prompt=True, exclude_anchor_links=True
    )
    if offline:
        exporter.raw_template = _OFFLINE
    removing = TagRemovePreprocessor(remove_cell_tags={REMOVED}, enabled=True)  # type: ignore[no-untyped-call]
    exporter.register_preprocessor(removing)  # type: ignore[no-untyped-call]
    page, _ = exporter.from_file(io.StringIO(executed), resources={"metadata": {"name": title}})
    return str(page)


def markdown_as_html(text: str) -> str:
    """Return Markdown as HTML, as in a page."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return str(markdown2html_mistune(text))
