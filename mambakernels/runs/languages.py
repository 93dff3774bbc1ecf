"""Languages whose parameters can be read and set: how each assigns one, and how it writes a value."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import keyword
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# IPython's own lines, which Python cannot parse, with what may stand before the magic: `files = !ls`, `len?`.
_IPYTHON = re.compile(r"(\s*(?:[\w., ]+=\s*)?)(?:[%!?]|.*\?\s*$)")
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_EXACT_DIGITS = 15  # R rounds a longer number twice
_PLAIN_KEY = re.compile(r"[ -~]{1,200}")  # R takes other keys of `list` for symbols that its locale may not have
_NOT_IN_R = re.compile(r"[\0\ud800-\udfff]")
_R_WORDS = frozenset(["if", "else", "repeat", "while", "function", "for", "next", "break", "in", "NA"])
_JULIA_WORDS = frozenset(
    re.findall(
        r"\w+",
        "baremodule begin break catch const continue do else elseif end export finally for function global if import "
        "let local macro module quote return struct try using while",
    )
)
NOT_LITERAL = object()
"""The default of a name that is assigned something else than a literal."""

Use = Literal["read", "assigned", "none"]


@dataclass(frozen=True)
class Language:
    """How a language's `parameters` cell is read, and how an injected cell is written.

    `literal` raises ValueError for a value that the language does not have. `first_use` says what a source does first
    with a name; `is_name` whether a word can be assigned to. `examples` returns, for each name that a cell declares a
    type for, a value of that type.
    """

    assignments: Callable[[str], Iterator[tuple[str, Any]]]
    literal: Callable[[Any], str]
    first_use: Callable[[str, str], Use]
    is_name: Callable[[str], bool]
    examples: Callable[[str], Mapping[str, Any]] = lambda _: {}

    def cell(self, values: Mapping[str, Any]) -> str:
        """Return the source of a cell that assigns these values."""
        return "\n".join(["# Parameters", *(f"{name} = {self.literal(value)}" for name, value in values.items())])


def _python_assignments(source: str) -> Iterator[tuple[str, Any]]:
    """Yield each name that a cell assigns, with its default; SyntaxError if it is not Python."""
    found: dict[str, Any] = {}
    for statement in _parsed(source)[0].body:
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    found |= _python_defaults(target, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = _python_default(value)
            case ast.If() | ast.For() | ast.While() | ast.With() | ast.Try() | ast.Expr():
                for name in _set_in(statement):
                    found.setdefault(name, NOT_LITERAL)
    yield from found.items()


def _parsed(source: str) -> tuple[ast.Module, list[str]]:
    """Parse a cell, and return IPython's own lines in it apart: those at which Python finds an error."""
    lines: list[str] = _LINE_ENDS.split(source)
    magic: list[str] = []
    while True:
        try:
            return ast.parse("\n".join(lines)), magic
        except SyntaxError as error:
            index = (error.lineno or 0) - 1
            match = _IPYTHON.match(lines[index]) if 0 <= index < len(lines) else None
            if match is None:
                raise
        while lines[index].endswith("\\") and index + 1 < len(lines):  # a command that goes on in the next line
            lines[index : index + 2] = [lines[index][:-1] + lines[index + 1]]
        magic.append(lines[index])
        lines[index] = f"{match[1]}..."


def _set_in(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _python_defaults(target: ast.expr, value: ast.expr) -> dict[str, Any]:
    """Return the names that an assignment sets, with their defaults: `n = m = 3`, `a, b = 1, 2`."""
    match target, value:
        case ast.Name(id=name), _:
            return {name: _python_default(value)}
        case ast.Tuple(elts=names), ast.Tuple(elts=values) if len(names) == len(values):
            return {
                found: default
                for name, item in zip(names, values, strict=True)
                for found, default in _python_defaults(name, item).items()
            }
        case ast.Tuple(elts=names), _:
            return {name.id: NOT_LITERAL for name in names if isinstance(name, ast.Name)}
    return {}


def _python_examples(source: str) -> dict[str, Any]:
    """Return a value of the type that each annotation of a cell names, where it is one that a parameter can have."""
    annotated = [item for item in _parsed(source)[0].body if isinstance(item, ast.AnnAssign)]
    found = {item.target.id: _example(item.annotation) for item in annotated if isinstance(item.target, ast.Name)}
    return {name: example for name, example in found.items() if example is not None}


def _example(annotation: ast.expr) -> Any:
    """Return a value of a type, None for one that is not known; `X | None` and `Optional[X]` count as `X`."""
    match annotation:
        case ast.Name(id=name):
            return {"bool": False, "int": 0, "float": 0.0, "str": ""}.get(name)
        case (
            ast.BinOp(left=one, op=ast.BitOr(), right=ast.Constant(value=None))
            | ast.BinOp(left=ast.Constant(value=None), op=ast.BitOr(), right=one)
            | ast.Subscript(value=ast.Name(id="Optional"), slice=one)
        ):
            return _example(one)
        case ast.Subscript(value=ast.Name(id="list" | "List"), slice=one):
            element = _example(one)
            return None if element is None else [element]
        case ast.Constant(value=str(text)):
            with contextlib.suppress(SyntaxError):
                return _example(ast.parse(text, mode="eval").body)
    return None


class _Floats(ast.NodeTransformer):
    """Replaces what Python has in place of literals for NaN and the infinities by their values."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace `float("nan")`."""
        match node:
            case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str(text))], keywords=[]):
                return ast.Constant(float(text))
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replace `math.nan` and `np.inf`."""
        match node:
            case ast.Attribute(value=ast.Name(id="math" | "np" | "numpy"), attr="nan" | "inf" as name):
                return ast.Constant(float(name))
        return node


def _python_default(value: ast.expr) -> Any:
    try:
        return ast.literal_eval(_Floats().visit(value))
    except (ValueError, TypeError):
        return NOT_LITERAL


def _python_literal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_python_literal(item)}' for key, item in value.items())}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_python_literal, value))}{',' if len(value) == 1 else ''})"
    return f"[{', '.join(map(_python_literal, value))}]" if isinstance(value, list) else repr(value)


def _python_first_use(source: str, name: str) -> Use:
    try:
        tree, magic = _parsed(source)
    except SyntaxError:
        return _line_first_use(source, name)
    for statement in tree.body:
        found = [node.ctx for node in ast.walk(statement) if isinstance(node, ast.Name) and node.id == name]
        if found:
            is_set = isinstance(statement, ast.Assign | ast.AnnAssign) and not any(
                isinstance(context, ast.Load) for context in found
            )
            return "assigned" if is_set else "read"
    return "read" if any(_mentions(line, name) for line in magic) else "none"


def _is_python_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def _line_first_use(source: str, name: str) -> Use:
    """Return what the first line that has the name does with it; comments do not count."""
    for line in source.splitlines():
        code = line.partition("#")[0]
        if _mentions(code, name):
            match = re.fullmatch(rf"{re.escape(name)}[ \t]*(?:<-|=(?!=))(.*)", code)
            return "assigned" if match and not _mentions(match[1], name) else "read"
    return "none"


def _mentions(code: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", code) is not None


def _line_assignments(
    words: Mapping[str, Any], text: Callable[[str], str | None]
) -> Callable[[str], Iterator[tuple[str, Any]]]:
    """Return a reader of lines that assign one literal each, which is what can be read without the language itself.

    `text` returns a text in quotes as Python has it, None for what is no literal text.
    """

    def assignments(source: str) -> Iterator[tuple[str, Any]]:
        for name, value in _LINE.findall(source):
            yield name, _line_default(value, words, text)

    return assignments


def _line_default(value: str, words: Mapping[str, Any], text: Callable[[str], str | None]) -> Any:
    """Return the value of a literal of R or Julia, of which the tokens are rewritten as Python has them."""
    tokens = _TOKEN.findall(value)
    if any(after[0] in _QUOTES and re.fullmatch(r"\w+", before) for before, after in itertools.pairwise(tokens)):
        return NOT_LITERAL  # R's r"(a)", Julia's raw"a" and L"a" have rules of their own
    rewritten = [text(token) if token[0] in _QUOTES else _python_token(token, words) for token in tokens]
    if None in rewritten:
        return NOT_LITERAL
    try:
        return ast.literal_eval(_Floats().visit(ast.parse("".join(filter(None, rewritten)), mode="eval").body))
    except (ValueError, TypeError, SyntaxError):
        return NOT_LITERAL


def _python_token(token: str, words: Mapping[str, Any]) -> str:
    if token in words:
        return _python_literal(words[token])
    if _HEXADECIMAL_FLOAT.fullmatch(token):
        return repr(float.fromhex(token))
    return {"c(": "[", "list(": "[", "Any[": "[", ")": "]"}.get(token, token.removesuffix("L"))


def _writer(
    words: Mapping[bool | None, str],
    number: Callable[[int | float], str],
    quoted: Callable[[str], str],
    sequence: Callable[[Sequence[Any], Callable[[Any], str]], str],
    mapping: Callable[[Mapping[str, Any], Callable[[Any], str]], str],
) -> Callable[[Any], str]:
    """Return a function that writes a value as a literal of a language with these words for None, True and False."""

    def write(value: Any) -> str:
        if value is None or isinstance(value, bool):
            return words[value]
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Inf" if value > 0 else "-Inf")
        if isinstance(value, str):
            return quoted(value)
        if isinstance(value, list | tuple):
            return sequence(value, write)
        return mapping(value, write) if isinstance(value, Mapping) else number(value)

    return write


def _r_number(value: float) -> str:
    if isinstance(value, int) and int(float(value)) != value:
        raise ValueError(f"R has no whole number {value}; give it as a text")
    text = repr(value)
    digits = text.lower().partition("e")[0].lstrip("-0.").replace(".", "")
    return text if isinstance(value, int) or len(digits) <= _EXACT_DIGITS else value.hex()


def _r_quoted(text: str) -> str:
    if _NOT_IN_R.search(text):
        raise ValueError("R has no text with a NUL character or half of a surrogate pair")
    return _quoted(text)


def _r_sequence(values: Sequence[Any], write: Callable[[Any], str]) -> str:
    kinds = {type(value) for value in values}
    is_vector = kinds in ({bool}, {str}, {int}, {float}, {int, float})
    return f"{'c' if is_vector else 'list'}({', '.join(map(write, values))})"


def _r_mapping(values: Mapping[str, Any], write: Callable[[Any], str]) -> str:
    if all(map(_PLAIN_KEY.fullmatch, values)):
        return f"list({', '.join(f'{write(name)} = {write(value)}' for name, value in values.items())})"
    return f"structure(list({', '.join(map(write, values.values()))}), names = c({', '.join(map(write, values))}))"


def _julia_sequence(values: Sequence[Any], write: Callable[[Any], str]) -> str:
    kinds = {type(value) for value in values}
    return f"{'' if len(kinds) == 1 else 'Any'}[{', '.join(map(write, values))}]"


def _julia_mapping(values: Mapping[str, Any], write: Callable[[Any], str]) -> str:
    return f"Dict({', '.join(f'{write(name)} => {write(value)}' for name, value in values.items())})"


def _namer(pattern: str, reserved: Collection[str]) -> Callable[[str], bool]:
    """Return a function that says whether a word is a name that a language can assign to."""
    return lambda word: re.fullmatch(pattern, word) is not None and word not in reserved


def _julia_quoted(text: str) -> str:
    return _quoted(text).replace("$", "\\$")  # it would begin an expression


def _julia_text(token: str) -> str | None:
    """Return a text in quotes as Python has it; None for a character, and for one with `$`, which is an expression."""
    plain = token.replace("\\\\", "").replace("\\$", "")
    return None if token[0] == "'" or "$" in plain else token.replace("\\$", "$")


def _quoted(text: str) -> str:
    """Return a text in quotes with every character that is not plain ASCII escaped, as R and Julia read it."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if " " <= character <= "~" or character in "\n\r\t":
        return json.dumps(character)[1:-1]
    return f"\\U{ord(character):08x}"


_QUOTES = "\"'"
_QUOTED = r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
_LINE = re.compile(
    rf"""^[ \t]*([^\W\d][\w.]*)[ \t]*(?:<-|=)[ \t]*((?:{_QUOTED}|[^\n#"'])*?)[ \t]*;?[ \t]*(?:#.*)?$""", re.MULTILINE
)
_HEXADECIMAL_FLOAT = re.compile(r"0x[\da-fA-F.]+p[-+]?\d+")
_TOKEN = re.compile(rf"{_QUOTED}|{_HEXADECIMAL_FLOAT.pattern}|[\w.]+[(\[]?|.")
_FLOATS = {"NaN": math.nan, "Inf": math.inf, "-Inf": -math.inf}
_R_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None, **_FLOATS}
_JULIA_CONSTANTS = {"true": True, "false": False, "nothing": None, **_FLOATS}
LANGUAGES: Mapping[str, Language] = {
    "python": Language(_python_assignments, _python_literal, _python_first_use, _is_python_name, _python_examples),
    "r": Language(
        _line_assignments(_R_CONSTANTS, lambda token: token),
        _writer({None: "NULL", True: "TRUE", False: "FALSE"}, _r_number, _r_quoted, _r_sequence, _r_mapping),
        _line_first_use,
        _namer(r"([^\W\d_]|\.(?!\d))[\w.]*", _R_WORDS.union(_R_CONSTANTS)),
    ),
    "julia": Language(
        _line_assignments(_JULIA_CONSTANTS, _julia_text),
        _writer({None: "nothing", True: "true", False: "false"}, repr, _julia_quoted, _julia_sequence, _julia_mapping),
        _line_first_use,
        _namer(r"[^\W\d]\w*", _JULIA_WORDS.union(_JULIA_CONSTANTS)),
    ),
}
