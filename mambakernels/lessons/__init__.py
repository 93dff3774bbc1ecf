"""Charts, expectations and access to other kernels for lessons; installed in the kernels with `mambakernels.numeric`.

    from mambakernels.lessons import bars, expect, on_kernels

As in `numeric`, nothing is loaded before it is used, and only NumPy and the standard library are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mambakernels.lessons.charts import Chart, bars, lines
    from mambakernels.lessons.expecting import LESSON_MIME_TYPE, Expectations, Shape, expect
    from mambakernels.lessons.processes import ElsewhereError, blas_kernels, elsewhere, on_kernels

__all__ = [
    "LESSON_MIME_TYPE",
    "Chart",
    "ElsewhereError",
    "Expectations",
    "Shape",
    "bars",
    "blas_kernels",
    "elsewhere",
    "expect",
    "lines",
    "on_kernels",
]

_HOMES = {
    "charts": ("Chart", "bars", "lines"),
    "expecting": ("LESSON_MIME_TYPE", "Expectations", "Shape", "expect"),
    "processes": ("ElsewhereError", "blas_kernels", "elsewhere", "on_kernels"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
