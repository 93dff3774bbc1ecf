from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from mambakernels.numeric import findings, probe, rules
from mambakernels.numeric.probing import Probe
from mambakernels.numeric.threads import asked_threads, exceeds_quota, usable_threads

linux = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: asks /proc")


@pytest.fixture(scope="module")
def sound() -> Probe:
    """What is really here, as an environment with nothing to complain about."""
    probed = probe()
    machine = replace(probed.machine, cores=4, quota=None, governor=None, instruction_sets=())
    return replace(probed, variables={}, openmp=(), packages={}, machine=machine, blas=replace(probed.blas, threads=4))


def test_there_is_nothing_to_say_about_a_sound_environment(sound: Probe) -> None:
    assert findings(sound) == ()


def with_blas(sound: Probe, **fields: Any) -> Probe:
    return replace(sound, blas=replace(sound.blas, **fields))


def doubtful(sound: Probe) -> dict[str, tuple[Probe, str]]:
    """By rule: a probe that breaks it, and the words that are said."""
    two = ("/e/lib/libgomp.so.1", "/e/lib/libiomp5.so")
    conda = {"libblas": "3.9.0=1_h1_mkl"}
    return {
        "unknown-library": (
            with_blas(sound, name="unknown", library="/x/libodd.so"),
            "/x/libodd.so, which is not a BLAS",
        ),
        "impostor": (
            with_blas(sound, proven=False, library="/x/libopenblas.so"),
            "/x/libopenblas.so is called openblas",
        ),
        "blas": (
            with_blas(sound, build="31_h59b9bed_mkl"),
            "It was made for mkl (libblas 31_h59b9bed_mkl), and NumPy runs on openblas",
        ),
        "outside": (
            replace(sound, packages=conda, prefix="/e", numpy_file="/home/u/.local/lib/numpy/__init__.py"),
            "Not from the environment /e: NumPy (/home/u/.local/lib/numpy/__init__.py)",
        ),
        "mixed-libraries": (
            replace(sound, functions={**sound.functions, "cblas_ddot": "/x/libshim.so"}),
            "cblas_ddot by libshim.so",
        ),
        "openmp": (replace(sound, openmp=two), "2 OpenMP runtimes are loaded: libgomp.so.1, libiomp5.so."),
        "cpu-quota": (
            replace(with_blas(sound, threads=4), machine=replace(sound.machine, quota=1.5)),
            "4 threads exceed the CPU quota of 1.5 cores",
        ),
        "setting": (replace(sound, variables={"MKL_DEBUG_CPU_TYPE": "5"}), "not read it since 2020.1"),
        "openmp-hidden": (
            replace(sound, openmp=two, variables={"KMP_DUPLICATE_LIB_OK": "True"}),
            "hides that two OpenMP runtimes are loaded",
        ),
        "threads": (
            replace(with_blas(sound, threads=4), variables={"OMP_NUM_THREADS": "1"}),
            "1 thread asked for, but openblas says it uses 4.",
        ),
        "over-subscribed": (with_blas(sound, threads=8), "8 threads run on 4 cores"),
        "one-thread": (
            with_blas(sound, name="blis", threads=1),
            "one thread of 4 cores: BLIS uses one unless BLIS_NUM_THREADS",
        ),
        "capped-threads": (replace(sound, variables={"OMP_NUM_THREADS": "8"}), "uses 4 of the 8 threads asked for"),
        "generic-path": (with_blas(sound, name="mkl", architecture="def"), "MKL chose its generic path (def)"),
        "older-path": (
            replace(
                with_blas(sound, architecture="Haswell"),
                machine=replace(sound.machine, instruction_sets=("sse2", "avx", "avx2", "avx512f")),
            ),
            "It runs code made for AVX2 (Haswell), and this machine has AVX-512",
        ),
        "forced-path": (
            replace(sound, variables={"OPENBLAS_CORETYPE": "Haswell"}),
            "OPENBLAS_CORETYPE=Haswell decides the code path",
        ),
        "governor": (replace(sound, machine=replace(sound.machine, governor="powersave")), "governor is powersave"),
    }


WORKING = {"threads-at-work": (5, "openblas says it uses 4 threads, but 5 work.")}


@pytest.mark.parametrize("rule", rules.RULES)
def test_each_rule_is_broken_by_what_it_is_about(sound: Probe, rule: str) -> None:
    working, words = WORKING.get(rule, (None, ""))
    probed, words = doubtful(sound).get(rule, (sound, words))
    found = {finding.rule: finding for finding in findings(probed, working=working)}
    assert words in found[rule].text
    assert found[rule].severity == rules.RULES[rule].severity
    others = {"openmp"} if rule == "openmp-hidden" else set()
    assert set(found) == {rule, *others}


@pytest.mark.parametrize("path", ["def", "mc"])
def test_a_generic_path_is_not_reported_as_an_older_one_too(sound: Probe, path: str) -> None:
    newer = replace(sound.machine, instruction_sets=("sse2", "sse4_2", "avx", "avx2"))
    probed = replace(with_blas(sound, name="mkl", architecture=path), machine=newer)
    assert [finding.rule for finding in findings(probed)] == ["generic-path"]


def test_the_blas_that_an_environment_was_made_for(sound: Probe) -> None:
    [finding] = findings(sound, made_for="mkl")
    assert (finding.rule, finding.severity) == ("blas", "error")
    assert "It was made for mkl, and NumPy runs on openblas" in finding.text
    assert findings(sound, made_for="openblas") == ()


def test_only_whole_cores_of_a_quota_count(sound: Probe) -> None:
    """Two threads are too many at a quota of 1.5 cores; one and two are right at 1.5 and 2."""
    for quota, threads, allowed in [(1.5, 2, False), (1.5, 1, True), (0.4, 1, True), (2.0, 2, True), (2.9, 3, False)]:
        probed = replace(with_blas(sound, threads=threads), machine=replace(sound.machine, quota=quota))
        found = [finding for finding in findings(probed, asked=threads) if finding.is_problem]
        assert [(finding.rule, finding.severity) for finding in found] == [("cpu-quota", "warning")] * (not allowed)
        assert exceeds_quota(threads, quota) != allowed
        assert (usable_threads(8, quota) >= threads) == allowed


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
    assert ([finding for finding in findings(probed, asked=asked) if finding.is_problem] == []) == trusted


def test_netlib_has_one_thread_whatever_is_asked_for(sound: Probe) -> None:
    found = findings(with_blas(sound, name="netlib", threads=1, proven=None), asked=4)
    assert [finding for finding in found if finding.is_problem] == []


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
        "from mambakernels.numeric import findings, probe\n"
        "from mambakernels.numeric.thread_activity import threads_at_work\n"
        "p, working = probe(), threads_at_work()\n"
        "print(p.blas.threads, working, [f.text for f in findings(p, working=working) if f.rule == 'threads-at-work'])"
    )
    variables = os.environ | {"OPENBLAS_NUM_THREADS": str(count)}
    ran = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    told, working, found = ran.stdout.split()
    assert working == told == str(min(count, len(os.sched_getaffinity(0))))
    assert found == "[]"
