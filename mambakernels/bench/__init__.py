"""Kernels kept alive side by side and measured in rounds, one at work while the others idle.

Nothing is imported here: `kernel_side` runs in the kernels, which may have only NumPy and the standard library.
"""
