"""Code of the user's own, to be measured in other processes: it travels as source text.

A plain function travels with all that it uses: other functions of the same notebook or module as source, modules and
what was imported from them as import statements, constants as literals. So it works in any version of Python, which
pickled functions do not.
"""

from __future__ import annotations
import __future__

import inspect
import sys
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import dedent
from types import CodeType, FunctionType, ModuleType
from typing import Any

NO_DTYPE = "-"
"""Stands for the dtype in figures of the user's code, which may use any."""

Code = Callable[..., Any] | str
_ANNOTATIONS = __future__.annotations.compiler_flag
_HEAD = "from __future__ import annotations\n"


class NotPortableError(ValueError):
    """A function cannot be sent to another process; the message says why, and what to do."""


@dataclass(frozen=True)
class UserCode:
    """Code to measure, as text.

    `source` defines the functions that `function`, `setup` and `check` name; without a `function`, `text` is what is
    measured, after `source` ran. `flops` holds the floating-point operations for each size, or nothing.
    """

    name: str
    source: str
    function: str = ""
    text: str = ""
    setup: str = ""
    check: str = ""
    flops: Mapping[str, float] | None = None

    @classmethod
    def of_function(
        cls,
        name: str,
        function: Callable[..., Any],
        *,
        setup: Callable[..., Any] | None = None,
        check: Callable[..., Any] | None = None,
        flops: Mapping[str, float] | None = None,
    ) -> UserCode:
        """Return what a function is in another process; NotPortableError if it cannot be sent there."""
        given = [one for one in (function, setup, check) if one is not None]
        return cls(
            name=name,
            source=function_source(*given),
            function=function.__name__,
            setup=setup.__name__ if setup else "",
            check=check.__name__ if check else "",
            flops=flops,
        )


def user_codes(
    code: Code | Mapping[str, Code] | Sequence[Callable[..., Any]],
    *,
    setup: Code | None = None,
    check: Callable[..., Any] | None = None,
    flops: Callable[[int], float] | None = None,
    sizes: Sequence[int] = (),
) -> list[UserCode]:
    """Return what is to be measured, each under its name: a function's own, or that in a mapping."""
    named = dict(code) if isinstance(code, Mapping) else {_name_of(one): one for one in _listed(code)}
    counts = {str(size): float(flops(size)) for size in sizes} if flops else None
    return [_user_code(name, one, setup, check, counts) for name, one in named.items()]


def _listed(code: Code | Sequence[Code]) -> list[Code]:
    return list(code) if isinstance(code, list | tuple) else [code]  # type: ignore[list-item]


def _name_of(code: Code) -> str:
    return code.strip().partition("\n")[0][:40] if isinstance(code, str) else getattr(code, "__name__", "")


def _user_code(
    name: str,
    code: Code,
    setup: Code | None,
    check: Callable[..., Any] | None,
    flops: Mapping[str, float] | None,
) -> UserCode:
    if not isinstance(code, str):
        if isinstance(setup, str):
            raise NotPortableError(f"The setup of `{name}` must be a function, as `{name}` is one.")
        return UserCode.of_function(name, code, setup=setup, check=check, flops=flops)
    if check is not None or not (setup is None or isinstance(setup, str)):
        raise NotPortableError("Code as text takes a setup as text, and no check: give functions instead.")
    for text in (code, setup or ""):
        compile(text, "<code>", "exec")  # SyntaxError here, not in each kernel
    if not code.strip():
        raise NotPortableError("There is no code to measure.")
    return UserCode(name, source=setup or "", text=code, flops=flops)


def function_source(*functions: Callable[..., Any]) -> str:
    """Return the source text that defines functions and all that they use; NotPortableError where there is none."""
    parts: dict[str, str] = {}
    for function in functions:
        _add_function(function, parts, seen=set())
    return _HEAD + "\n".join(parts.values())


def _add_function(function: Callable[..., Any], parts: dict[str, str], *, seen: set[str]) -> None:
    name = getattr(function, "__name__", repr(function))
    if name in seen:
        return
    seen.add(name)
    text = _source(function, name)
    for used in _globals_of(text):
        if used in function.__globals__:
            _add_value(used, function.__globals__[used], function, parts, seen)
    parts.pop(name, None)
    parts[name] = text


def _source(function: Callable[..., Any], name: str) -> str:
    if not isinstance(function, FunctionType):
        raise NotPortableError(f"{function!r} is not a function that `def` made: write one that calls it.")
    if name == "<lambda>":
        raise NotPortableError("A lambda has no name and no source of its own: define the function with `def`.")
    if function.__code__.co_freevars:
        inner = ", ".join(f"`{free}`" for free in function.__code__.co_freevars)
        raise NotPortableError(
            f"`{name}` uses {inner} of the function around it. Define it at the top of a cell or module, and pass what "
            "it needs as arguments."
        )
    try:
        return dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise NotPortableError(f"The source of `{name}` cannot be found: {error}.") from error


def _globals_of(text: str) -> list[str]:
    """Return the names that code looks up outside of itself; annotations are not evaluated, so theirs do not count."""
    return list(dict.fromkeys(_looked_up(compile(text, "<function>", "exec", _ANNOTATIONS, dont_inherit=True))))


def _looked_up(code: CodeType) -> Iterator[str]:
    import dis

    yield from (step.argval for step in dis.get_instructions(code) if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"})
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _looked_up(inner)


def _add_value(name: str, value: Any, user: Callable[..., Any], parts: dict[str, str], seen: set[str]) -> None:
    if isinstance(value, FunctionType) and value.__module__ == user.__module__:
        _add_function(value, parts, seen=seen)
        if value.__name__ != name:
            parts[name] = f"{name} = {value.__name__}"
        return
    text = _import_of(name, value) or _literal(name, value)
    if text is None:
        raise NotPortableError(
            f"`{user.__name__}` uses `{name}`, whose value ({type(value).__name__}) cannot be sent to other processes. "
            f"Make it in the setup and take it as an argument."
        )
    parts.setdefault(name, text)


def _import_of(name: str, value: Any) -> str | None:
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}"
    home = getattr(value, "__module__", None) or type(value).__module__.partition(".")[0]
    there = getattr(value, "__name__", None)
    if home == "__main__" or there is None or getattr(sys.modules.get(home), there, None) is not value:
        return None
    return f"from {home} import {there} as {name}"


def _literal(name: str, value: Any) -> str | None:
    text = repr(value)
    try:
        return f"{name} = {text}" if literal_eval(text) == value else None
    except (ValueError, SyntaxError, TypeError, MemoryError):
        return None
