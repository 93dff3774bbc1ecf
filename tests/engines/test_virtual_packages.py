"""Virtual packages of other platforms: today's by default, and what `CONDA_OVERRIDE_…` says, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.conda_packages import File, Package, write_channel

from mambakernels import errors, paths
from mambakernels.engines import Engine, Request, virtual_packages

DEPENDS = {
    "accelerate": "__osx >=15.5",
    "newer-mac": "__osx >=26",
    "newer-glibc": "__glibc >=2.99",
    "gpu": "__cuda >=12",
    "wide": "__archspec * x86_64_v4",
}


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("virtual") / "channel"
    packages = [
        Package(name, "1.0", "0", noarch="generic", depends=(depends,), files={f"share/{name}": File(b"x")})
        for name, depends in DEPENDS.items()
    ]
    write_channel(packages, folder)
    return folder.as_uri()


@pytest.mark.parametrize(
    ("subdir", "name", "variable", "value"),
    [
        ("osx-arm64", "accelerate", "OSX", None),
        ("osx-64", "newer-mac", "OSX", "26.1"),
        ("linux-aarch64", "newer-glibc", "GLIBC", "2.99"),
        ("linux-aarch64", "gpu", "CUDA", "12.9"),
        ("win-64", "gpu", "CUDA", "12.9"),
        ("osx-64", "wide", "ARCHSPEC", "x86_64_v4"),
        (paths.subdir(), "gpu", "CUDA", "12.9"),
        (paths.subdir(), "newer-glibc", "GLIBC", "2.99"),
    ],
)
def test_overrides_count_for_every_platform(
    channel: str,
    any_engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    subdir: str,
    name: str,
    variable: str,
    value: str | None,
) -> None:
    def solved() -> list[str]:
        request = Request((name,), (channel,), subdir, virtual_packages.assumed(subdir))
        return [package.name for package in any_engine.solve(request, cache=tmp_path / "root" / "pkgs")]

    if value is None:
        assert solved() == [name]
        monkeypatch.setenv(f"CONDA_OVERRIDE_{variable}", "13.0")
    with pytest.raises(errors.SolveError):
        solved()
    if value is not None:
        monkeypatch.setenv(f"CONDA_OVERRIDE_{variable}", value)
        assert solved() == [name]
    any_engine.close()


def test_an_override_for_another_system_makes_no_mac_of_this_one(
    channel: str, any_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_OVERRIDE_OSX", "26.1")
    if paths.subdir().startswith("linux"):
        with pytest.raises(errors.SolveError):
            any_engine.solve(Request(("accelerate",), (channel,), paths.subdir()), cache=tmp_path / "root" / "pkgs")
    any_engine.close()


def test_what_is_assumed_is_said_with_the_variable_that_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "osx-64" if paths.subdir() == "osx-arm64" else "osx-arm64"
    text = virtual_packages.said(other, virtual_packages.assumed(other))
    assert text.startswith(f"for {other}, a machine with __archspec=")
    assert "__osx=15.5" in text
    assert "set CONDA_OVERRIDE_OSX" in text
    monkeypatch.setenv("CONDA_OVERRIDE_OSX", "")
    assert "__osx" not in virtual_packages.assumed(other)
    assert virtual_packages.assumed(paths.subdir()) == {}
