"""Channels that specs name: they lead where `--channel` leads, and are added where only a spec names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import forge
from support.channel_server import Site
from support.engines import ENGINES

import mambakernels
from mambakernels import channels, errors
from mambakernels.channels import condarc, spec_channels
from mambakernels.paths import Root
from mambakernels.progress import Event

ALIAS = "https://conda.anaconda.org"
MAIN = "https://repo.anaconda.com/pkgs/main"


@pytest.mark.parametrize(
    ("spec", "resolved"),
    [
        ("numpy", "numpy"),
        ("libblas=*=*mkl", "libblas=*=*mkl"),
        ("conda-forge::numpy", f"{ALIAS}/conda-forge::numpy"),
        ("bioconda::samtools >=1.2,<2", f"{ALIAS}/bioconda::samtools >=1.2,<2"),
        ("nvidia/label/cuda-11.8.0::cuda", f"{ALIAS}/nvidia/label/cuda-11.8.0::cuda"),
        ("conda-forge/linux-64::numpy=1.2", f"{ALIAS}/conda-forge::numpy=1.2[subdir=linux-64]"),
        ("conda-forge/noarch::x[build=*_0]", f"{ALIAS}/conda-forge::x[build=*_0,subdir=noarch]"),
        ("numpy[channel=conda-forge]", f"{ALIAS}/conda-forge::numpy"),
        ("numpy[channel='conda-forge', version='>=1.2']", f"{ALIAS}/conda-forge::numpy[version='>=1.2']"),
        ("numpy[version='>=1.2',channel=conda-forge]", f"{ALIAS}/conda-forge::numpy[version='>=1.2']"),
        ("https://example.org/c::tool", "https://example.org/c::tool"),
        ("*::numpy", "numpy"),
        ("defaults::mkl", f"{MAIN}::mkl"),
        ("defaults::r-base=4.1", "https://repo.anaconda.com/pkgs/r::r-base=4.1"),
        ("main::mkl", f"{MAIN}::mkl"),
        ("pkgs/main::mkl", f"{MAIN}::mkl"),
        ("r::r-base", "https://repo.anaconda.com/pkgs/r::r-base"),
    ],
)
def test_a_channel_in_a_spec_becomes_its_address(empty_root: Root, spec: str, resolved: str) -> None:
    assert spec_channels.resolved([spec], empty_root) == (resolved,)


def test_mirrors_and_a_condarc_count_in_specs(
    tmp_path: Path, empty_root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    rc = tmp_path / "condarc"
    rc.write_text(
        "channel_alias: https://alias.example\nmirrored_channels: {conda-forge: ['https://one.example/cf']}\n"
        "default_channels: [https://pkgs.example/mirror/main, https://pkgs.example/mirror/r]\n"
    )
    monkeypatch.setenv(condarc.VARIABLE, str(rc))
    specs = ["conda-forge::a", "bioconda::b", "defaults::c", "main::d", "defaults::r-e"]
    assert spec_channels.resolved(specs, empty_root) == (
        "https://one.example/cf::a",
        "https://alias.example/bioconda::b",
        "https://pkgs.example/mirror/main::c",
        "https://pkgs.example/mirror/main::d",
        "https://pkgs.example/mirror/r::r-e",
    )
    monkeypatch.setenv("MAMBAKERNELS_CONDA_FORGE", "https://two.example/all/conda-forge")
    assert spec_channels.resolved(["conda-forge::a"], empty_root) == ("https://two.example/all/conda-forge::a",)


def test_a_channel_that_only_a_spec_names_is_added_at_the_end(empty_root: Root) -> None:
    chosen = channels.choose_all("conda-forge", empty_root)
    specs = ["python", "conda-forge::numpy", "bioconda::samtools", "bioconda::bwa"]
    found = spec_channels.with_named(chosen, specs, empty_root)
    assert [channel.url for channel in found] == [f"{ALIAS}/conda-forge", f"{ALIAS}/bioconda"]
    assert found[1].why == f"bioconda at {ALIAS}/bioconda, as a spec names it"
    assert spec_channels.for_wheels([*specs, "wheels::scipy"]) == ("python", "scipy")


def test_a_name_that_is_no_channel_is_refused(empty_root: Root) -> None:
    with pytest.raises(errors.ChannelError, match=r"'ftp://x' is not a channel"):
        spec_channels.resolved(["ftp://x::numpy"], empty_root)


@pytest.mark.parametrize("engine", ENGINES)
def test_specs_get_the_packages_of_the_channels_they_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setenv("MAMBAKERNELS_CONDA_FORGE", site.url())
    events: list[Event] = []
    options = {"channel": "conda-forge", "engine": engine, "root": tmp_path / "root"}

    def version(spec: str, name: str = "tiny") -> str:
        found = mambakernels.solve([spec], **options, progress=events.append)
        [package] = [package for package in found if package.name == name]
        return package.version

    assert version("conda-forge::tiny") == "1.0"
    assert version("shadow::tiny") == "0.5"
    assert Event("channel", f"shadow at {site.url('shadow')}, as a spec names it") in events
    assert version("shadow/noarch::tiny[version='<1']") == "0.5"
    assert version(f"conda-forge/{forge.SUBDIR}::old-format", "old-format") == "1.0"
    with pytest.raises(errors.SolveError):
        version("shadow::linked", "linked")


@pytest.mark.parametrize("engine", ENGINES)
def test_channels_in_specs_may_be_folders_with_any_name(forge: Path, tmp_path: Path, engine: str) -> None:
    folder = tmp_path / "a ü" / "shadow"
    folder.parent.mkdir()
    folder.symlink_to(forge / "shadow")
    found = mambakernels.solve(
        [f"{folder.as_uri()}::tiny"], channel=str(forge / "conda-forge"), engine=engine, root=tmp_path / "root"
    )
    assert {package.name: package.version for package in found}["tiny"] == "0.5"
