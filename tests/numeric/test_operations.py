from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from support import flop_counting

from mambakernels.numeric import native
from mambakernels.numeric.operations import DTYPES, OPERATIONS, Operation, available_operations

pytestmark = pytest.mark.usefixtures("flags_ignored", "one_thread")

# At n = 1000, real numbers, worked out by hand from the formulas the modules name.
FLOPS = {
    "gemm": 2.0e9,
    "gemm_nt": 2.0e9,
    "gemm_tn": 2.0e9,
    "gemm_tt": 2.0e9,
    "gemm_tall": 6.4e7,
    "gemm_stacked": 2.0e9,
    "norm": 2.002e9,
    "syrk": 1.001e9,
    "syrk_copy": 2.0e9,
    "gemv": 2.0e6,
    "gemv_t": 2.0e6,
    "dot": 2.0e6,
    "cholesky": 3.338333e8,
    "solve": 6.686667e8,
    "solve_many": 2.666667e9,
    "inv": 2.666667e9,
    "det": 6.666667e8,
    "qr": 2.666667e9,
    "qr_r": 1.333333e9,
    "qr_tall": 1.279563e8,
    "eigh": 9.0e9,
    "eigvalsh": 1.333333e9,
    "eig": 2.633e10,
    "eigvals": 1.0e10,
    "svd": 6.67e9,
    "svdvals": 2.666667e9,
    "lstsq": 4.166667e8,
    "fft": 4.982892e7,
    "exp": None,
    "sort": None,
    "lu": 6.666667e8,
    "expm": None,
    "pca": None,
    "svm": None,
}
NUMPYS = [name for name, operation in OPERATIONS.items() if operation.needs is None]
# What LAPACK computes in place, or only half of: less moves than arguments and results would fill.
IN_PLACE = {"cholesky", "solve", "inv", "norm"}


def test_every_operation_has_its_flops_checked() -> None:
    assert set(FLOPS) == set(OPERATIONS)


@pytest.mark.parametrize(("name", "flops"), FLOPS.items())
def test_flops(name: str, flops: float | None) -> None:
    expected = None if flops is None else pytest.approx(flops, rel=1e-6)
    assert OPERATIONS[name].flop_count(1000, "float64") == expected
    assert OPERATIONS[name].flop_count(1000, "float32") == expected


@pytest.mark.parametrize("name", flop_counting.ALGORITHMS)
def test_flops_are_those_that_the_textbook_algorithm_makes(name: str) -> None:
    """Counted by numbers that count: exact for products, and up to lower powers of n for decompositions."""
    operation = OPERATIONS[name]
    counted = {n: flop_counting.flops(name, n) for n in (8, 16, 32)}
    errors = [abs((operation.flop_count(n, "float64") or 0) / count - 1) for n, count in counted.items()]
    assert errors[-1] < 0.1
    assert errors[2] <= errors[1] <= errors[0]


@pytest.mark.parametrize("name", flop_counting.COMPLEX)
def test_complex_flops_are_those_that_the_textbook_algorithm_makes(name: str) -> None:
    counted = flop_counting.flops(name, 24, complex_numbers=True)
    assert OPERATIONS[name].flop_count(24, "complex128") == pytest.approx(counted, rel=0.1)


@pytest.mark.parametrize("name", ["gemm", "dot", "solve", "svd"])
def test_complex_flops_are_four_real_ones(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation.flop_count(100, "complex64") == 4 * (operation.flop_count(100, "float64") or 0)


def test_a_complex_fourier_transform_counts_five_n_log_n() -> None:
    assert OPERATIONS["fft"].flop_count(32, "complex128") == 5 * 1024 * 10


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in NUMPYS if OPERATIONS[name].elements])
def test_bytes_are_those_of_the_arrays_that_go_in_and_come_out(name: str, dtype: str) -> None:
    operation, n = OPERATIONS[name], 96
    given = operation.setup(n, np.dtype(dtype), np.random.default_rng(0))
    result = operation.call(*given)
    parts = result if isinstance(result, tuple) else (result,)
    single = {id(a if a.base is None else a.base): a for a in given}.values()
    arrays = sum(a.nbytes for a in (*single, *map(np.asarray, parts)))
    moved = operation.byte_count(n, dtype) or 0
    if name in IN_PLACE:
        assert given[0].nbytes <= moved <= arrays * 1.5
    elif name not in {"eig", "eigh", "svd", "syrk_copy"}:
        assert moved == pytest.approx(arrays, rel=0.05)
    else:  # values and real parts are little beside the vectors, and a copy is one array more
        assert moved == pytest.approx(arrays, rel=0.6)


def test_bytes_are_elements_of_the_dtype() -> None:
    gemm = OPERATIONS["gemm"]
    assert gemm.byte_count(1000, "float64") == 2.4e7
    assert gemm.byte_count(1000, "float32") == 1.2e7
    assert gemm.byte_count(1000, "complex64") == 2.4e7
    assert gemm.byte_count(1000, "complex128") == 4.8e7
    assert OPERATIONS["fft"].byte_count(1000, "float64") is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_arguments_have_the_dtype_and_are_the_same_for_the_same_seed(name: str, dtype: str) -> None:
    if dtype not in OPERATIONS[name].routines:
        assert OPERATIONS[name].needs == "sklearn"
        return
    first, second = (OPERATIONS[name].setup(5, np.dtype(dtype), np.random.default_rng(7)) for _ in range(2))
    assert first[0].dtype == np.dtype(dtype)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("n", [1, 6, 50])
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_shape_is_the_arguments_shape(name: str, n: int) -> None:
    operation = OPERATIONS[name]
    given = operation.setup(n, np.dtype("float64"), np.random.default_rng(0))
    shape = operation.shape(n)
    sizes = {*given[0].shape, *given[-1].shape}
    assert set(shape.values()) - {1} <= sizes
    assert given[0].size <= max(n * n, 2 * max(n, 2), 256 * 256 * ("b" in shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NUMPYS)
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
    controls = {name for name, operation in OPERATIONS.items() if operation.control}
    assert without == controls == {"fft", "exp", "sort"}


@pytest.mark.parametrize("name", ["gemm_nt", "gemm_tn", "gemm_tt", "gemv_t"])
def test_transposes_are_views_that_move_nothing(name: str) -> None:
    given = OPERATIONS[name].setup(5, np.dtype("float64"), np.random.default_rng(0))
    layouts = ["n" if argument.flags.c_contiguous else "t" for argument in given]
    assert "".join(layouts) == {"gemm_nt": "nt", "gemm_tn": "tn", "gemm_tt": "tt", "gemv_t": "tn"}[name]


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        OPERATIONS["gemm"] = OPERATIONS["dot"]  # type: ignore[index]


def test_what_needs_a_library_that_is_not_there_is_not_available() -> None:
    there = OPERATIONS["gemm"]
    assert there.available
    assert not replace(there, needs="no_library_of_that_name").available
    assert set(NUMPYS) <= set(available_operations()) <= set(OPERATIONS)


def test_a_new_operation_is_one_entry() -> None:
    """All that measuring needs is in the entry itself."""
    from mambakernels.numeric.measuring import measure_one
    from mambakernels.numeric.timing import Sampling

    cumulate = Operation(
        name="cumsum",
        routines={"float64": None},
        setup=lambda n, dtype, rng: (rng.uniform(size=n).astype(dtype),),
        call=np.cumsum,
        shape=lambda n: {"n": n},
        flops=lambda n: n - 1,
        elements=lambda n: 2 * n,
        residual=lambda x, y: float(abs(y[-1] - x.sum())),
        bound=lambda n: n,
    )
    assert measure_one(cumulate, 100, "float64", sampling=Sampling(2, 1e-4)).correct
