"""The wheels channel: what it holds, that it is a real channel, and that it survives whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import channel_cache
from support.blas import BLAS
from support.running_kernels import processes, seconds_until

from mambakernels import errors, paths
from mambakernels.channels import blas_libraries, conda_packages, downloads, interpreter, wheels
from mambakernels.paths import Root
from mambakernels.progress import Event
from mambakernels.system.locks import locked

SUBDIR = paths.subdir()


@pytest.fixture(scope="session")
def records(root: Root) -> dict[str, dict[str, object]]:
    return conda_packages.records(wheels.folder(root), SUBDIR)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("libblas=*=*mkl", "mkl"),
        ("libblas * *_mkl", "mkl"),
        ("libblas >=3.9,<4 *mkl", "mkl"),
        ("libblas=*[build=*mkl]", "mkl"),
        ("libblas[version='>=3.9', build='*mkl']", "mkl"),
        ("libblas=*=^.*_mkl$", "mkl"),
        ("https://conda.anaconda.org/conda-forge::libblas=*=*mkl", "mkl"),
        ("conda-forge/linux-64::libblas=*=*openblas", "openblas"),
        ("mkl>=2024", "mkl"),
        ("libblas>=3.9", "openblas"),
        ("numpy=2=py311*", "openblas"),
    ],
)
def test_the_blas_that_a_spec_names_is_the_one_that_is_built(spec: str, wanted: str) -> None:
    if wanted in BLAS:
        assert wheels.WheelsRequest.of([spec]).blas == (wanted,)
        return
    with pytest.raises(errors.ChannelError, match="for x86-64 only"):
        wheels.WheelsRequest.of([spec])


@pytest.mark.parametrize("spec", ["libblas=*=*mkl", "mkl>=2024"])
def test_a_blas_that_is_for_other_processors_is_refused_however_it_is_named(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas_libraries, "why_not", lambda blas: "it is for others" if blas.name == "mkl" else None)
    with pytest.raises(errors.ChannelError, match="MKL is not available here: it is for others"):
        wheels.WheelsRequest.of([spec])


@pytest.mark.parametrize("spec", ["", "  ", "=1.0", ">3", "*"])
def test_what_is_no_match_spec_is_refused(spec: str) -> None:
    with pytest.raises(errors.InvalidRequestError, match="not a valid match spec"):
        wheels.WheelsRequest.of([spec])


def test_an_unknown_blas_is_refused_with_those_there_are() -> None:
    with pytest.raises(errors.InvalidRequestError) as caught:
        wheels.WheelsRequest.of(["libblas=*=*atlas"])
    assert "libblas=*=*mkl" in str(caught.value)


def test_a_blas_that_cannot_be_had_here_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(errors.ChannelError, match="no apt-get"):
        wheels.WheelsRequest.of(["libblas=*=*blis"])


def test_every_indexed_package_is_there_as_the_index_says(root: Root, records: dict[str, dict[str, object]]) -> None:
    assert {"python", "ipykernel", "numpy", "pip", "threadpoolctl", "libblas"} <= {
        record["name"] for record in records.values()
    }
    for name, record in records.items():
        content = (wheels.folder(root) / SUBDIR / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == record["sha256"]
        assert len(content) == record["size"]


def test_there_is_one_numpy_per_blas_and_openblas_is_preferred(records: dict[str, dict[str, object]]) -> None:
    numpys = [record for record in records.values() if record["name"] == "numpy"]
    offered = {str(record["build"]).rpartition("_")[2]: record for record in numpys}
    assert set(offered) == {item.name for item in blas_libraries.available()}
    assert max(numpys, key=lambda record: int(str(record["build_number"]))) is offered["openblas"]
    assert all(f"libblas * *_{name}" in record["depends"] for name, record in offered.items())  # type: ignore[operator]


def test_every_package_names_its_licence(records: dict[str, dict[str, object]]) -> None:
    assert [name for name, record in records.items() if not record.get("license")] == []


def test_licence_texts_come_along(root: Root, tmp_path: Path) -> None:
    import rattler.package_streaming as streaming

    archive = next((wheels.folder(root) / SUBDIR).glob("mkl-*.conda"))
    streaming.extract(archive, tmp_path / "mkl")
    texts = list((tmp_path / "mkl" / "info" / "licenses").iterdir())
    assert any("Intel" in text.read_text(encoding="utf-8") for text in texts)


def test_nothing_to_do_starts_no_work(root: Root) -> None:
    events: list[Event] = []
    wheels.ensure(root, ["numpy", "libblas=*=*mkl", "python=3"], progress=events.append)
    assert events == []


def test_what_a_killed_build_has_left_goes_with_nothing_else_to_do_unless_a_build_goes_on(
    root: Root, tmp_path: Path
) -> None:
    copy = Root(tmp_path / "root")
    channel_cache.copy(root.channels, copy.channels)
    left = wheels.folder(copy) / ".build-of-a-killed-process" / "index"
    left.mkdir(parents=True)
    with locked(copy, wheels.folder(copy).name):
        wheels.ensure(copy)
        assert left.exists()
    wheels.ensure(copy)
    assert not left.parent.exists()


def test_a_build_string_follows_the_content(tmp_path: Path) -> None:
    recipe = conda_packages.Recipe("x", "1", SUBDIR)
    (tmp_path / "file").write_text("one")
    first = conda_packages.build_string(recipe, tmp_path)
    assert conda_packages.build_string(recipe, tmp_path) == first
    (tmp_path / "file").chmod(0o755)
    executable = conda_packages.build_string(recipe, tmp_path)
    (tmp_path / "file").write_text("two")
    other = conda_packages.build_string(recipe, tmp_path)
    described = conda_packages.build_string(conda_packages.Recipe("x", "1", SUBDIR, depends=("y",)), tmp_path)
    assert len({first, executable, other, described}) == 4


def test_a_wheel_the_channel_lacks_is_added_on_demand_and_stays(root: Root, tmp_path: Path) -> None:
    copy = Root(tmp_path / "root")
    channel_cache.copy(root.channels, copy.channels)
    before = set(conda_packages.records(wheels.folder(copy), SUBDIR))
    wheels.ensure(copy, ["tabulate"])
    after = set(conda_packages.records(wheels.folder(copy), SUBDIR))
    assert {name.partition("-")[0] for name in after - before} == {"tabulate"}
    assert before < after
    wheels.ensure(copy, ["tabulate=0.9.0"], insist=True)
    assert any(name.startswith("tabulate-0.9.0-") for name in conda_packages.records(wheels.folder(copy), SUBDIR))


def test_a_name_only_conda_forge_uses_is_there_too(root: Root, tmp_path: Path) -> None:
    copy = Root(tmp_path / "root")
    channel_cache.copy(root.channels, copy.channels)
    wheels.ensure(copy, ["typing_extensions"])
    found = {record["name"]: record for record in conda_packages.records(wheels.folder(copy), SUBDIR).values()}
    assert found["typing_extensions"]["depends"] == [f"typing-extensions =={found['typing-extensions']['version']}"]


def test_a_numpy_that_cannot_be_relinked_is_there_on_its_own_library(root: Root, tmp_path: Path) -> None:
    """NumPy 1.26's modules call their OpenBLAS by other names; the other libraries keep the newer NumPy."""
    if sys.version_info >= (3, 13):
        pytest.skip("there is no wheel of NumPy 1.26 for this Python")
    copy = Root(tmp_path / "root")
    channel_cache.copy(root.channels, copy.channels)
    wheels.ensure(copy, ["numpy=1.26"], insist=True)
    wheels.ensure(copy, ["tabulate"])
    found = [
        record for record in conda_packages.records(wheels.folder(copy), SUBDIR).values() if record["name"] == "numpy"
    ]
    old = [record["build"].rpartition("_")[2] for record in found if record["version"].startswith("1.26")]
    assert old == ["openblas"]
    assert len(found) == len(blas_libraries.available()) + 1


def test_what_a_mirror_refuses_is_not_called_a_missing_package() -> None:
    """The words are pip's for a certificate it does not trust."""
    said = (
        "WARNING: Could not fetch URL https://mirror/simple/x/: There was a problem confirming the ssl certificate\n"
        "ERROR: No matching distribution found for x\n"
    )
    assert "refused" in downloads._explain(said, ["x"]).what


def test_a_file_of_the_users_does_not_take_the_place_of_pythons_own(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('this is the wrong module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "elsewhere"))
    copy = Root(tmp_path / "root")
    channel_cache.copy(root.channels, copy.channels)
    wheels.ensure(copy, ["tabulate"])
    assert any(name.startswith("tabulate-") for name in conda_packages.records(wheels.folder(copy), SUBDIR))


def test_an_unknown_package_is_an_error_and_leaves_the_channel_as_it_was(root: Root) -> None:
    before = (wheels.folder(root) / SUBDIR / "repodata.json").read_bytes()
    with pytest.raises(errors.ChannelError, match=r"No wheel .* matches no-such-package-anywhere"):
        wheels.ensure(root, ["no-such-package-anywhere"])
    assert (wheels.folder(root) / SUBDIR / "repodata.json").read_bytes() == before
    assert not list(wheels.folder(root).glob(".build*"))


@pytest.mark.slow
def test_no_index_in_reach_is_said_so(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the interpreter in the channel: else it would be packed meanwhile, for nothing."""
    copy = Root(tmp_path / "root")
    channel_cache.copy(root.channels, copy.channels)
    before = conda_packages.records(wheels.folder(copy), SUBDIR)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(errors.ChannelError, match="index cannot be reached: Connection refused"):
        wheels.ensure(copy, ["tabulate"])
    assert conda_packages.records(wheels.folder(copy), SUBDIR) == before


def test_other_code_or_another_interpreter_makes_the_state_void(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wheels.load(root) is not None
    with monkeypatch.context() as patch:
        patch.setattr(wheels, "code", lambda: "other")
        assert wheels.load(root) is None
    monkeypatch.setattr(interpreter, "fingerprint", lambda: "other")
    assert wheels.load(root) is None


# Builds the channel, and is killed when it is about to begin a step.
_BUILD = """
import os, signal, sys
from pathlib import Path
from mambakernels.channels import wheels
from mambakernels.paths import Root

def progress(event):
    if event.step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

wheels.ensure(Root(Path(sys.argv[1])), sys.argv[3:], progress=progress)
"""


def builders(root: Root) -> list[int]:
    """Return the workers that build in a root."""
    found = [process.pid for process in processes() if "mambakernels.channels.build" in process.command]
    return [pid for pid in found if f"BUILT_IN={root.path}".encode() in variables_of(pid)]


def variables_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return []


def killed_at_each_step_then_completed(root: Root, *specs: str, **variables: str) -> wheels.State:
    """SIGKILL hits the whole build at a step, later each time, then one is let through."""
    command = [sys.executable, "-c", _BUILD, str(root.path)]
    environ = {**os.environ, "BUILT_IN": str(root.path), **variables}
    for step in ("compile", "pack", "index"):
        assert subprocess.run([*command, step, *specs], env=environ, check=False).returncode == -signal.SIGKILL
        if step == "index":  # it may have been published before its worker noticed: then there is nothing to do
            seconds_until(lambda: not builders(root), at_most=60)
        state = wheels.load(root)
        indexed = conda_packages.records(wheels.folder(root), SUBDIR)
        assert all((wheels.folder(root) / SUBDIR / name).exists() for name in indexed)
        assert state is None or set(state.files) <= set(indexed)
    subprocess.run([*command, "none", *specs], env=environ, check=True)
    state = wheels.load(root)
    assert state is not None
    assert set(state.files) == set(conda_packages.records(wheels.folder(root), SUBDIR))
    assert not list(wheels.folder(root).glob(".build*"))
    assert json.loads((wheels.folder(root) / "wheels.json").read_text())["schema"] == 1
    return state


@pytest.mark.exhaustive
def test_killed_at_any_step_the_next_build_completes(empty_root: Root, tmp_path: Path) -> None:
    wheelhouse = tmp_path / "wheelhouse"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", wheelhouse, *wheels.BASE],
        check=True,
    )
    killed_at_each_step_then_completed(empty_root, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheelhouse))


@pytest.mark.slow
def test_killed_at_any_step_of_adding_a_package_the_next_build_completes(root: Root, tmp_path: Path) -> None:
    copy = Root(tmp_path / "root")
    channel_cache.copy(root.channels, copy.channels)
    before = wheels.load(copy)
    assert before is not None
    after = killed_at_each_step_then_completed(copy, "tabulate")
    assert {source.split()[1] for source in after.sources.keys() - before.sources.keys()} == {"tabulate"}
