"""A comparison as HTML for the explorer: figures, verdicts, what is to be said of it, and the same as one output."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

from mambakernels.bench.comparison import Comparison
from mambakernels.blas_report.tables import Table, of_figures
from mambakernels.errors import InvalidRequestError
from mambakernels.numeric.formatting import html_table, text_table
from mambakernels.plots.hover import as_html
from mambakernels.plots.plotting import FIGURES, png

if TYPE_CHECKING:
    from pandas import DataFrame

TABS: Mapping[str, str] = {
    "Rate": "gflops",
    "Ratio": "ratios",
    "Threads": "threads",
    "Roofline": "roofline",
    "Accuracy": "accuracy",
}
"""The tabs, and the figure of `mambakernels.plot` that each shows."""

_VERDICT = ("operation", "dtype", "size", "threads", "kernel", "text")
_STATIC_DPI = 90
_DRAWING = threading.Lock()  # matplotlib is for one thread at a time: its settings are the process's
# A front end says "Loading widget…" for ever where the kernel that had the widgets is gone.
_WITHOUT_WIDGETS = """\
<style>.jp-OutputArea:has(.mk-static):not(:has(.mk-explorer)) > .jp-OutputArea-child:first-child { display: none; }
</style>"""
_NOT_RANKED = "No kernel is called faster than another here."


def tab_html(found: Comparison, tab: str) -> str:
    """Return what a tab shows: its figure, or why there is none."""
    if tab == "Ratio" and found.controls.verdict == "differ":
        return _paragraph(f"{found.controls.text} {_NOT_RANKED}", "mk-warning")
    try:
        with _DRAWING:
            figure = FIGURES[TABS[tab]](_drawn(found), "light", "screen")
            return as_html(figure, title=f"{tab}, as a picture; the tables below have the same figures.")
    except InvalidRequestError as error:
        return _paragraph(" ".join(filter(None, (error.what, error.next_step))))


def tab_png(found: Comparison, tab: str, *, dpi: int = 144) -> bytes:
    """Return a tab's figure as a PNG file; InvalidRequestError if there is none."""
    if tab == "Ratio" and found.controls.verdict == "differ":
        raise InvalidRequestError(found.controls.text, next_step=_NOT_RANKED)
    with _DRAWING:
        return png(FIGURES[TABS[tab]](_drawn(found), "light", "wide"), dpi=dpi)


def tables_html(found: Comparison) -> str:
    """Return verdicts, what is to be said, and all figures."""
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in _said(found))
    header, rows = _verdicts(found)
    verdicts = html_table(header, rows, caption="Verdicts") if rows else ""
    figures = of_figures(found)
    header, rows = _plain(figures)
    tables = f"{verdicts}{html_table(header, rows, caption=figures.about)}"
    return f'<ul class="mk-said">{said}</ul><div style="overflow-x: auto">{tables}</div>'


def as_output(found: Comparison) -> dict[str, str]:
    """Return an output's data that shows the figures without any kernel: as text, and as HTML with pictures."""
    pictures = []
    for tab in TABS:
        try:
            picture = b64encode(tab_png(found, tab, dpi=_STATIC_DPI)).decode()
        except InvalidRequestError:
            continue
        pictures.append(f'<p><img alt="{tab}" src="data:image/png;base64,{picture}"></p>')
    measured = found.measured
    when = date_in_words(measured.started)
    title = f"Measured {when} on {measured.host}. Run this cell to explore it, or to measure again."
    tables = [text_table(*part) for part in (_verdicts(found), _plain(of_figures(found)))]
    return {
        "text/plain": "\n\n".join([title, *tables, "\n".join(_said(found))]),
        "text/html": "".join(
            ['<div class="mk-static">', _WITHOUT_WIDGETS, _paragraph(title), *pictures, tables_html(found), "</div>"]
        ),
    }


def date_in_words(started: str) -> str:
    """Return a time in ISO 8601 as people write it, in the zone of this machine."""
    return datetime.fromisoformat(started).astimezone().strftime("%d %B %Y, %H:%M")


def _said(found: Comparison) -> list[str]:
    """Return the conclusion, and what else is to be said."""
    return list(dict.fromkeys([*found.conclusion.alarms, *found.conclusion.sentences, *found.sentences]))


def _drawn(found: Comparison) -> DataFrame:
    """Return the measurements that are drawn: controls only if nothing else was measured."""
    others = found.frame[~found.frame["control"]]
    return found.frame if others.empty else others


def _is_ranked(found: Comparison) -> bool:
    return found.controls.verdict != "differ"


def _verdicts(found: Comparison) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the header and the rows of the verdicts; none if nothing may be ranked."""
    pairs = [pair for pair in found.as_dict()["pairs"] if not pair["control"]] if _is_ranked(found) else []
    reference = pairs[0]["reference"] if pairs else "the reference"
    header = ("operation", "dtype", "n", "threads", "kernel", f"against {reference}")
    return header, [
        tuple("as registered" if pair[name] is None else str(pair[name]) for name in _VERDICT) for pair in pairs
    ]


def _plain(table: Table) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    return tuple(column.title for column in table.columns), [tuple(cell.text for cell in row) for row in table.cells]


def _paragraph(text: str, look: str = "") -> str:
    return f'<p class="mk-text {look}">{escape(text)}</p>'
