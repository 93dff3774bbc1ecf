"""What pip installed lives along: with the real pip, in environments of the `wheels` channel."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engines import ENGINES
from support.growing_channel import tree

import mambakernels
from mambakernels import errors, kernels
from mambakernels.paths import Root

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=ENGINES)
def options(request: pytest.FixtureRequest, borrowed_root: Root, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(borrowed_root.path / "jupyter"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return {"engine": request.param, "root": borrowed_root.path}


def wheel(folder: Path, name: str, version: str = "1.0") -> Path:
    """A wheel with a module and a console script."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"import sys\nVERSION = '{version}'\ndef main(): print(sys.prefix)\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name}-says = {name}:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def pip(prefix: Path, *words: str | Path) -> None:
    subprocess.run([prefix / "bin" / "python", "-m", "pip", "-q", *words], check=True, capture_output=True)


def says(prefix: Path, name: str) -> str:
    done = subprocess.run([prefix / "bin" / f"{name}-says"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_pip_installed_goes_through_every_change(options: dict[str, Any], tmp_path: Path) -> None:
    made = mambakernels.create("one", ["python", "pip"], channel="wheels", **options)
    pip(made.prefix, "install", wheel(tmp_path / "wheels", "added"))
    mambakernels.install("one", ["threadpoolctl"], **options)
    assert says(made.prefix, "added") == str(made.prefix)
    assert mambakernels.describe("one", root=options["root"])["pip"] == ["added"]
    mambakernels.uninstall("one", ["threadpoolctl"], **options)
    clone = mambakernels.clone("one", "two", **options)
    assert says(clone.prefix, "added") == str(clone.prefix)
    renamed = mambakernels.rename("two", "a-much-longer-name-than-before", **options)
    assert says(renamed.prefix, "added") == str(renamed.prefix)
    assert (
        str(renamed.prefix)
        in subprocess.run(
            [renamed.prefix / "bin" / "pip", "--version"], capture_output=True, text=True, check=True
        ).stdout
    )
    words = ["grep", "-rlIF", f"{clone.prefix}/", renamed.prefix]
    left = subprocess.run(words, capture_output=True, text=True, check=False)
    assert left.stdout == ""
    pip(renamed.prefix, "uninstall", "-y", "added")
    assert not (renamed.prefix / "bin" / "added-says").exists()
    assert says(made.prefix, "added") == str(made.prefix)
    with pytest.raises(errors.InvalidRequestError, match="pip installed added"):
        mambakernels.lock("one", output=tmp_path / "one.lock", root=options["root"])
    assert "added==1.0" in mambakernels.export("one", root=options["root"])


def test_a_package_of_pip_in_the_place_of_another_is_refused_before_anything_changes(
    options: dict[str, Any], tmp_path: Path
) -> None:
    made = mambakernels.create("one", ["python", "pip", "threadpoolctl"], channel="wheels", **options)
    pip(made.prefix, "install", "--force-reinstall", "--no-deps", wheel(tmp_path / "wheels", "threadpoolctl", "99.0"))
    before = tree(Path(options["root"]) / "envs")
    acts: list[Callable[[], object]] = [
        lambda: mambakernels.install("one", ["numpy"], **options),
        lambda: mambakernels.clone("one", "two", **options),
        lambda: mambakernels.rename("one", "two", **options),
        lambda: mambakernels.verify("one", repair=True, **options),
    ]
    for act in acts:
        with pytest.raises(
            errors.InvalidRequestError, match="pip replaced conda packages of 'one': threadpoolctl"
        ) as caught:
            act()
        assert "pip uninstall threadpoolctl" in str(caught.value)
    assert {key: value for key, value in tree(Path(options["root"]) / "envs").items() if "/" in key} == {
        key: value for key, value in before.items() if "/" in key
    }
    pip(made.prefix, "uninstall", "-y", "threadpoolctl")
    mambakernels.verify("one", repair=True, **options)
    assert mambakernels.verify("one", root=options["root"]).damage == ()


def test_a_pip_part_is_installed_with_the_rest(options: dict[str, Any], tmp_path: Path, cli: Cli) -> None:
    wheel(tmp_path / "wheels", "added")
    (tmp_path / "more.txt").write_text("./wheels/second-1.0-py3-none-any.whl\n")
    wheel(tmp_path / "wheels", "second")
    file = tmp_path / "environment.yml"
    file.write_text(
        "name: one\nchannels: [wheels]\n"
        "dependencies: [python, {pip: [./wheels/added-1.0-py3-none-any.whl, -r more.txt]}]\n"
        "variables: {FOO: bar}\n"
    )
    done = cli("create", "-f", file, "--engine", options["engine"], "--root", options["root"])
    assert done.returncode == 0, done.stderr
    made = mambakernels.get("one", root=options["root"])
    assert [says(made.prefix, name) for name in ("added", "second")] == [str(made.prefix)] * 2
    assert mambakernels.create(file=file, **options) == made
    assert subprocess.run(["grep", "-rlF", "/.one.", made.prefix], capture_output=True, check=False).stdout == b""
    assert kernels.list()[0].name == "one"


def test_a_pip_part_that_fails_leaves_nothing(options: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text("name: one\nchannels: [wheels]\ndependencies: [python, {pip: [no-such-package==9]}]\n")
    with pytest.raises(errors.EngineError, match="pip could not install no-such-package==9") as caught:
        mambakernels.create(file=file, **options)
    assert "No matching distribution" in str(caught.value)
    assert list((Path(options["root"]) / "envs").iterdir()) == []
    assert kernels.list() == []
