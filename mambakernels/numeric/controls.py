"""The controls, as data: operations without BLAS, on which kernels that differ only in their BLAS must agree.

A Fourier transform counts by the FFTW project's convention: 2.5 N log2 N flops for real numbers, 5 N log2 N for complex
ones.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from mambakernels.numeric import residuals, setups
from mambakernels.numeric.operation import Operation, none


def _length(n: int) -> dict[str, int]:
    return {"n": n * n}


_control = partial(Operation, routines=none(), shape=_length, control=True)

CONTROLS = (
    _control(
        name="fft",
        setup=lambda n, dtype, rng: (setups.vector(n, dtype, rng),),
        call=np.fft.fft,
        flops=lambda n: 2.5 * n * math.log2(n),
        complex_flops=lambda n: 5 * n * math.log2(n),
        elements=None,
        residual=residuals.fourier,
        bound=lambda n: 16 * (1 + math.log2(n)),
        flops_nominal=True,
    ),
    _control(
        name="exp",
        setup=lambda n, dtype, rng: (setups.uniform(n, dtype, rng),),
        call=np.exp,
        flops=None,
        elements=lambda n: 2 * n,
        residual=residuals.exponential,
        bound=lambda **_: 16,
    ),
    _control(
        name="sort",
        setup=lambda n, dtype, rng: (setups.vector(n, dtype, rng),),
        call=np.sort,
        flops=None,
        elements=lambda n: 2 * n,
        residual=residuals.sorting,
        bound=lambda **_: 1,
    ),
)
"""In the order tables show them."""
