"""Charts, expectations and comparisons of kernels for lessons; installed in the kernels with `mambakernels.numeric`.

    from mambakernels.lessons import bars, compare, expect

Only NumPy and the standard library are needed, and NumPy is not loaded before it is used: a lesson sets its thread
count first.
"""

from mambakernels.lessons.charts import Chart, bars, lines
from mambakernels.lessons.compared import Compared
from mambakernels.lessons.evidence import race, seconds_of
from mambakernels.lessons.expecting import LESSON_MIME_TYPE, Expectations, Shape, expect
from mambakernels.lessons.functions import ElsewhereError, compare, in_fresh_process, on_kernels

__all__ = [
    "LESSON_MIME_TYPE",
    "Chart",
    "Compared",
    "ElsewhereError",
    "Expectations",
    "Shape",
    "bars",
    "compare",
    "expect",
    "in_fresh_process",
    "lines",
    "on_kernels",
    "race",
    "seconds_of",
]
