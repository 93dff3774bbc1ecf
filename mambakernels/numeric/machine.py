"""The machine a measurement ran on: processor, instruction sets, cores, CPU quota, load, memory."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mambakernels.numeric.native import sysctl
from mambakernels.numeric.peak import Peak, sustained_ghz, theoretical_peak

# The flags by which a BLAS chooses its code path, as /proc/cpuinfo names them: x86 `flags`, then ARM `Features`.
_INSTRUCTION_SETS = (
    "sse2", "sse4_2", "avx", "fma", "avx2", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_bf16", "asimd", "asimdhp", "sve", "sve2", "sme", "bf16",
)  # fmt: skip
_FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_NUMPY_NAMES = {"fma3": "fma", "sse42": "sse4_2"}


@dataclass(frozen=True)
class Machine:
    """Facts about the machine; None where the system does not report them.

    `cores` are those this process may use, `quota` the container's share of them (2.0: two cores' worth of time),
    `load` the mean number of runnable processes over 1, 5 and 15 minutes, `memory_bytes` the physical memory, `virtual`
    whether it is a virtual machine, `governor` the kernel's frequency policy, `ghz` the frequency all cores can hold.
    """

    cpu: str
    instruction_sets: tuple[str, ...]
    cores: int
    quota: float | None
    load: tuple[float, float, float] | None
    memory_bytes: int | None
    system: str
    architecture: str
    virtual: bool | None
    governor: str | None
    ghz: float | None
    peak: Peak


def machine() -> Machine:
    """Describe the machine this process runs on, now."""
    cpuinfo = _read(Path("/proc/cpuinfo"))
    cpu = cpu_name(cpuinfo) or _text(sysctl("machdep.cpu.brand_string")) or cpu_name_of_lscpu()
    cpu = cpu or platform.processor() or platform.machine()
    sets = instruction_sets(cpuinfo) or _instruction_sets_of_numpy()
    ghz, virtual = sustained_ghz(cpu, _read(_FREQUENCY / "base_frequency")), is_virtual(cpuinfo)
    if (guest := sysctl("kern.hv_vmm_present")) is not None:  # macOS, which has no /proc
        virtual = any(guest)
    return Machine(
        cpu=cpu,
        instruction_sets=sets,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        quota=cpu_quota(),
        load=os.getloadavg() if hasattr(os, "getloadavg") else None,
        memory_bytes=memory_bytes(),
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        virtual=virtual,
        governor=_read(_FREQUENCY / "scaling_governor").strip() or None,
        ghz=ghz,
        peak=theoretical_peak(cpu, sets, ghz, virtual=virtual),
    )


def _text(answer: bytes | None) -> str:
    return (answer or b"").rstrip(b"\0").decode(errors="replace").strip()


def cpu_name(cpuinfo: str) -> str | None:
    """Take the processor's name from the text of `/proc/cpuinfo`; ARM kernels give none."""
    name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return name.group(1).strip() if name else None


def cpu_name_of_lscpu() -> str | None:
    """Ask Linux's `lscpu`, which knows names for the numbers that ARM kernels give, such as Neoverse-N1."""
    if sys.platform != "linux":
        return None
    try:
        listed = subprocess.run(
            ["lscpu"], env={**os.environ, "LC_ALL": "C"}, check=False, capture_output=True, timeout=10, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    name = re.search(r"^Model name: +(\S.*)$", listed.stdout, re.MULTILINE)
    return name[1].strip() if name and name[1] != "-" else None


def is_virtual(cpuinfo: str) -> bool | None:
    """Return from the text of `/proc/cpuinfo` whether a hypervisor runs below; ARM kernels do not say."""
    listed = re.search(r"^flags\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return "hypervisor" in listed.group(1).split() if listed else None


def instruction_sets(cpuinfo: str) -> tuple[str, ...]:
    """Take the instruction sets that matter to a BLAS from the text of `/proc/cpuinfo`."""
    listed = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    found = set(listed.group(1).split()) if listed else set()
    return tuple(name for name in _INSTRUCTION_SETS if name in found)


def _instruction_sets_of_numpy() -> tuple[str, ...]:
    """Return what NumPy detected itself; used on systems without `/proc/cpuinfo`."""
    core = sys.modules.get("numpy._core._multiarray_umath") or sys.modules.get("numpy.core._multiarray_umath")
    features = getattr(core, "__cpu_features__", {})
    present = (name.lower() for name, supported in features.items() if supported)
    found = {_NUMPY_NAMES.get(name, name) for name in present}
    return tuple(name for name in _INSTRUCTION_SETS if name in found)


def memory_bytes() -> int | None:
    """Return the physical memory in bytes, or None where the system does not report it."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def cpu_quota(process: Path = Path("/proc/self")) -> float | None:
    """Return how many cores' worth of time the control groups allow this process; None if there is no limit.

    Reads cgroup v2 (`cpu.max`) and v1 (`cpu.cfs_quota_us`), of the process' own group and of every group above it.
    """
    limits = [limit for folder in _cpu_groups(process) for limit in (_quota_v2(folder), _quota_v1(folder)) if limit]
    return min(limits, default=None)


def _cpu_groups(process: Path) -> Iterator[Path]:
    groups = [line.split(":", maxsplit=2) for line in _read(process / "cgroup").splitlines()]
    own = {"cgroup2": [path for _, controllers, path in groups if not controllers]}
    own["cgroup"] = [path for _, controllers, path in groups if "cpu" in controllers.split(",")]
    for line in _read(process / "mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", maxsplit=2) if rest else ("", "", "")
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(",")):
            root, mount = fields.split()[3:5]
            for path in own[kind]:
                yield from _upwards(Path(mount), root, path)


def _upwards(mount: Path, root: str, path: str) -> Iterator[Path]:
    """Yield the folders of a group and of all above it; in a container its path may lie outside the mount."""
    inside = PurePosixPath(path)
    relative = inside.relative_to(root) if inside.is_relative_to(root) else PurePosixPath()
    yield from (mount / folder for folder in (relative, *relative.parents))


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _quota_v1(folder: Path) -> float | None:
    quota, period = (_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None  # -1: no limit


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system, or a group this process may not look into
        return ""
