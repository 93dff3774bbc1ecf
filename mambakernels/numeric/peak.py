"""The theoretical peak of one core, from a small table by instruction set, or why it is not known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_KILOHERTZ = 1e6  # in a gigahertz


@dataclass(frozen=True)
class Peak:
    """10⁹ float64 operations per second on one core (float32: twice that), and how that was found or why it is None."""

    gflops_per_core: float | None
    how: str


@dataclass(frozen=True)
class _Units:
    """The float64 units of a core that multiply and add in one step, and the numbers (lanes) that fit into one."""

    needs: frozenset[str]
    units: int
    lanes: int
    cpu: str = ""


# The first matching row counts. Sources: Intel 64 and IA-32 Optimization Reference Manual, chapter 2; Agner Fog, The
# microarchitecture of Intel, AMD and VIA CPUs; AMD and Arm Software Optimization Guides.
_TABLE = (
    _Units(frozenset({"avx512f"}), 1, 8, r"EPYC [89]\d\d4|Ryzen.* [78]\d\d\d"),  # Zen 4: 512 bits in two halves
    _Units(frozenset({"avx512f"}), 1, 8, r"Intel.* Core|Bronze|Xeon.* (E|W)-[12]"),  # one of two units has 512 bits
    _Units(frozenset({"avx512f"}), 2, 8),
    _Units(frozenset({"avx2", "fma"}), 2, 4),
    _Units(frozenset({"avx"}), 1, 4),  # one adds while the other multiplies: one step of both
    _Units(frozenset({"sse2"}), 1, 2),
    _Units(frozenset({"asimd"}), 2, 2),
)


def theoretical_peak(cpu: str, instruction_sets: Sequence[str], ghz: float | None, *, virtual: bool | None) -> Peak:
    """Compute gigahertz x units x lanes x 2 for one core."""
    if virtual:
        return Peak(None, "unknown: a virtual machine hides the frequency its processor sustains")
    if ghz is None:
        return Peak(None, "unknown: this system does not report the frequency its processor sustains")
    if "sve" in instruction_sets:
        return Peak(None, "unknown: the width of SVE cannot be read")
    row = next((row for row in _TABLE if row.needs <= set(instruction_sets) and re.search(row.cpu, cpu)), None)
    if row is None:
        return Peak(None, "unknown: no row in the table for this processor's instruction sets")
    names = "+".join(sorted(row.needs))
    steps = f"{ghz:g} GHz x {row.units} FMA unit{'s' * (row.units != 1)} x {row.lanes} lanes x 2 ({names}, float64)"
    return Peak(ghz * row.units * row.lanes * 2, steps)


def sustained_ghz(cpu: str, base_frequency: str) -> float | None:
    """Return the frequency all cores can hold: the kernel's `base_frequency` (kHz), or the one in the processor's name.

    Never the highest frequency: no core holds it while all of them multiply.
    """
    if base_frequency.strip().isdigit():
        return int(base_frequency) / _KILOHERTZ
    named = re.search(r"@ ([\d.]+)\s?GHz", cpu)
    return float(named.group(1)) if named else None
