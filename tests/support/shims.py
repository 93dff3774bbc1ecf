"""Libraries that stand between NumPy and its BLAS, broken on purpose: compiled here, and preloaded."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mambakernels.numeric import native

COMPILER = shutil.which("cc")
FORWARD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
typedef INTEGER integer;
typedef void gemm_t(int, int, int, integer, integer, integer, double, const double *, integer, const double *, integer,
                    double, double *, integer);
static void *in_real(const char *name) {
    return dlsym(dlopen(REAL, RTLD_NOW | RTLD_LOCAL), name);
}
static void forward(int layout, int ta, int tb, integer m, integer n, integer k, double alpha, const double *a,
                    integer lda, const double *b, integer ldb, double beta, double *c, integer ldc) {
    ((gemm_t *) in_real(GEMM))(layout, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
#define GEMM_ARGUMENTS int layout, int ta, int tb, integer m, integer n, integer k, double alpha, const double *a, \\
                       integer lda, const double *b, integer ldb, double beta, double *c, integer ldc
#define PASSED layout, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc
"""
WRONG = FORWARD + "void GEMM_NAME(GEMM_ARGUMENTS) { forward(PASSED); if (m > 1) c[n / 2] *= 1 + 1e-9; }"


@dataclass(frozen=True)
class Workshop:
    """Compiles shims for the BLAS that serves a symbol."""

    folder: Path
    symbol: native.Symbol
    integer: str

    def library(self, name: str, source: str, **macros: str) -> Path:
        text = {"REAL": self.symbol.file, "GEMM": self.symbol.name, "SET_THREADS": self._beside("set_num_threads")}
        given = {name: json.dumps(value) for name, value in text.items()}
        given |= {"INTEGER": self.integer, "GEMM_NAME": self.symbol.name} | macros
        code, file = self.folder / f"{name}.c", self.folder / name
        code.write_text(source)
        flags = [f"-D{macro}={value}" for macro, value in given.items()]
        subprocess.run([str(COMPILER), "-shared", "-fPIC", "-O1", "-o", file, code, *flags, "-ldl"], check=True)
        return file

    def _beside(self, function: str) -> str:
        """Spell a function of OpenBLAS as this build of it does: scipy_cblas_dgemm64_, scipy_openblas_…64_."""
        before, _, after = self.symbol.name.partition("cblas_dgemm")
        return f"{before}openblas_{function}{after}"
