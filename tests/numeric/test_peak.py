from __future__ import annotations

import pytest

from mambakernels.numeric.machine import is_virtual
from mambakernels.numeric.peak import sustained_ghz, theoretical_peak

AVX512 = ("sse2", "avx", "fma", "avx2", "avx512f")
AVX2 = AVX512[:-1]


@pytest.mark.parametrize(
    ("cpu", "sets", "ghz", "gflops"),
    [
        ("Intel(R) Xeon(R) Platinum 8180 CPU @ 2.50GHz", AVX512, 2.5, 80.0),
        ("Intel(R) Xeon(R) Bronze 3106 CPU @ 1.70GHz", AVX512, 1.7, 27.2),
        ("Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", AVX512, 2.8, 44.8),
        ("AMD EPYC 9654 96-Core Processor", AVX512, 2.4, 38.4),
        ("AMD EPYC 9655 96-Core Processor", AVX512, 2.6, 83.2),
        ("AMD EPYC 7763 64-Core Processor", AVX2, 2.45, 39.2),
        ("Intel(R) Xeon(R) CPU E5-2690 0 @ 2.90GHz", ("sse2", "avx"), 2.9, 23.2),
        ("an old one", ("sse2",), 2.0, 8.0),
        ("Neoverse-N1", ("asimd",), 3.0, 24.0),
    ],
)
def test_the_peak_of_processors_whose_makers_state_it(
    cpu: str, sets: tuple[str, ...], ghz: float, gflops: float
) -> None:
    found = theoretical_peak(cpu, sets, ghz, virtual=False)
    assert found.gflops_per_core == pytest.approx(gflops)
    assert found.how.startswith(f"{ghz:g} GHz x ")


@pytest.mark.parametrize(
    ("sets", "ghz", "virtual", "reason"),
    [
        (AVX512, 2.5, True, "virtual machine hides the frequency"),
        (AVX512, None, False, "does not report the frequency"),
        (("asimd", "sve"), 2.6, None, "the width of SVE cannot be read"),
        ((), 1.0, False, "no row"),
    ],
)
def test_what_cannot_be_known_is_not_guessed(
    sets: tuple[str, ...],
    ghz: float | None,
    virtual: bool | None,  # noqa: FBT001
    reason: str,
) -> None:
    found = theoretical_peak("x", sets, ghz, virtual=virtual)
    assert found.gflops_per_core is None
    assert reason in found.how


def test_the_sustained_frequency_is_the_systems_or_the_names() -> None:
    assert sustained_ghz("Intel(R) Xeon(R) @ 2.10GHz", "2400000\n") == 2.4
    assert sustained_ghz("Intel(R) Xeon(R) @ 2.10GHz", "") == 2.1
    assert sustained_ghz("AMD EPYC 7763", "") is None


def test_a_hypervisor_shows_in_the_flags() -> None:
    assert is_virtual("flags\t: fpu sse2 hypervisor lahf_lm\n") is True
    assert is_virtual("flags\t: fpu sse2\n") is False
    assert is_virtual("Features\t: fp asimd\n") is None
