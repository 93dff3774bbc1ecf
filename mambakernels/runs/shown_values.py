"""Values that a notebook shows, read back: numbers, texts, lists, small tables, as Python, R and Julia print them."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Callable, Mapping, Sequence
from html import unescape
from html.parser import HTMLParser
from io import StringIO
from typing import Any

from mambakernels.record import TABLE, encode

_LONGEST = 1_000_000  # characters; what is longer stays a text
_SHORTENED = {"...", "⋮", "⋯", "…"}
_R_LINE = re.compile(r"^ *\[\d+\] (.*)$")
_R_ITEM = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
_R_HTML_VECTOR = re.compile(r"<ol class=list-inline>(.*?)</ol>", re.DOTALL)
_R_HTML_ITEM = re.compile(r"<li>(.*?)</li>")
_NUMPY = re.compile(r"\b(?:np|numpy)\.(?:str|bool|float|int|uint)\w*\(([^()]*)\)")
_WRAPPED = re.compile(r"(?:array|Decimal|tensor)\((.*?)(?:, dtype=\S+)?\)", re.DOTALL)
_JULIA_VECTOR = re.compile(r"\d+-element (?:Vector|Array)\{.*\}:\n((?: .*\n?)+)")
_TYPE = re.compile(r"<\w+>|(?:Int|UInt|Float)\d+\??|String\d*\??|Bool\??|Any")
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)")  # `007` is a text
_REAL = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("TRUE", "true", "np.True_"), True),
    **dict.fromkeys(("FALSE", "false", "np.False_"), False),
    **dict.fromkeys(("NULL", "NA", "<NA>", "NaT", "nothing", "missing"), None),
    **dict.fromkeys(("nan", "NaN"), float("nan")),
    **dict.fromkeys(("inf", "Inf"), float("inf")),
    **dict.fromkeys(("-inf", "-Inf"), float("-inf")),
}


def read_output(data: Mapping[str, Any]) -> Any:
    """Return the value that an output shows, from its data by MIME type; LookupError if it has none that is known."""
    for kind, reader in _READERS.items():
        if kind in data:
            content = data[kind]
            text = "".join(content) if kind.startswith("text/") and isinstance(content, list) else content
            try:
                return reader(text)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # what was meant for readers, not for programs
    raise LookupError


def read_printed(text: str) -> Any:
    """Return the value that a text shows, as JSON has it; the text itself if it shows none that is known."""
    stripped = text.strip()
    for reader in (_word, _r_vector, _julia_vector, _python):
        try:
            return encode(reader(stripped))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return _clean(text)


def read_html(html: str) -> Any:
    """Return the one table in a page of HTML, or R's numbers, of which its plain text has fewer digits.

    ValueError if there is neither, or the table is shown shortened.
    """
    if "<table" not in html:
        return _r_numbers(html)
    if html.count("<table") != 1 or len(html) > _LONGEST:
        raise ValueError("there is not one small table")
    parser = _TableParser()
    parser.feed(html)
    body = [row for row in parser.body if row]
    labels = max((sum(is_label for is_label, _ in row) for row in body), default=0)
    header = [[text for _, text in row] for row in parser.header]
    kinds = header.pop() if _is_of_polars(html, header) else []
    header = _without_extras(header, labels)
    if not header and not labels:  # a matrix of R
        return encode([[_cell(text) for _, text in row] for row in body])
    if len(header) != 1:
        raise ValueError("there is not one row of names")
    rows = [[text for _, text in row[labels:]] for row in body]
    if kinds:
        typed = [[_of_polars(*item) for item in zip(row, kinds, strict=True)] for row in rows]
        return _table([_clean(name) for name in header[0]], list(range(len(rows))), typed)
    index = [[text for _, text in row[:labels]] for row in body] if labels else list(range(len(rows)))
    return _as_table(header[0][labels:], index, rows)


def _r_numbers(html: str) -> Any:
    """Return the number or the vector of numbers that R shows as HTML; ValueError for anything else."""
    vector = _R_HTML_VECTOR.search(html)
    shown = [unescape(item) for item in _R_HTML_ITEM.findall(vector[1])] if vector else [html.strip()]
    items = [_cell(text) for text in shown]
    if not all(shown) or any(isinstance(item, str | bool) for item in items):
        raise ValueError(html)
    return encode(items if vector else items[0])


def read_csv(text: str) -> Any:
    """Return a text of comma-separated values, with a header, as a table; ValueError if it is none."""
    if len(text) > _LONGEST:
        raise ValueError("the table is large")
    header, *rows = list(csv.reader(StringIO(text))) or [[]]
    return _as_table(header, list(range(len(rows))), [row for row in rows if row])


def read_resource(resource: Mapping[str, Any]) -> Any:
    """Return a table that was shown as `application/vnd.dataresource+json`."""
    schema, data = resource["schema"], resource["data"]
    key = schema.get("primaryKey") or []
    labels = [key] if isinstance(key, str) else key
    names = [field["name"] for field in schema["fields"] if field["name"] not in labels]
    index = [[row[name] for name in labels] for row in data] if labels else list(range(len(data)))
    return _table(names, index, [[row.get(name) for name in names] for row in data])


def _word(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    raise ValueError(text)


def _python(text: str) -> Any:
    """Return what Python prints of a value, also of NumPy's."""
    if len(text) > _LONGEST:
        raise ValueError(text)
    plain = _NUMPY.sub(r"\1", text)
    if match := _WRAPPED.fullmatch(plain):
        plain = match[1].strip("'") if plain.startswith("Decimal") else match[1]
    return ast.literal_eval(_Numbers().visit(ast.parse(plain, mode="eval")))


class _Numbers(ast.NodeTransformer):
    """Replaces the words `nan` and `inf`, which are names to Python, by their values."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(_WORDS[node.id]) if node.id in {"nan", "inf"} else node


def _r_vector(text: str) -> Any:
    """Return what R prints of a vector: `[1] 0.93`, or several lines that begin with the number of their first item."""
    lines = [_R_LINE.match(line) for line in text.splitlines()]
    if not lines or None in lines:
        raise ValueError(text)
    items = [_item(item) for line in lines if line for item in _R_ITEM.findall(line[1])]
    return items[0] if len(items) == 1 else items


def _julia_vector(text: str) -> Any:
    match = _JULIA_VECTOR.fullmatch(f"{text}\n")
    if match is None or any(line.strip() in _SHORTENED for line in match[1].splitlines()):
        raise ValueError(text)
    return [_item(line.strip()) for line in match[1].splitlines()]


def _item(text: str) -> Any:
    """Return one printed item as a value; ValueError if it is neither a word that is known nor a literal."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        return ast.literal_eval(text)
    except SyntaxError as error:
        raise ValueError(text) from error


def _cell(text: str) -> Any:
    """Return what a table's cell shows: a number if it can be one, else its text."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text):
        return float(text)
    words = {"True": True, "False": False, "None": None, "": None, **_WORDS}
    return words.get(text, _clean(text))


def _is_of_polars(html: str, header: list[list[str]]) -> bool:
    """Whether a table is a frame of polars: with its shape, and the types in the second row of the header."""
    return "<small>shape: (" in html and len(header) == 2  # noqa: PLR2004 (rows)


def _of_polars(text: str, kind: str) -> Any:
    """Return the value in a cell of this type; ValueError where polars has cut it or left out rows."""
    if text.rstrip('"').endswith("…"):
        raise ValueError("the table is shortened")
    if text == "null":
        return None
    return _clean(text[1:-1]) if kind == "str" and text.startswith('"') else _cell(text)


def _without_extras(header: list[list[str]], labels: int) -> list[list[str]]:
    """Leave out the second row of a header: the index's names, or the types that R and Julia show below the names."""
    if len(header) == 2:  # noqa: PLR2004 (rows)
        extra = header[1][labels:]
        if not any(extra) or all(_TYPE.fullmatch(text) for text in extra):
            return header[:1]
    return header


def _as_table(columns: Sequence[str], index: Sequence[Any], rows: Sequence[Sequence[str]]) -> Any:
    """Return shown rows as a table of values; ValueError if they are shortened or do not fit the names."""
    if any(len(row) != len(columns) for row in rows):
        raise ValueError("the rows do not fit the names")
    if any(text in _SHORTENED for text in columns) or any(text in _SHORTENED for row in rows for text in row):
        raise ValueError("the table is shortened")
    labels = [[_cell(part) for part in label] if isinstance(label, list) else label for label in index]
    return _table([_clean(name) for name in columns], labels, [[_cell(text) for text in row] for row in rows])


def _table(columns: Sequence[Any], index: Sequence[Any], data: Sequence[Sequence[Any]]) -> Any:
    labels = [label[0] if isinstance(label, list) and len(label) == 1 else label for label in index]
    return {TABLE: encode({"columns": columns, "index": labels, "data": data})}


def _clean(text: str) -> str:
    """Return a text without halves of characters, which no file can hold."""
    return text.encode(errors="replace").decode()


class _TableParser(HTMLParser):
    """Reads the rows of a table: for each cell whether it is a label, and its text; the rows of `thead` apart."""

    def __init__(self) -> None:
        super().__init__()
        self.header: list[list[tuple[bool, str]]] = []
        self.body: list[list[tuple[bool, str]]] = []
        self._in_header = False
        self._kind: str | None = None
        self._is_label = False
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a header, a row or a cell."""
        if tag == "thead":
            self._in_header = True
        elif tag in {"tbody", "table"}:
            self._in_header = False
        elif tag == "tr":
            (self.header if self._in_header else self.body).append([])
        elif tag in {"th", "td"}:
            self._kind, self._text = tag, []
            self._is_label = tag == "th" or ("class", "rowNumber") in attrs  # so Julia marks the numbers of rows

    def handle_endtag(self, tag: str) -> None:
        """End a header or a cell."""
        if tag == "thead":
            self._in_header = False
        elif tag == self._kind and (rows := self.header if self._in_header else self.body):
            rows[-1].append((self._is_label, "".join(self._text).strip()))
            self._kind = None

    def handle_data(self, data: str) -> None:
        """Take up the text of a cell."""
        if self._kind is not None:
            self._text.append(data)


_READERS: Mapping[str, Callable[[Any], Any]] = {  # best first
    "application/json": encode,
    "application/vnd.dataresource+json": read_resource,
    "text/csv": read_csv,
    "text/html": read_html,
    "text/plain": read_printed,
    "text/markdown": _clean,
}
