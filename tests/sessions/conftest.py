"""Real kernels of this very Python."""

from __future__ import annotations

from support.python_kernels import install
from support.r_kernel import irkernel

__all__ = ["install", "irkernel"]
