"""Stands before the real debugpy on the path of the tests' kernels: ipykernel then starts a quarter faster.

No test debugs a cell. Kernels of the `environments` fixture have the real one.
"""

raise ImportError("debugpy is hidden from the kernels of the tests")
