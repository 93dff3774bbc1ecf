from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from mambakernels.numeric import findings, gates, probe
from mambakernels.numeric.probing import Probe
from mambakernels.numeric.threads import asked_threads

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


@pytest.fixture(scope="module")
def sound() -> Probe:
    """What is really here, as an environment with nothing to complain about."""
    probed = probe()
    return replace(probed, variables={}, openmp=(), packages={}, machine=replace(probed.machine, cores=4, quota=None))


def test_there_is_nothing_to_say_about_a_sound_environment(sound: Probe) -> None:
    assert findings(sound) == ()


def with_blas(sound: Probe, **fields: Any) -> Probe:
    return replace(sound, blas=replace(sound.blas, **fields))


def doubtful(sound: Probe) -> dict[str, tuple[Probe, str]]:
    """By rule: a probe that breaks it, and the words that are said."""
    two = ("/e/lib/libgomp.so.1", "/e/lib/libiomp5.so")
    conda = {"libblas": "3.9.0=1_h1_mkl"}
    return {
        "unknown library": (with_blas(sound, name="unknown", library="/x/libodd.so"), "/x/libodd.so, which is no BLAS"),
        "impostor": (
            with_blas(sound, proven=False, library="/x/libopenblas.so"),
            "/x/libopenblas.so is called openblas",
        ),
        "another build": (with_blas(sound, build="31_h59b9bed_mkl"), "made with mkl (libblas 31_h59b9bed_mkl)"),
        "outside the environment": (
            replace(sound, packages=conda, prefix="/e", numpy_file="/home/u/.local/lib/numpy/__init__.py"),
            "From outside of the environment /e came NumPy (/home/u/.local/lib/numpy/__init__.py)",
        ),
        "mixed libraries": (
            replace(sound, functions={**sound.functions, "cblas_ddot": "/x/libshim.so"}),
            "cblas_ddot by libshim.so",
        ),
        "several OpenMP runtimes": (replace(sound, openmp=two), "(libgomp.so.1, libiomp5.so)"),
        "quota": (
            replace(with_blas(sound, threads=4), machine=replace(sound.machine, quota=1.5)),
            "4 threads share a quota of 1.5 cores",
        ),
        "variable without effect": (replace(sound, variables={"MKL_DEBUG_CPU_TYPE": "5"}), "not read it since 2020.1"),
        "duplicate runtimes allowed": (
            replace(sound, openmp=two, variables={"KMP_DUPLICATE_LIB_OK": "True"}),
            "may give wrong results in silence",
        ),
        "threads": (
            replace(with_blas(sound, threads=4), variables={"OMP_NUM_THREADS": "1"}),
            "1 thread asked for, but openblas says it uses 4.",
        ),
    }


@pytest.mark.parametrize("rule", [*gates.RULES, "threads"])
def test_each_rule_is_broken_by_what_it_is_about(sound: Probe, rule: str) -> None:
    probed, words = doubtful(sound)[rule]
    found = {finding.rule: finding for finding in findings(probed)}
    assert words in found[rule].text
    others = {"several OpenMP runtimes"} if rule == "duplicate runtimes allowed" else set()
    assert set(found) == {rule, *others}


def test_the_variable_that_threadpoolctl_sets_says_nothing_alone(sound: Probe) -> None:
    assert findings(replace(sound, variables={"KMP_DUPLICATE_LIB_OK": "True"})) == ()


@pytest.mark.parametrize(
    ("asked", "told", "cores", "trusted"),
    [(1, 1, 4, True), (1, 2, 4, False), (4, 2, 4, False), (8, 4, 4, True), (8, 3, 4, False), (8, 16, 4, False)],
)
def test_a_library_may_stay_below_what_was_asked_for_only_where_cores_run_out(
    sound: Probe,
    asked: int,
    told: int,
    cores: int,
    trusted: bool,  # noqa: FBT001
) -> None:
    probed = replace(with_blas(sound, threads=told), machine=replace(sound.machine, cores=cores))
    assert (findings(probed, asked=asked) == ()) == trusted


def test_netlib_has_one_thread_whatever_is_asked_for(sound: Probe) -> None:
    assert findings(with_blas(sound, name="netlib", threads=1, proven=None), asked=4) == ()


@pytest.mark.parametrize(
    ("blas", "variables", "threads"),
    [
        ("openblas", {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "2"}, 2),
        ("openblas", {"OMP_NUM_THREADS": "4"}, 4),
        ("mkl", {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "2"}, 4),
        ("blis", {"OMP_NUM_THREADS": "3,2"}, 3),
        ("accelerate", {"OMP_NUM_THREADS": "4"}, None),
        ("openblas", {"OMP_NUM_THREADS": "many"}, None),
        ("openblas", {"OPENBLAS_NUM_THREADS": "0", "OMP_NUM_THREADS": "2"}, 2),
        ("netlib", {"OMP_NUM_THREADS": "4"}, None),
    ],
)
def test_each_library_reads_its_own_variables(blas: str, variables: dict[str, str], threads: int | None) -> None:
    assert asked_threads(blas, variables) == threads


@linux
@pytest.mark.parametrize("count", [1, 2])
def test_the_threads_that_really_work_are_counted(count: int) -> None:
    code = (
        "from mambakernels.numeric import probe, gates\n"
        "p = probe(); print(p.blas.threads, gates.threads_at_work(), gates.check_threads_at_work(p))"
    )
    variables = os.environ | {"OPENBLAS_NUM_THREADS": str(count)}
    ran = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    told, working, finding = ran.stdout.split()
    assert working == told == str(min(count, len(os.sched_getaffinity(0))))
    assert finding == "None"
