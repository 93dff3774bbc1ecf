"""What a BLAS needs on another machine: from Debian packages made here, with an apt-get that serves them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from mambakernels import errors, progress
from mambakernels.channels import blas_libraries, build, wheels
from mambakernels.paths import Root

ON_AMD64 = {"libgfortran5": "gcc-12-base (= 12.2.0-14), libc6 (>= 2.36), libquadmath0 (>= 4.6)"}
ON_ARM64 = {"libgfortran5": "gcc-12-base (= 12.2.0-14), libc6 (>= 2.36), libgcc-s1 (>= 3.0)"}
OTHERS = {
    "libblas64-3": "libc6 (>= 2.29)",
    "liblapack64-3": "libblas64-3 | libblas64.so.3, libc6 (>= 2.29), libgfortran5 (>= 8)",
    "libblis64-4-openmp": "libc6 (>= 2.34), libgomp1 (>= 4.9)",
    "libgomp1": "gcc-12-base (= 12.2.0-14), libc6 (>= 2.34)",
}
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="This machine lacks dpkg-deb")
FAKE_APT = """#!/bin/sh
for name; do :; done
echo "$name" >> {folder}/asked
[ -e {folder}/$name.deb ] || {{ echo "E: Unable to locate package $name"; exit 100; }}
cp {folder}/$name.deb .
"""


def debian(folder: Path, packages: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an apt-get on PATH that knows these packages and their dependencies; return the file of what it was asked."""
    folder.mkdir()
    for name, depends in packages.items():
        control = folder / name / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        control.write_text(
            f"Package: {name}\nVersion: 1:12.2.0-14+deb12u1\nArchitecture: all\nMaintainer: nobody <n@example.org>\n"
            f"Depends: {depends}\nDescription: a package\n"
        )
        subprocess.run(["dpkg-deb", "--build", str(folder / name)], check=True, capture_output=True)
    apt = folder / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(FAKE_APT.format(folder=folder))
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}{os.pathsep}{os.environ['PATH']}")
    return folder / "asked"


def fetch(folder: Path) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Fetch BLIS and netlib; return the providers of each, and the reasons why one is missing."""
    one = build.Build(Root(folder), folder / "scratch", wheels.State("", ""), progress.silent)
    found, missing = build._download_providers(one, ["blis", "netlib"])
    return {name: {provider.name for provider in fetched} for name, fetched in found.items()}, missing


@needs_dpkg
@pytest.mark.parametrize(("machine", "more"), [(ON_AMD64, {"libquadmath"}), (ON_ARM64, set())])
def test_a_provider_needs_what_its_package_names_on_this_machine(
    machine: dict[str, str], more: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quadmath = {"libquadmath0": "libc6 (>= 2.23)"} if more else {}
    asked = debian(tmp_path / "debian", {**OTHERS, **machine, **quadmath}, monkeypatch)
    found, missing = fetch(tmp_path)
    assert missing == {}
    assert found == {
        "blis": {"blis", "lapack-netlib-blis", "libgfortran5", "libgomp"} | more,
        "netlib": {"blas-netlib", "lapack-netlib", "libgfortran5"} | more,
    }
    assert len(asked.read_text().split()) == 5 + len(more), "each once"


@needs_dpkg
def test_a_blas_that_cannot_be_had_is_left_out_with_its_own_reason_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = {**OTHERS, **ON_ARM64}
    del packages["libblis64-4-openmp"]
    debian(tmp_path / "debian", packages, monkeypatch)
    found, missing = fetch(tmp_path)
    assert found.keys() == {"netlib"}
    assert missing == {
        "blis": "apt-get could not download libblis64-4-openmp: E: Unable to locate package libblis64-4-openmp"
    }


@needs_dpkg
def test_what_two_libraries_lack_is_the_reason_for_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian(tmp_path / "debian", {**OTHERS, **ON_AMD64}, monkeypatch)  # without libquadmath0
    found, missing = fetch(tmp_path)
    assert found == {}
    reason = "apt-get could not download libquadmath0: E: Unable to locate package libquadmath0"
    assert missing == {"blis": reason, "netlib": reason}


@pytest.mark.parametrize(
    ("machine", "there", "refused"),
    [("x86_64", "mkl", "nvpl"), ("AMD64", "mkl", "nvpl"), ("aarch64", "nvpl", "mkl"), ("arm64", "nvpl", "mkl")],
)
def test_libraries_exist_for_their_processors_only(
    machine: str, there: str, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert blas_libraries.is_made_for_here(blas_libraries.BY_NAME[there])
    assert "exists for" in str(blas_libraries.why_not(blas_libraries.BY_NAME[refused]))
    with pytest.raises(errors.ChannelError, match="exists for"):
        wheels.WheelsRequest.of([f"libblas=*=*{refused}"])
