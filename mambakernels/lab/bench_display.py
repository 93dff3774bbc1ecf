"""A comparison in a notebook: progress, then its conclusion in sentences, and a bar and a verdict per kernel."""

from __future__ import annotations

import time
import uuid
from html import escape
from typing import Any

from mambakernels.bench.comparison import Comparison
from mambakernels.kernels.blas import label
from mambakernels.numeric.formatting import seconds, text_table
from mambakernels.progress import Event

_PAUSE_SECONDS = 0.25
_BAR = "display:inline-block;height:0.8em;min-width:2px;background:var(--jp-brand-color1, #1976d2)"
_LEFT = "text-align:left"  # notebooks have their tables' cells on the right
_HEADER = ("kernel", "time", "against", "verdict")


class BenchDisplay:
    """The display of one comparison: a progress bar, in whose place the result comes."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._has_front_end = hasattr(shell, "kernel")
        self._id = uuid.uuid4().hex
        self._begun = False
        self._due = 0.0

    def report(self, event: Event) -> None:
        """Show a step of progress, not too often."""
        if not self._has_front_end or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _PAUSE_SECONDS
        words = escape(f"{event.step} {event.detail}".strip())
        amount = f' value="{event.done}" max="{event.total}"' if event.total else ""
        self._publish({"text/html": f'<progress aria-label="{words}"{amount}></progress> {words}', "text/plain": ""})

    def finish(self, found: Comparison) -> None:
        """Show the result."""
        text = "\n".join([*_sentences(found), "", text_table(_HEADER, [row[:4] for row in _rows(found)])])
        if self._has_front_end:
            if self._begun:
                self._shell.display_pub.clear_output(wait=True)
            self._begun = False
            self._publish({"text/html": _page(found), "text/plain": text})
        else:
            print(text)  # noqa: T201 (in a terminal, as IPython does)

    def _publish(self, data: dict[str, str]) -> None:
        self._shell.display_pub.publish(data, transient={"display_id": self._id}, update=self._begun)
        self._begun = True


def _page(found: Comparison) -> str:
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in _sentences(found))
    head = "<td></td>" + "".join(f'<th style="{_LEFT}">{title}</th>' for title in _HEADER)
    rows = "".join(
        f'<tr><td style="{_LEFT};width:12em"><span style="{_BAR};width:{100 * share:.1f}%"></span></td>'
        + "".join(f'<td style="{_LEFT};white-space:nowrap">{escape(word)}</td>' for word in words[:-1])
        + f'<td style="{_LEFT}">{escape(words[-1])}</td>'
        + "</tr>"
        for *words, share in _rows(found)
    )
    return f"{sentences}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _sentences(found: Comparison) -> list[str]:
    """Return what the comparison says, the reasons for distrust first."""
    warnings = [item.text for item in found.diagnosis if item.severity != "note"]
    return [*found.conclusion.alarms, *found.conclusion.sentences, *found.measured.notes, *warnings]


def _rows(found: Comparison) -> list[tuple[Any, ...]]:
    """Return the words of a row per kernel and number of threads, and how long its bar is: its share of the longest."""
    content = found.as_dict()
    table = [row for row in content["table"] if not row["control"]]
    longest = max((row["seconds"] for row in table), default=1.0)
    verdicts = {
        (row["kernel"], row["threads"]): (row["reference"], row["text"])
        for row in content["pairs"]
        if not row["control"]
    }
    return [
        (
            label(row["kernel"], row["asked"]),
            seconds(row["seconds"]),
            *verdicts.get((row["kernel"], row["asked"]), ("", "")),
            row["seconds"] / longest,
        )
        for row in table
    ]
