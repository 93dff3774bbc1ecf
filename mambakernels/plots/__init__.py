"""Pictures of a frame of measurements: DataFrame → Figure, without any of pyplot's global state."""

from mambakernels.plots.accuracy import accuracy_against_speed
from mambakernels.plots.architectures import code_paths
from mambakernels.plots.page import summary_page
from mambakernels.plots.plotting import png
from mambakernels.plots.rates import gflops_by_size
from mambakernels.plots.ratios import paired_ratios
from mambakernels.plots.roof import roofline
from mambakernels.plots.scaling import thread_scaling
from mambakernels.plots.sheets import SheetName
from mambakernels.plots.style import MARKS, UNKNOWN, Mark, Theme

__all__ = [
    "MARKS",
    "UNKNOWN",
    "Mark",
    "SheetName",
    "Theme",
    "accuracy_against_speed",
    "code_paths",
    "gflops_by_size",
    "paired_ratios",
    "png",
    "roofline",
    "summary_page",
    "thread_scaling",
]
