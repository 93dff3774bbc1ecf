"""Operations of SciPy and scikit-learn, as data; these modules are imported when an operation is called."""

from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np

from mambakernels.numeric import residuals, setups
from mambakernels.numeric.operation import Operation, blas
from mambakernels.numeric.residuals import Array

_SVM_GAMMA, _SVM_C, _SVM_TOLERANCE = 0.1, 1.0, 1e-3

_module = functools.cache(importlib.import_module)


def _order(n: int) -> dict[str, int]:
    return {"n": n}


def _table(n: int) -> dict[str, int]:
    """Return the samples m and features n of a table for learning."""
    return {"m": max(2, n), "n": max(1, n // 4)}  # one sample has no variance


def _samples(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array]:
    return (setups.normal(tuple(_table(n).values()), dtype, rng),)


def _two_classes(n: int, dtype: np.dtype[Any], rng: np.random.Generator) -> tuple[Array, Array]:
    """Return points in the plane, and on which side of a noisy curve each of them is."""
    X = setups.normal((max(n, 2), 2), dtype, rng)
    y = np.where(X[:, 1] + 0.5 * rng.standard_normal(len(X)) > np.sin(3 * X[:, 0]), 1.0, -1.0)
    y[:2] = 1.0, -1.0  # both sides are there, however few points
    return X, y


def _pca(X: Array) -> tuple[Array, Array]:
    fitted = _module("sklearn.decomposition").PCA(svd_solver="full").fit(X)
    return fitted.components_, fitted.explained_variance_


def _svm(X: Array, y: Array) -> tuple[Array, Array, Array]:
    machine = _module("sklearn.svm").SVC(gamma=_SVM_GAMMA, C=_SVM_C, tol=_SVM_TOLERANCE).fit(X, y)
    return machine.dual_coef_[0], machine.support_, machine.intercept_


SCIENTIFIC = (
    Operation(
        name="lu",
        routines=blas("getrf"),  # SciPy, unlike NumPy, has single precision inside
        setup=lambda n, dtype, rng: (setups.matrix(n, dtype, rng),),
        call=lambda A: _module("scipy.linalg").lu(A),
        shape=_order,
        flops=lambda n: 2 * n**3 / 3,
        elements=lambda n: n**2,
        residual=residuals.lu,
        bound=lambda n: 4 * (n + 8),
        needs="scipy",
    ),
    Operation(
        name="expm",
        routines=blas("gemm", "gesv"),
        setup=setups.known_eigenvalues,
        call=lambda A, *_: _module("scipy.linalg").expm(A),
        shape=_order,
        flops=None,  # how many products and squarings depends on the norm
        elements=lambda n: 2 * n**2,
        residual=residuals.matrix_exponential,
        bound=lambda n: 4 * (n + 8),
        needs="scipy",
    ),
    Operation(
        name="pca",
        routines={"float32": "sgesdd", "float64": "dgesdd"},
        setup=_samples,
        call=_pca,
        shape=_table,
        flops=None,
        elements=lambda m, n: m * n,
        residual=residuals.principal_components,
        bound=lambda m, **_: 16 * (m + 8),
        needs="sklearn",
    ),
    Operation(
        name="svm",
        routines={"float64": "ddot"},
        setup=_two_classes,
        call=_svm,
        shape=lambda n: {"m": max(n, 2), "n": 2},
        flops=None,
        elements=lambda m, n: m * n,
        residual=lambda X, y, a, chosen, b: residuals.support_vectors(X, y, a, chosen, b, gamma=_SVM_GAMMA, C=_SVM_C),
        # The solver stops where it is right within its tolerance, far above any rounding.
        bound=lambda **_: 2 * _SVM_TOLERANCE / math.ulp(1.0),
        needs="sklearn",
    ),
)
"""In the order tables show them."""
