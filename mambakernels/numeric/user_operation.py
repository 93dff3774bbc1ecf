"""The user's code as an operation, in the process that measures it."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

import numpy as np

from mambakernels.numeric.operation import Operation
from mambakernels.numeric.residuals import Array
from mambakernels.numeric.user_code import NO_DTYPE, UserCode

_MEASURED = "measured"


class UserOperation(Operation):
    """An operation whose call is the user's: a function with the arguments from its setup, or a text.

    A function's setup gets the size, if there are sizes, and returns the arguments: a tuple of several, or one. Without
    a setup, the function itself gets the size. `n` is the size in a text's setup. A check gets the arguments and then
    the result, and returns whether it is right.
    """

    def __init__(self, code: UserCode) -> None:
        prepare = _text_setup(code) if code.text else None
        space = {} if code.text else _run(code.source, code.name)
        function = space.get(code.function, _call)
        super().__init__(
            name=code.name,
            routines={NO_DTYPE: None, "float64": None},
            setup=prepare or _function_setup(space.get(code.setup)),
            call=function,
            shape=lambda n: {"n": n},
            flops=None,
            elements=None,
            residual=lambda *_: 0.0,
            bound=lambda **_: 0.0,
        )
        object.__setattr__(self, "_check", space.get(code.check))
        object.__setattr__(self, "_flops", code.flops or {})

    def flop_count(self, n: int, dtype: str) -> float | None:  # noqa: ARG002
        """Return the floating-point operations of one call, as the user gave them."""
        flops: Mapping[str, float] = vars(self)["_flops"]
        return flops.get(str(n))

    def check(self, given: tuple[Array, ...], result: Any) -> float:
        """Return 0 for a right result, and 1 for a wrong one; without a check, all are right."""
        is_right: Callable[..., object] | None = vars(self)["_check"]
        return 0.0 if is_right is None or is_right(*given, result) else 1.0

    def allowed(self, n: int, dtype: str) -> float:  # noqa: ARG002
        """Return the bound between right and wrong."""
        return 0.5


def _function_setup(setup: Callable[..., Any] | None) -> Callable[..., tuple[Any, ...]]:
    def prepare(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Any, ...]:  # noqa: ARG001
        given = (n,) if n else ()
        if setup is None:
            return given
        arguments = setup(*given)
        return arguments if isinstance(arguments, tuple) else (arguments,)

    return prepare


def _text_setup(code: UserCode) -> Callable[..., tuple[Any, ...]]:
    compiled = _as_function(code.text, code.name)

    def prepare(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Any, ...]:  # noqa: ARG001
        space = _run(code.source, f"setup of {code.name}", {"n": n} if n else {})
        exec(compiled, space)  # noqa: S102 (the user's own code)
        return (space[_MEASURED],)

    return prepare


def _call(function: Callable[[], object]) -> object:
    return function()


def _run(source: str, name: str, space: Mapping[str, Any] = {}) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "measured", **space}
    exec(compile(source, _file(source, name), "exec", dont_inherit=True), names)  # noqa: S102 (the user's own code)
    return names


def _as_function(text: str, name: str) -> CodeType:
    """Return the code that defines `measured`, whose body is the text, and whose result is that of its last line."""
    file = _file(text, name)
    tree, body = ast.parse(f"def {_MEASURED}(): pass"), ast.parse(text, file).body
    last = body[-1]
    if isinstance(last, ast.Expr):
        body[-1] = ast.copy_location(ast.Return(last.value), last)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = body
    return compile(ast.fix_missing_locations(tree), file, "exec", dont_inherit=True)


def _file(source: str, name: str) -> str:
    """Return a name for source text under which tracebacks find its lines."""
    file = f"<{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return file
