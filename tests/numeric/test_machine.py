from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from support.shims import COMPILER

from mambakernels.numeric import native
from mambakernels.numeric.machine import cpu_name, cpu_name_of_lscpu, cpu_quota, instruction_sets, machine, memory_bytes

X86 = """processor\t: 0
model name\t: Imaginary Processor 9000 @ 2.10GHz
flags\t\t: fpu sse sse2 sse4_2 avx fma avx2 avx512f avx512_bf16
power management:

processor\t: 1
model name\t: Imaginary Processor 9000 @ 2.10GHz
"""
ARM = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd aes sve bf16
CPU implementer\t: 0x41
"""


def test_x86() -> None:
    assert cpu_name(X86) == "Imaginary Processor 9000 @ 2.10GHz"
    assert instruction_sets(X86) == ("sse2", "sse4_2", "avx", "fma", "avx2", "avx512f", "avx512_bf16")


def test_arm_names_no_processor() -> None:
    assert cpu_name(ARM) is None
    assert instruction_sets(ARM) == ("asimd", "sve", "bf16")


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: lscpu is Linux's")
def test_lscpu_names_the_processor_where_the_kernel_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    named = cpu_name(Path("/proc/cpuinfo").read_text())
    monkeypatch.setattr("mambakernels.numeric.machine.cpu_name", lambda _: None)
    listed = cpu_name_of_lscpu()
    assert listed == named or platform.machine() != "x86_64"
    assert machine().cpu == (listed or platform.processor() or platform.machine())
    monkeypatch.setenv("PATH", "")
    assert cpu_name_of_lscpu() is None
    assert machine().cpu


# What macOS' kernel answers, with the signature that its manual gives; a name that it lacks is an error.
MACOS = """
#include <string.h>
int sysctlbyname(const char *name, void *old, size_t *size, void *new, size_t new_size) {
    const char brand[] = "Imaginary M9", yes[4] = {1, 0, 0, 0}; /* an int, as a Mac of any kind writes it */
    int cpu = !strcmp(name, "machdep.cpu.brand_string"), guest = !strcmp(name, "kern.hv_vmm_present");
    if (new || new_size || !(cpu || guest)) return -1;
    *size = cpu ? sizeof brand : sizeof yes;
    memcpy(old, cpu ? brand : yes, *size);
    return 0;
}
"""


@pytest.mark.skipif(COMPILER is None, reason="no C compiler: install gcc and libc6-dev")
def test_macos_says_its_processor_and_whether_it_is_virtual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, library = tmp_path / "fake.c", tmp_path / "libfake.so"
    code.write_text(MACOS)
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", library, code], check=True)
    macos = ctypes.CDLL(str(library))
    assert native.sysctl("machdep.cpu.brand_string", library=macos) == b"Imaginary M9\0"
    assert native.sysctl("hw.there_is_none", library=macos) is None
    monkeypatch.setattr("mambakernels.numeric.machine.sysctl", lambda name: native.sysctl(name, library=macos))
    monkeypatch.setattr("mambakernels.numeric.machine._read", lambda _file: "")  # no /proc and no /sys
    here = machine()
    assert (here.cpu, here.virtual, here.architecture) == ("Imaginary M9", True, platform.machine())
    assert here.peak.gflops_per_core is None
    assert "virtual machine" in here.peak.how


def test_this_machine() -> None:
    here = machine()
    assert here.cpu
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    assert here.quota is None or here.quota > 0
    assert here.memory_bytes == memory_bytes()
    assert here.architecture in ("x86_64", "aarch64", "arm64", "AMD64")
    if sys.platform == "linux":
        assert native.sysctl("machdep.cpu.brand_string") is None
        assert here.instruction_sets
        assert here.system.startswith("Linux ")
        assert (here.memory_bytes or 0) > 2**28
        assert here.load is not None


def groups(folder: Path, *, cgroup: str, mountinfo: str, files: dict[str, str]) -> Path:
    """A fake of /proc/self and of what is mounted: limits cannot be set in a test."""
    process = folder / "proc"
    process.mkdir()
    (process / "cgroup").write_text(cgroup)
    (process / "mountinfo").write_text(mountinfo)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return process


def v2(mount: Path, root: str = "/") -> str:
    return f"31 23 0:28 {root} {mount} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def v1(mount: Path, controllers: str = "cpu,cpuacct", root: str = "/") -> str:
    return f"32 31 0:29 {root} {mount} rw shared:9 - cgroup cgroup rw,{controllers}\n"


def test_version_2_takes_the_tightest_limit_on_the_way_up(tmp_path: Path) -> None:
    process = groups(
        tmp_path,
        cgroup="0::/user/session\n",
        mountinfo=v2(tmp_path / "cg"),
        files={"cg/user/session/cpu.max": "max 100000\n", "cg/user/cpu.max": "150000 100000\n"},
    )
    assert cpu_quota(process) == 1.5


def test_version_2_in_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    process = groups(
        tmp_path,
        cgroup="0::/docker/abc\n",
        mountinfo=v2(tmp_path / "cg", root="/docker/abc"),
        files={"cg/cpu.max": "50000 100000"},
    )
    assert cpu_quota(process) == 0.5


def test_version_1(tmp_path: Path) -> None:
    process = groups(
        tmp_path,
        cgroup="5:memory:/box\n4:cpu,cpuacct:/box\n",
        mountinfo=v1(tmp_path / "memory", "memory") + v1(tmp_path / "cpu"),
        files={
            "cpu/box/cpu.cfs_quota_us": "200000\n",
            "cpu/box/cpu.cfs_period_us": "100000\n",
            "memory/box/cpu.cfs_quota_us": "1\n",  # not this controller's: must not be read
            "memory/box/cpu.cfs_period_us": "1000\n",
        },
    )
    assert cpu_quota(process) == 2.0


@pytest.mark.parametrize("quota", ["-1\n", ""])
def test_version_1_without_a_limit(tmp_path: Path, quota: str) -> None:
    files = {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": "100000\n"}
    assert cpu_quota(groups(tmp_path, cgroup="4:cpu:/\n", mountinfo=v1(tmp_path / "cpu", "cpu"), files=files)) is None


def test_no_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "nowhere") is None
