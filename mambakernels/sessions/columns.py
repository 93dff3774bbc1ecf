"""Results side by side: HTML in columns for notebooks, and plain text, one kernel after another.

The HTML needs no script, widget or file, so it survives in a saved notebook and in its exports. It takes the colours of
JupyterLab's theme, and where there is none those of the page.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, TypeGuard

from mambakernels.runs.records import Failure
from mambakernels.runs.session import without_colours
from mambakernels.sessions.ansi import as_html
from mambakernels.sessions.shown import Json, Printed, Results, Shown, excerpt, text_of
from mambakernels.system.quantities import duration_in_words

_FIRST, _LAST = 40, 60  # lines of each text
_MOST_BYTES = 2_000_000  # of a kernel's outputs in a page
_RATIO_SECONDS = 0.05  # below, ratios are chance
_MOST_IN_A_ROW = 3
_NARROWEST = "19em"
_BORDER = "1px solid var(--jp-border-color2, #8888)"
_SCROLLS = "margin:0;padding:0;overflow-x:auto;white-space:pre;background:none;line-height:1.3;"
_FONT = "font-family:var(--jp-code-font-family, monospace);font-size:var(--jp-code-font-size, 13px);"
_WRONG = "background:var(--jp-rendermime-error-background, #f002);padding:2px 4px;"
_MUTED = "color:var(--jp-ui-font-color2, GrayText);"
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_CELL_LINE = re.compile(r"^-+> (\d+) ", re.MULTILINE)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_WIDGETS = {"application/vnd.jupyter.widget-view+json"}  # the model of a widget is in its kernel: shown as text
_PNG = b"\x89PNG\r\n\x1a\n"


def page(results: Results, *, below: bool = False) -> str:
    """Return the results as HTML in columns, next to each other where there is room.

    `below` says that what HTML cannot show (see `elsewhere`) follows below.
    """
    same = _same_errors(results)
    columns = [_column(one, results, same, below=below) for one in results.values()]
    note = f'<div style="{_MUTED}margin-top:2px">{escape(text)}</div>' if (text := _caption(results)) else ""
    return f'<div class="mambakernels-columns">{_arranged(columns)}{_common(results, same)}{note}</div>'


def plain(results: Results) -> str:
    """Return the results as text, one kernel after another, each under a heading."""
    same = _same_errors(results)
    parts = [_plain_part(one, results, same) for one in results.values()]
    if (first := _of_all(results, same)) is not None:
        parts.append(f"{_in_all(results)}\n{without_colours(_traceback(first))}\n")
    return "\n".join(parts) + (f"\n{caption}\n" if (caption := _caption(results)) else "")


def elsewhere(results: Results) -> list[tuple[str, Json]]:
    """Return the outputs that only a front end can show, such as Plotly's figures or scripts, each with its kernel."""
    return [(one.kernel, output) for one in results.values() for output in one.outputs if _needs_front_end(output)]


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
    yield from (f'<div style="{_MUTED}">{escape(note)}</div>' for note in shown.notes)
    room, left_out = _MOST_BYTES, shown.outputs_left_out
    for item in shown.items:
        if _is_error(item) and shown.kernel in same:
            continue
        html = _output(item, shown.kernel, below=below)
        room -= len(html)
        if room < 0:
            left_out += 1
        else:
            yield html
    if left_out:
        yield f'<div style="{_MUTED}">… {left_out:,} outputs left out …</div>'
    if shown.error is not None and (shown.kernel in same or not _is_shown(shown)):
        yield _block(escape(_in_short(shown, same)), _WRONG, wraps=True)


def _output(item: Printed | Json, kernel: str, *, below: bool) -> str:
    if isinstance(item, Printed):
        return _block(as_html(item.excerpt(_FIRST, _LAST)), _WRONG if item.name == "stderr" else "")
    if item["output_type"] == "error":
        return _block(as_html(excerpt("\n".join(item["traceback"]), _FIRST // 2, _LAST)), _WRONG)
    if below and _needs_front_end(item):
        return f'<div style="{_MUTED}">{escape(text_of(item).strip() or "an output")}: see below</div>'
    data: Mapping[str, Any] = {kind: _joined(value) for kind, value in item["data"].items()}
    for kind, show in _SHOWN_AS.items():
        if kind in data and not (kind == "text/html" and _has_script(data[kind])):
            return show(data[kind], kind, f"{kernel}: {data.get('text/plain', 'figure')}")
    return ""


def _text(text: str, _kind: str, _alt: str) -> str:
    return _block(as_html(excerpt(text, _FIRST, _LAST)))


def _html(text: str, _kind: str, _alt: str) -> str:
    return f'<div style="overflow-x:auto">{text}</div>'


def _latex(text: str, _kind: str, _alt: str) -> str:
    return f"<div>{escape(text)}</div>"


def _markdown(text: str, _kind: str, _alt: str) -> str:
    from nbconvert.filters.markdown_mistune import markdown2html_mistune  # slow, and rarely needed

    return f"<div>{markdown2html_mistune(text)}</div>"


def _picture(content: str, kind: str, alt: str) -> str:
    if kind == "image/svg+xml":
        content = base64.b64encode(content.encode()).decode()
    content = content.replace("\n", "")
    size = _png_size(content) if kind == "image/png" else None
    place = f' width="{size[0]}" height="{size[1]}"' if size else ""  # so that nothing jumps when it has been decoded
    style = "max-width:100%;height:auto;background:#fff"
    return f'<img alt="{escape(alt)}"{place} style="{style}" src="data:{kind};base64,{content}">'


_SHOWN_AS: Mapping[str, Callable[[str, str, str], str]] = {
    "text/html": _html,
    "text/markdown": _markdown,
    "image/svg+xml": _picture,
    "image/png": _picture,
    "image/jpeg": _picture,
    "image/gif": _picture,
    "text/latex": _latex,
    "text/plain": _text,
}


def _block(html: str, style: str = "", *, wraps: bool = False) -> str:
    """Return preformatted text that scrolls sideways in its column, by keyboard too."""
    wrapping = "white-space:pre-wrap;overflow-wrap:anywhere;" if wraps else ""
    return f'<pre tabindex="0" style="{_SCROLLS}{_FONT}{wrapping}{style}">{html}</pre>'


def _common(results: Results, same: Mapping[str, str]) -> str:
    """Return the error of all kernels, shown once; an empty text if they have none in common."""
    if (first := _of_all(results, same)) is None:
        return ""
    body = _block(as_html(excerpt(_traceback(first), _FIRST // 2, _LAST)), _WRONG)
    return f'<section style="margin-top:8px"><div>{escape(_in_all(results))}</div>{body}</section>'


def _plain_part(shown: Shown, results: Results, same: Mapping[str, str]) -> str:
    """Return what one kernel showed, under its heading."""
    items = [item for item in shown.items if not (_is_error(item) and shown.kernel in same)]
    texts = [
        f"{item.excerpt(_FIRST, _LAST).rstrip()}\n" if isinstance(item, Printed) else text_of(item) for item in items
    ]
    left_out = [f"… {shown.outputs_left_out:,} outputs left out …\n"] if shown.outputs_left_out else []
    failed = shown.error is not None and (shown.kernel in same or not _is_shown(shown))
    short = [f"{_in_short(shown, same)}\n"] if failed else []
    heading = f"--- {shown.kernel}: {_timing(shown, results)}\n"
    return without_colours("".join([heading, *(f"{note}\n" for note in shown.notes), *texts, *left_out, *short]))


def _timing(shown: Shown, results: Results) -> str:
    """Return in words how far a kernel is, or how long it took, and how much longer than the fastest."""
    if shown.seconds is None:
        return "failed" if shown.error else shown.state
    took = _seconds_in_words(shown.seconds)
    if shown.error is not None:
        return f"failed after {took}"
    least, ended = results.fastest, [one for one in results.values() if one.seconds is not None]
    if least is None or len(ended) < 2 or max(one.seconds or 0 for one in ended) < _RATIO_SECONDS:  # noqa: PLR2004
        return took
    return f"{took}, fastest" if shown.seconds == least else f"{took}, {shown.seconds / least:.2f} times the fastest"


def _caption(results: Results) -> str:
    """Return what a reader must know to compare the times; an empty text if nothing."""
    times = [one.seconds for one in results.values() if one.seconds is not None and one.error is None]
    if results.serial or len(times) < 2 or max(times) < _RATIO_SECONDS:  # noqa: PLR2004
        return ""
    return "They ran at the same time and shared the processors. With --serial, one runs while the others idle."


def _seconds_in_words(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else duration_in_words(seconds)


def _same_errors(results: Results) -> dict[str, str]:
    """Return the kernels whose error is shown elsewhere, each with the kernel that shows it.

    That is the first with this error; if all kernels have it, the empty text, and it is shown below them.
    """
    first: dict[tuple[str, ...], str] = {}
    same = {}
    for one in results.failed:
        shown_by = first.setdefault(_key(one), one.kernel)
        if shown_by != one.kernel:
            same[one.kernel] = shown_by
    if len(first) == 1 and len(results.failed) == len(results) > 1:
        return dict.fromkeys(results, "")
    return same


def _key(shown: Shown) -> tuple[str, ...]:
    """Return what makes an error the same in another kernel: its type, its text, and the line of the cell."""
    error = shown.error
    assert error is not None
    line = _CELL_LINE.search(error.traceback)
    text = _ADDRESS.sub("", error.evalue).replace(shown.kernel, "")
    return error.ename, text, line[1] if line else ""


def _of_all(results: Results, same: Mapping[str, str]) -> Shown | None:
    """Return the first of all kernels if all have the same error."""
    return next(iter(results.values())) if "" in same.values() else None


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
    found = [item for item in shown.items if _is_error(item)]
    lines = ["\n".join(found[-1]["traceback"])] if found else []
    return "\n".join([*lines, *([] if _is_shown(shown) else [_message(shown.error)])])


def _is_shown(shown: Shown) -> bool:
    """Whether the error of a kernel is among its outputs."""
    return any(_is_error(item) and shown.error and item["ename"] == shown.error.ename for item in shown.items)


def _is_error(item: Printed | Json) -> TypeGuard[Json]:
    return not isinstance(item, Printed) and item["output_type"] == "error"


def _needs_front_end(item: Printed | Json) -> bool:
    """Whether only a front end can show an output: a type of its own, or a script, and no picture of it."""
    if isinstance(item, Printed) or item["output_type"] in {"stream", "error"}:
        return False
    data = item["data"]
    own = [kind for kind in data if kind.startswith("application/") and kind not in _WIDGETS]
    return bool(own) or _has_script(_joined(data.get("text/html", "")))


def _has_script(html: str) -> bool:
    return "<script" in html.lower()


def _joined(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) else value


def _png_size(content: str) -> tuple[int, int] | None:
    """Return width and height of a PNG picture in base64; None if it is not one."""
    start = base64.b64decode(content[:32])
    if not start.startswith(_PNG):
        return None
    width, height = struct.unpack(">II", start[16:24])
    return width, height
