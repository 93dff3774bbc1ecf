"""All operations by name. A new one is one more entry in the table it belongs to.

A size n means n-by-n matrices, and vectors of n² numbers where an operation knows only vectors (dot, fft, exp, sort):
at one size all operations work on as much data, and dot shows what memory allows, not what a call costs. Tall matrices
have n² numbers in 32 columns. Only `gemm_stacked` is a stack of many n-by-n matrices, and `gemm` itself at n = 2…64 is
the small product.

Flops are those of the textbook algorithm for real numbers; a complex multiplication with its addition counts as four
real ones. Source: LAPACK Working Note 41, "Operation Counts for the LAPACK Routines", for BLAS and factorizations.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mambakernels.numeric.controls import CONTROLS
from mambakernels.numeric.decompositions import DECOMPOSITIONS
from mambakernels.numeric.operation import DTYPES, Operation
from mambakernels.numeric.products import PRODUCTS
from mambakernels.numeric.scientific import SCIENTIFIC

__all__ = ["DTYPES", "OPERATIONS", "Operation", "available_operations"]

OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {operation.name: operation for operation in (*PRODUCTS, *DECOMPOSITIONS, *CONTROLS, *SCIENTIFIC)}
)
"""Every operation by its name, in the order tables show them."""


def available_operations() -> tuple[str, ...]:
    """Return the names of the operations that can run here: all of NumPy's, and those whose library is installed."""
    return tuple(name for name, operation in OPERATIONS.items() if operation.available)
