"""Charts, expectations and access to other kernels for lessons; installed in the kernels with `mambakernels.numeric`.

    from mambakernels.lessons import bars, expect, on_kernels

Only NumPy and the standard library are needed, and NumPy is not loaded before it is used: a lesson sets its thread
count first.
"""

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
