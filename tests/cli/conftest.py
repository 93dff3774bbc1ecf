"""Real kernels of this very Python, and notebooks to run on them."""

from __future__ import annotations

from support.python_kernels import install, output, write

__all__ = ["install", "output", "write"]
