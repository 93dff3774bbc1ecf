"""Outputs of a cell as HTML: the best of their MIME types that needs no script, and text that scrolls in its column."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from mambakernels.sessions.ansi import as_html
from mambakernels.sessions.shown import Json, Printed, excerpt, text_of

FIRST, LAST = 25, 35
"""The lines of a long text that are shown, from its beginning and its end."""

MUTED = "color:var(--jp-ui-font-color2, GrayText);"
WRONG = "background:var(--jp-rendermime-error-background, #f002);padding:2px 4px;"
_SCROLLS = "margin:0;padding:0;overflow-x:auto;white-space:pre;background:none;line-height:1.3;"
_FONT = "font-family:var(--jp-code-font-family, monospace);font-size:var(--jp-code-font-size, 13px);"
_WIDGETS = {"application/vnd.jupyter.widget-view+json"}  # the model of a widget is in its kernel: shown as text
_PNG = b"\x89PNG\r\n\x1a\n"


def output_as_html(item: Printed | Json, kernel: str, *, below: bool) -> str:
    """Return an output as HTML; with `below`, one that only a front end can show refers to where that does."""
    if isinstance(item, Printed):
        return block(as_html(item.excerpt(FIRST, LAST)), WRONG if item.name == "stderr" else "")
    if item["output_type"] == "error":
        return traceback_as_html("\n".join(item["traceback"]))
    if below and needs_front_end(item):
        return f'<div style="{MUTED}">{escape(text_of(item).strip() or "an output")}: see below</div>'
    data: Mapping[str, Any] = {kind: _joined(value) for kind, value in item["data"].items()}
    for kind, show in _SHOWN_AS.items():
        if kind in data and not (kind == "text/html" and _has_script(data[kind])):
            shown = show(data[kind], kind, f"{kernel}: {data.get('text/plain', 'figure')}")
            return shown + (_widget_note(kernel) if data.keys() & _WIDGETS else "")
    return ""


def traceback_as_html(text: str) -> str:
    """Return a traceback with its colours; of an endless recursion, the beginning and the end."""
    return block(as_html(excerpt(text, FIRST // 2, LAST)), WRONG)


def _widget_note(kernel: str) -> str:
    return f'<div style="{MUTED}">A widget, shown as text: it works in a notebook that runs on {escape(kernel)}.</div>'


def _text(text: str, _kind: str, _alt: str) -> str:
    return block(as_html(excerpt(text, FIRST, LAST)))


def _html(text: str, _kind: str, _alt: str) -> str:
    return f'<div style="overflow-x:auto">{text}</div>'


def _latex(text: str, _kind: str, _alt: str) -> str:
    return f"<div>{escape(text)}</div>"


def _markdown(text: str, _kind: str, _alt: str) -> str:
    from mambakernels.runs.pages import markdown_as_html

    return f"<div>{markdown_as_html(text)}</div>"


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


def block(html: str, style: str = "", *, wraps: bool = False) -> str:
    """Return preformatted text that scrolls sideways in its column, by keyboard too."""
    wrapping = "white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;" if wraps else ""
    return f'<pre tabindex="0" style="{_SCROLLS}{_FONT}{wrapping}{style}">{html}</pre>'


def needs_front_end(item: Printed | Json) -> bool:
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
