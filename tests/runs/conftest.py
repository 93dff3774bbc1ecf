"""Real kernels of this very Python, and notebooks to run on them."""

from __future__ import annotations

from support.python_kernels import install, output, write
from support.r_kernel import irkernel

__all__ = ["install", "irkernel", "output", "write"]
