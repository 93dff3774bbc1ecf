"""The contract of the engines: the same request gives the same packages, the same prefix, the same errors."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.engines import needs_micromamba

from mambakernels import engines, errors, paths
from mambakernels.channels import wheels
from mambakernels.engines import Engine, Package, Request, micromamba, rattler
from mambakernels.paths import Root
from mambakernels.progress import Event


def request(root: Root, *specs: str) -> Request:
    return Request(specs, (wheels.url(root),), paths.subdir())


def test_solve_and_create_agree_and_progress_is_reported(any_engine: Engine, root: Root, tmp_path: Path) -> None:
    wanted = request(root, "python", "numpy", "libblas=*=*netlib")
    solved = any_engine.solve(wanted, cache=tmp_path / "pkgs")
    final = tmp_path / "final place"
    events: list[Event] = []
    made = any_engine.create(wanted, tmp_path / "staged", final=final, cache=tmp_path / "pkgs", progress=events.append)
    assert {"solve", "link"} <= {event.step for event in events}
    assert made == solved
    assert engines.installed(tmp_path / "staged") == made
    (tmp_path / "staged").rename(final)
    answer = subprocess.run(
        [final / "bin" / "python", "-c", "import numpy; print(numpy.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.startswith(str(final))


@needs_micromamba
def test_both_engines_link_the_same_packages_to_the_same_files(root: Root, tmp_path: Path) -> None:
    wanted = request(root, "python", "numpy", "libblas=*=*mkl", "ipykernel")
    trees: list[dict[str, bytes]] = []
    made: list[tuple[Package, ...]] = []
    for item in (rattler.Rattler(), micromamba.Micromamba(Path(os.environ["MAMBA_EXE"]))):
        place = tmp_path / item.name
        made.append(item.create(wanted, place / "env", final=tmp_path / "env", cache=place / "pkgs"))
        trees.append(contents(place / "env"))
    assert made[0] == made[1]
    assert trees[0] == trees[1]


def contents(prefix: Path) -> dict[str, bytes]:
    """Every file that came from a package: without conda-meta, and the note each engine leaves at the top."""
    return {
        path.relative_to(prefix).as_posix(): path.read_bytes()
        for path in prefix.rglob("*")
        if path.is_file() and "conda-meta" not in path.parts and path.name not in {"CACHEDIR.TAG", ".mambarc"}
    }


def test_an_unsatisfiable_request_is_explained(any_engine: Engine, root: Root, tmp_path: Path) -> None:
    with pytest.raises(errors.SolveError, match="No set of packages satisfies") as caught:
        any_engine.solve(request(root, "python", "no-such-package"), cache=tmp_path / "pkgs")
    assert "no-such-package" in caught.value.what
    wanted = request(root, "no-such-package")
    with pytest.raises(errors.SolveError):
        any_engine.create(wanted, tmp_path / "x", final=tmp_path / "y", cache=tmp_path / "pkgs")


def test_a_missing_channel_is_named(any_engine: Engine, tmp_path: Path) -> None:
    wanted = Request(("python",), ((tmp_path / "nothing here").as_uri(),), paths.subdir())
    with pytest.raises(errors.ChannelError, match=r"nothing(%20| )here"):
        any_engine.create(wanted, tmp_path / "x", final=tmp_path / "y", cache=tmp_path / "pkgs")


def test_a_spec_that_is_none_is_refused(tmp_path: Path, root: Root) -> None:
    with pytest.raises(errors.InvalidRequestError, match="is not a valid match spec"):
        rattler.Rattler().solve(request(root, "numpy[=="), cache=tmp_path / "pkgs")


def test_a_micromamba_that_is_named_but_missing_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAMBA_EXE", str(tmp_path / "nothing"))
    with pytest.raises(errors.EngineError, match="MAMBA_EXE"):
        engines.choose("auto")


def test_without_micromamba_the_embedded_engine_is_chosen_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAMBA_EXE", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    engine, why = engines.choose("auto")
    assert engine.name == "rattler"
    assert "there is no micromamba, and none can be fetched" in why
    with pytest.raises(errors.DownloadError, match="--engine rattler"):
        engines.choose("micromamba")


def test_a_micromamba_on_path_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The executable is a fake: only the choice is looked at, which asks for its version."""
    fake = tmp_path / "micromamba"
    fake.write_text("#!/bin/sh\necho 2.8.1\n")
    fake.chmod(0o755)
    monkeypatch.delenv("MAMBA_EXE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    engine, why = engines.choose("auto")
    assert engine.name == "micromamba"
    assert "PATH" in why


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        (
            (
                "error    libmamba Could not solve for environment specs\n"
                "    The following package could not be installed\n"
                "    └─ nosuchpackage =* * does not exist (perhaps a typo or a missing channel).\n"
                "critical libmamba Could not solve for environment specs\n"
            ),
            errors.SolveError,
            "└─ nosuchpackage =* * does not exist",
        ),
        (
            (
                "warning  libmamba Retrying in 2 seconds\ncritical libmamba Multiple errors occurred:\n"
                "    Download error (7) Couldn't connect to server [http://127.0.0.1:9/ch/noarch/repodata.json]\n"
                "    Subdir http://127.0.0.1:9/ch/noarch not loaded!\n"
            ),
            errors.ChannelError,
            "http://127.0.0.1:9/ch/noarch/repodata.json",
        ),
        ("something else\nwent wrong\n", errors.EngineError, "something else went wrong"),
    ],
)
def test_what_micromamba_says_becomes_our_error(said: str, kind: type[Exception], reason: str) -> None:
    """The words are those that a micromamba 2.8.1 printed."""
    explained = micromamba._explain(said)
    assert type(explained) is kind
    assert reason in explained.what
