"""Where a channel's name leads: a mirror, a `.condarc` that was named, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.channel_server import Site

import mambakernels
from mambakernels import channels, errors
from mambakernels.channels import condarc
from mambakernels.paths import Root


@pytest.fixture
def rc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "my condarc"
    monkeypatch.setenv(condarc.VARIABLE, str(file))
    return file


def address(name: str, root: Root) -> str:
    return channels.choose(name, root).url


def test_without_one_names_are_condas_own(empty_root: Root) -> None:
    assert address("conda-forge", empty_root) == "https://conda.anaconda.org/conda-forge"
    assert address("bioconda", empty_root) == "https://conda.anaconda.org/bioconda"
    assert address("conda-forge/label/broken", empty_root) == "https://conda.anaconda.org/conda-forge/label/broken"


def test_other_channels_are_beside_the_mirror(empty_root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMBAKERNELS_CONDA_FORGE", "https://mirror.example/all/conda-forge/")
    assert address("conda-forge", empty_root) == "https://mirror.example/all/conda-forge"
    assert address("bioconda", empty_root) == "https://mirror.example/all/bioconda"
    monkeypatch.setenv("MAMBAKERNELS_CONDA_FORGE", "https://mirror.example/forge")
    assert address("bioconda", empty_root) == "https://conda.anaconda.org/bioconda"


def test_a_named_condarc_says_where_channels_are(rc: Path, empty_root: Root) -> None:
    rc.write_text(
        "channel_alias: https://alias.example/\n"
        "custom_channels: {ours: 'https://user:pw@own.example/x', pkgs/main: 'https://pkgs.example'}\n"
        "mirrored_channels: {conda-forge: ['https://one.example/cf', 'https://two.example/cf']}\n"
        "default_channels: [pkgs/main]\n"
        "channels: [ours, nodefaults, defaults, conda-forge, ours]\n"
    )
    assert address("conda-forge", empty_root) == "https://one.example/cf"
    assert address("bioconda", empty_root) == "https://alias.example/bioconda"
    assert address("ours", empty_root) == "https://user:pw@own.example/x/ours"
    assert "pw" not in channels.choose("ours", empty_root).why
    found = [channel.url for channel in channels.choose_all(["auto"], empty_root)]
    assert found == ["https://user:pw@own.example/x/ours", "https://pkgs.example/pkgs/main", "https://one.example/cf"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("channels: [", "not YAML"),
        ("channels: [{a: b}]", "`channels` in a .condarc must be a list"),
        ("custom_channels: [a]", "`custom_channels` in a .condarc must be a mapping"),
    ],
)
def test_a_condarc_that_cannot_be_read_is_named(rc: Path, empty_root: Root, content: str, words: str) -> None:
    rc.write_text(content)
    with pytest.raises(errors.InvalidRequestError, match=words) as caught:
        channels.choose_all(["auto"], empty_root)
    assert caught.value.where == str(rc)


def test_a_condarc_that_is_missing_is_named(rc: Path, empty_root: Root) -> None:
    with pytest.raises(errors.NotFoundError, match=r"no such \.condarc") as caught:
        channels.choose("conda-forge", empty_root)
    assert caught.value.where == str(rc)
    assert "MAMBAKERNELS_CONDARC" in str(caught.value)


@pytest.mark.parametrize("name", ["./nothing", "/nothing/there", "a b", "ftp://x"])
def test_what_can_be_no_channel_is_refused(empty_root: Root, name: str) -> None:
    with pytest.raises(errors.ChannelError, match="is not a channel"):
        channels.choose(name, empty_root)


def test_an_environment_is_made_from_the_channels_of_a_named_condarc(rc: Path, site: Site, tmp_path: Path) -> None:
    base, _, name = site.url().rpartition("/")
    rc.write_text(f"channel_alias: {base}\nchannels: [{name}]\n")
    made = mambakernels.create("x", ["tiny", "ipykernel"], engine="rattler", root=tmp_path / "root", register=False)
    assert made.package("tiny") is not None
    assert made.channels == (site.url(),)
