"""One rule about a CPU quota: at 1.5 cores, two threads are too many for everyone who is asked, and one is right."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.examination import examine
from support.measurements import GEMM, kernel, measured, visits
from support.world import Made, World

from mambakernels.bench.diagnosis import diagnose
from mambakernels.bench.gates import gates
from mambakernels.kernels import registration
from mambakernels.kernels.blas import Processors, choose_threads
from mambakernels.numeric import findings, probe

PROCESSORS = Processors(cores=4, quota=1.5)


@pytest.mark.parametrize("threads", [1, 2])
def test_doctor_bench_gates_and_probe_agree(world: World, made: Made, threads: int) -> None:
    expected = ["cpu-quota"] * (threads == 2)
    assert (choose_threads(None, "openblas", processors=PROCESSORS, session={}).count == threads) == (not expected)

    made("np", "libblas=*=*openblas")
    registration.register_kernels(world.read("np"), threads=threads)
    assert [finding.rule for finding in examine(world, processors=PROCESSORS).findings] == expected

    here = probe()
    machine = replace(here.machine, cores=PROCESSORS.cores, quota=PROCESSORS.quota)
    probed = replace(here, machine=machine, blas=replace(here.blas, threads=threads), variables={}, openmp=())
    assert [finding.rule for finding in findings(probed, asked=threads) if finding.is_problem] == expected

    one = kernel(asked=threads, library={"threads": threads}, machine={"cores": 4, "quota": 1.5})
    compared = measured([one], list(visits(one, GEMM, [0.01] * 12)))
    assert gates(compared) == ()  # a warning: its figures count, and a sentence below them says what they are worth
    assert [finding.rule for finding in diagnose(compared) if finding.is_problem] == expected
