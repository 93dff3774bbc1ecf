from __future__ import annotations

import sys

import numpy as np
import pytest

from mambakernels.numeric import native
from mambakernels.numeric.operations import DTYPES, OPERATIONS

# At n = 1000, real numbers, worked out by hand from the formulas the module names.
FLOPS = {
    "gemm": 2.0e9,
    "gemv": 2.0e6,
    "dot": 2.0e6,
    "syrk": 1.001e9,
    "cholesky": 3.338333e8,
    "solve": 6.686667e8,
    "qr": 2.666667e9,
    "eigh": 9.0e9,
    "svd": 6.67e9,
    "fft": 4.982892e7,
    "exp": None,
}


def test_every_operation_has_its_flops_checked() -> None:
    assert set(FLOPS) == set(OPERATIONS)


@pytest.mark.parametrize(("name", "flops"), FLOPS.items())
def test_flops(name: str, flops: float | None) -> None:
    expected = None if flops is None else pytest.approx(flops, rel=1e-6)
    assert OPERATIONS[name].flop_count(1000, "float64") == expected
    assert OPERATIONS[name].flop_count(1000, "float32") == expected


@pytest.mark.parametrize("name", ["gemm", "dot", "solve", "svd"])
def test_complex_flops_are_four_real_ones(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation.flop_count(100, "complex128") == 4 * (operation.flop_count(100, "float64") or 0)


def test_a_complex_fourier_transform_counts_five_n_log_n() -> None:
    assert OPERATIONS["fft"].flop_count(32, "complex128") == 5 * 1024 * 10


def test_bytes_are_elements_of_the_dtype() -> None:
    gemm = OPERATIONS["gemm"]
    assert gemm.byte_count(1000, "float64") == 2.4e7
    assert gemm.byte_count(1000, "float32") == 1.2e7
    assert gemm.byte_count(1000, "complex128") == 4.8e7
    assert OPERATIONS["fft"].byte_count(1000, "float64") is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_arguments_have_the_dtype_and_are_the_same_for_the_same_seed(name: str, dtype: str) -> None:
    first, second = (OPERATIONS[name].setup(5, np.dtype(dtype), np.random.default_rng(7)) for _ in range(2))
    assert {argument.dtype for argument in first} == {np.dtype(dtype)}
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_shape_is_the_arguments_shape(name: str) -> None:
    operation = OPERATIONS[name]
    given = operation.setup(6, np.dtype("float64"), np.random.default_rng(0))
    shape = operation.shape(6)
    assert max(shape.values()) == max(given[0].shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_routines_are_ones_that_numpy_imports(name: str, dtype: str) -> None:
    """Among them is no sgeqrf: `numpy.linalg` computes single precision in double."""
    core, linalg = _extensions()
    routine = OPERATIONS[name].routines[dtype]
    for part in routine.split("+") if routine else ():
        names = [native._names_in(core, f"cblas_{part}{sub}") for sub in ("", "_sub")]
        assert any(names) or native._names_in(linalg, part), part


def test_a_routine_that_numpy_does_not_import() -> None:
    assert not native._names_in(_extensions()[1], "sgeqrf")


def _extensions() -> tuple[str, str]:
    core = sys.modules.get("numpy._core._multiarray_umath") or sys.modules["numpy.core._multiarray_umath"]
    linalg = sys.modules["numpy.linalg._umath_linalg"]
    assert core.__file__
    assert linalg.__file__
    return core.__file__, linalg.__file__


def test_only_controls_call_no_routine() -> None:
    without = {name for name, operation in OPERATIONS.items() if set(operation.routines.values()) == {None}}
    assert without == {name for name, operation in OPERATIONS.items() if operation.control} == {"fft", "exp"}


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        OPERATIONS["gemm"] = OPERATIONS["dot"]  # type: ignore[index]
