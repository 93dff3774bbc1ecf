"""A BLAS broken on purpose is caught by the gate that is there for it, and by no other.

Each shim is a real library, compiled here and preloaded, so that NumPy's calls go to it: to NumPy's own library and
back (wrong products, more threads than asked for), or to another library altogether.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.shims import COMPILER, FORWARD, WRONG, Workshop

from mambakernels.numeric import native, probing

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: preloads a library"),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler: install gcc and libc6-dev"),
]

DEAF = (
    FORWARD
    + """
typedef void set_t(int);
const char *openblas_get_config(void) { return "OpenBLAS 0.3.99 deaf"; }
int openblas_get_num_threads(void) { return SAYS; }
void GEMM_NAME(GEMM_ARGUMENTS) {
    ((set_t *) in_real(SET_THREADS))(2);
    forward(PASSED);
}
"""
)
OTHER = """
#include <stdint.h>
typedef INTEGER integer;
void other_gemm(integer m, integer n, integer k, const double *a, integer lda, int ta, const double *b, integer ldb,
                int tb, double *c, integer ldc) {
    for (integer i = 0; i < m; i++)
        for (integer j = 0; j < n; j++) {
            double sum = 0;
            for (integer p = 0; p < k; p++)
                sum += (ta ? a[p * lda + i] : a[i * lda + p]) * (tb ? b[j * ldb + p] : b[p * ldb + j]);
            c[i * ldc + j] = sum;
        }
}
"""
LOADER = (
    FORWARD
    + """
typedef void other_t(integer, integer, integer, const double *, integer, int, const double *, integer, int, double *,
                     integer);
void GEMM_NAME(GEMM_ARGUMENTS) {
    other_t *other = (other_t *) dlsym(dlopen(OTHER_LIBRARY, RTLD_NOW), "other_gemm");
    other(m, n, k, a, lda, ta == 112, b, ldb, tb == 112, c, ldc); /* row by row, alpha 1, beta 0: as NumPy calls it */
}
"""
)
PROGRAM = """
import json
from mambakernels.numeric import findings, measure, probe
from mambakernels.numeric.thread_activity import threads_at_work
probed = probe()
working = threads_at_work(probed.blas.threads or 1)
at_work = [found.text for found in findings(probed, working=working) if found.rule == "threads-at-work"]
print(json.dumps({
    "blas": probed.blas.name, "library": probed.blas.library, "libraries": probed.libraries,
    "threads": probed.blas.threads,
    "findings": [finding.rule for finding in findings(probed)],
    "at work": at_work[0] if at_work else None,
    "correct": measure(["gemm"], [40], repeats=2, min_sample=1e-3)[0].correct,
    "others correct": all(m.correct for m in measure(["dot", "fft"], [40], repeats=2, min_sample=1e-3)),
}))
"""


def run(shim: Path | None) -> dict[str, Any]:
    settings = {"OPENBLAS_NUM_THREADS": "1"} | ({"LD_PRELOAD": str(shim)} if shim else {})
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | settings, capture_output=True, check=True)
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    module = sys.modules.get("numpy._core._multiarray_umath") or sys.modules["numpy.core._multiarray_umath"]
    symbol = native.imported_symbol(module.__file__ or "", "cblas_dgemm")
    assert symbol is not None
    bits = probing.integer_bits(native.Exports(symbol.file), symbol.name.replace("dgemm", "ddot"))
    return Workshop(tmp_path_factory.mktemp("shims"), symbol, f"int{bits}_t")


def test_wrong_products_are_caught_by_the_residual_and_only_in_products(workshop: Workshop) -> None:
    told = run(workshop.library("libwrong.so", WRONG))
    assert told["correct"] is False
    assert told["others correct"] is True


def test_a_library_that_uses_more_threads_than_asked_for_is_caught_by_what_it_says(workshop: Workshop) -> None:
    told = run(workshop.library("libopenblas_deaf.so", DEAF, SAYS="2"))
    assert (told["blas"], told["threads"]) == ("openblas", 2)
    assert "threads" in told["findings"]
    assert told["correct"] is True


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", range)(0)) < 2, reason="two threads need two cores")
def test_one_that_also_lies_about_it_is_caught_at_work(workshop: Workshop) -> None:
    told = run(workshop.library("libopenblas_liar.so", DEAF, SAYS="1"))
    assert "threads" not in told["findings"]
    assert told["at work"] == "openblas says it uses 1 thread, but 2 work."
    assert told["correct"] is True


def test_one_that_loads_another_library_is_caught_by_the_probe(workshop: Workshop) -> None:
    other = workshop.library("libother.so", OTHER)
    told = run(workshop.library("libloader.so", LOADER, OTHER_LIBRARY=json.dumps(str(other))))
    assert (told["blas"], Path(told["library"]).name) == ("unknown", "libloader.so")
    assert {"unknown-library", "mixed-libraries"} <= set(told["findings"])
    assert told["correct"] is True  # its products are right: no residual could have told


def test_one_that_takes_the_name_of_another_is_an_impostor(workshop: Workshop) -> None:
    other = workshop.library("libother.so", OTHER)
    told = run(workshop.library("libmkl_rt.so.2", LOADER, OTHER_LIBRARY=json.dumps(str(other))))
    assert told["blas"] == "mkl"
    assert {"impostor", "mixed-libraries"} <= set(told["findings"])


def test_without_a_shim_there_is_nothing_to_catch(workshop: Workshop) -> None:
    told = run(None)
    assert told["correct"] is told["others correct"] is True
    assert told["findings"] == []
    assert told["at work"] is None
    assert told["library"] == workshop.symbol.file
    assert ctypes.CDLL(told["library"])
