"""Kernels compared: frames of measurements in, smaller frames, verdicts and their reasons in words out."""

from mambakernels.compare.controls import ControlVerdict, check_controls, check_pairs
from mambakernels.compare.pairs import pairs
from mambakernels.compare.summaries import KEY, libraries, summary, wide

__all__ = ["KEY", "ControlVerdict", "check_controls", "check_pairs", "libraries", "pairs", "summary", "wide"]
