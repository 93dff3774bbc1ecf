from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from mambakernels.numeric.threads import THREAD_VARIABLES, set_threads


@pytest.fixture(autouse=True)
def _variables_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def run(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_threads_are_set_before_numpy_loads() -> None:
    out = run(
        "import sys; from mambakernels.numeric.threads import THREAD_VARIABLES, set_threads; set_threads(1)\n"
        "assert 'numpy' not in sys.modules\n"
        "from mambakernels.numeric import probe; p = probe()\n"
        "print(p.blas.threads, *(p.variables[name] for name in THREAD_VARIABLES))"
    )
    assert out == "1 1 1 1 1 1 1"


@pytest.mark.parametrize("count", [0, None])
def test_zero_and_none_leave_everything_as_it_is(count: int | None) -> None:
    set_threads(count)
    assert not set(THREAD_VARIABLES) & set(os.environ)


def test_with_numpy_loaded_it_is_too_late() -> None:
    assert np.__name__ in sys.modules
    with pytest.raises(RuntimeError, match=r"NumPy is already loaded.* 3 threads.*\. Restart the kernel"):
        set_threads(3)
    assert not set(THREAD_VARIABLES) & set(os.environ)


def test_with_numpy_loaded_the_same_number_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "3")
    set_threads(3)


@pytest.mark.parametrize("count", [-1, 1.0, "2", True, 5000])
def test_what_is_no_number_of_threads(count: object) -> None:
    with pytest.raises(ValueError, match="threads must be a whole number of at least 0"):
        set_threads(count)  # type: ignore[arg-type]
