"""Results side by side: HTML in columns for notebooks, and plain text, one kernel after another.

The HTML needs no script, widget or file, so it survives in a saved notebook and in its exports. It takes the colours of
JupyterLab's theme, and where there is none those of the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from mambakernels.runs.records import Failure
from mambakernels.runs.session import without_colours
from mambakernels.sessions.bundles import (
    FIRST,
    LAST,
    MUTED,
    WRONG,
    block,
    needs_front_end,
    output_as_html,
    traceback_as_html,
)
from mambakernels.sessions.same_errors import is_error, same_errors, shown_once
from mambakernels.sessions.shown import Json, Printed, Results, Shown, text_of
from mambakernels.system.quantities import duration_in_words

_MOST_BYTES = 2_000_000  # of a kernel's outputs in a page
_RATIO_SECONDS = 0.05  # below, ratios are chance
_MOST_IN_A_ROW = 3
_NARROWEST = "19em"
_BORDER = "1px solid var(--jp-border-color2, #8888)"
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def page(results: Results, *, below: bool = False) -> str:
    """Return the results as HTML in columns, next to each other where there is room.

    `below` says that what HTML cannot show (see `elsewhere`) follows below.
    """
    same = same_errors(results)
    columns = [_column(one, results, same, below=below) for one in results.values()]
    note = f'<div style="{MUTED}margin-top:2px">{escape(text)}</div>' if (text := _caption(results)) else ""
    return f'<div class="mambakernels-columns">{_arranged(columns)}{_common(results, same)}{note}</div>'


def plain(results: Results) -> str:
    """Return the results as text, one kernel after another, each under a heading."""
    same = same_errors(results)
    parts = [_plain_part(one, results, same) for one in results.values()]
    if (first := shown_once(results, same)) is not None:
        parts.append(f"{_in_all(results)}\n{without_colours(_traceback(first))}\n")
    return "\n".join(parts) + (f"\n{caption}\n" if (caption := _caption(results)) else "")


def elsewhere(results: Results) -> list[tuple[str, Json]]:
    """Return the outputs that only a front end can show, such as Plotly's figures or scripts, each with its kernel."""
    return [(one.kernel, output) for one in results.values() for output in one.outputs if needs_front_end(output)]


def _arranged(columns: Sequence[str]) -> str:
    """Lay out columns: next to each other, and from four on in pairs, so that none stands alone in a row."""
    if len(columns) <= _MOST_IN_A_ROW:
        return _grid(columns, _NARROWEST)
    pairs = [_grid(columns[at : at + 2], _NARROWEST) for at in range(0, len(columns), 2)]
    return _grid(pairs, f"calc(2 * {_NARROWEST})")


def _grid(parts: Sequence[str], width: str) -> str:
    columns = f"repeat(auto-fit,minmax(min(100%,{width}),1fr))"
    return f'<div style="display:grid;gap:8px;align-items:start;grid-template-columns:{columns}">{"".join(parts)}</div>'


def _column(shown: Shown, results: Results, same: Mapping[str, str], *, below: bool) -> str:
    name = escape(shown.kernel)
    head = (
        f'<header style="display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1em;padding:2px 8px;'
        f'border-bottom:{_BORDER};background:var(--jp-layout-color2, #8882)"><strong>{name}</strong>'
        f"<span>{escape(_timing(shown, results))}</span></header>"
    )
    return (
        f'<section aria-label="{name}" style="min-width:0;border:{_BORDER};border-radius:2px">{head}'
        f'<div style="padding:4px 8px;min-height:1.3em">{"".join(_body(shown, same, below=below))}</div></section>'
    )


def _body(shown: Shown, same: Mapping[str, str], *, below: bool) -> Iterator[str]:
    yield from (f'<div style="{MUTED}">{escape(note)}</div>' for note in shown.notes)
    room, left_out = _MOST_BYTES, shown.outputs_left_out
    for item in shown.items:
        if is_error(item) and shown.kernel in same:
            continue
        html = output_as_html(item, shown.kernel, below=below)
        room -= len(html)
        if room < 0:
            left_out += 1
        else:
            yield html
    if left_out:
        yield f'<div style="{MUTED}">… {left_out:,} outputs left out …</div>'
    if shown.error is not None and (shown.kernel in same or not _is_shown(shown)):
        yield block(escape(_in_short(shown, same)), WRONG, wraps=True)


def _common(results: Results, same: Mapping[str, str]) -> str:
    """Return the error of all kernels, shown once; an empty text if they have none in common."""
    if (first := shown_once(results, same)) is None:
        return ""
    body = traceback_as_html(_traceback(first))
    return f'<section style="margin-top:8px"><div>{escape(_in_all(results))}</div>{body}</section>'


def _plain_part(shown: Shown, results: Results, same: Mapping[str, str]) -> str:
    """Return what one kernel showed, under its heading."""
    items = [item for item in shown.items if not (is_error(item) and shown.kernel in same)]
    texts = [
        f"{item.excerpt(FIRST, LAST).rstrip()}\n" if isinstance(item, Printed) else text_of(item) for item in items
    ]
    left_out = [f"… {shown.outputs_left_out:,} outputs left out …\n"] if shown.outputs_left_out else []
    failed = shown.error is not None and (shown.kernel in same or not _is_shown(shown))
    short = [f"{_in_short(shown, same)}\n"] if failed else []
    heading = f"--- {shown.kernel}: {_timing(shown, results)}\n"
    return without_colours("".join([heading, *(f"{note}\n" for note in shown.notes), *texts, *left_out, *short]))


def _timing(shown: Shown, results: Results) -> str:
    """Return in words how far a kernel is, or how long it took and how many times as long as the fastest."""
    if shown.seconds is None:
        return "failed" if shown.error else shown.state
    took = _seconds_in_words(shown.seconds)
    if shown.error is not None:
        return f"failed after {took}"
    least = _comparable(results)
    if least is None:
        return took
    return f"{took}, fastest" if shown.seconds == least else f"{took}, {shown.seconds / least:.2f}x"


def _comparable(results: Results) -> float | None:
    """Return the least of several times; None if they are so short that their ratios are chance."""
    times = [one.seconds for one in results.values() if one.seconds is not None and one.error is None]
    return results.fastest if len(times) > 1 and max(times) >= _RATIO_SECONDS else None


def _caption(results: Results) -> str:
    """Return what a reader must know to compare the times; an empty text if nothing."""
    if _comparable(results) is None:
        return ""
    ratios = "Ratios are to the fastest."
    if results.serial:
        return f"{ratios} One ran while the others were idle."
    return f"{ratios} All ran at the same time and shared the processors; with --serial, one runs at a time."


def _seconds_in_words(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else duration_in_words(seconds)


def _in_all(results: Results) -> str:
    count = len(results)
    number = "both" if count == 2 else f"all {_NUMBERS[count] if count < len(_NUMBERS) else count}"  # noqa: PLR2004
    return f"The same in {number}:"


def _in_short(shown: Shown, same: Mapping[str, str]) -> str:
    error = shown.error
    assert error is not None
    if shown.kernel in same:
        where = f" (as in {same[shown.kernel]})" if same[shown.kernel] else ""
        return f"{error.ename}{where}: {error.evalue}" if where else f"{error.ename}: {error.evalue}"
    return _message(error)


def _message(error: Failure) -> str:
    """Return an error of which there is no traceback in colour, with what the process wrote."""
    return "\n".join(filter(None, [f"{error.ename}: {error.evalue}", error.stderr]))


def _traceback(shown: Shown) -> str:
    assert shown.error is not None
    found = [item for item in shown.items if is_error(item)]
    lines = ["\n".join(found[-1]["traceback"])] if found else []
    return "\n".join([*lines, *([] if _is_shown(shown) else [_message(shown.error)])])


def _is_shown(shown: Shown) -> bool:
    """Whether the error of a kernel is among its outputs."""
    return any(is_error(item) and shown.error and item["ename"] == shown.error.ename for item in shown.items)
