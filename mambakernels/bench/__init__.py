"""Kernels kept alive side by side and measured in rounds, one working while the others idle.

Nothing is imported here: `inside` runs in the kernels, which have NumPy and the standard library only.
"""
