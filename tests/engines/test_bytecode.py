"""Bytecode is made once per package, kept, and shared; what does not fit its source is made anew."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.channel_server import Site

from mambakernels import paths
from mambakernels.engines import Engine, Request, bytecode
from mambakernels.progress import Event


class Made:
    """Environments of the same packages, one after another, on one package cache."""

    def __init__(self, engine: Engine, site: Site, folder: Path) -> None:
        self.engine, self.site, self.folder = engine, site, folder
        self.compiled: list[str] = []

    @property
    def kept(self) -> Path:
        return self.folder / "pkgs" / bytecode.FOLDER

    def environment(self, name: str) -> Path:
        prefix = self.folder / "envs" / name
        request = Request(("greeter", "python"), (self.site.url(),), paths.subdir())
        self.compiled.clear()
        self.engine.create(request, prefix, final=prefix, cache=self.folder / "pkgs", progress=self._note)
        return prefix

    def _note(self, event: Event) -> None:
        if event.step == "compile":
            self.compiled.append(event.detail)


@pytest.fixture
def made(any_engine: Engine, site: Site, tmp_path: Path) -> Made:
    return Made(any_engine, site, tmp_path)


def bytecode_of(prefix: Path) -> dict[str, Path]:
    found = (prefix / "lib").glob("python*/site-packages/greeter/**/*.pyc")
    return {path.relative_to(prefix).as_posix(): path for path in found}


def works(prefix: Path) -> bool:
    """Whether Python takes the module's bytecode, and takes the module to be where it is."""
    code = "import sys; sys.dont_write_bytecode = True; import greeter; print(greeter.__file__)"
    python = [prefix / "bin" / "python", "-v", "-c", code]
    answer = subprocess.run(python, capture_output=True, text=True, check=True)
    return str(prefix) in answer.stdout and re.search(r"greeter\S*\.pyc matches ", answer.stderr) is not None


def test_the_second_environment_takes_what_the_first_one_made(made: Made) -> None:
    one = bytecode_of(made.environment("one"))
    assert made.compiled
    assert one
    two = bytecode_of(made.environment("two"))
    assert made.compiled == []
    assert {name: path.stat().st_ino for name, path in one.items()} == {
        name: path.stat().st_ino for name, path in two.items()
    }
    assert works(made.folder / "envs" / "two")


def test_what_does_not_fit_the_source_is_made_anew(made: Made) -> None:
    made.environment("one")
    for file in made.kept.rglob("*.pyc"):
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content[:8] + b"\1\2\3\4" + content[12:])  # another time of the source
    fresh = bytecode_of(made.environment("two"))
    assert made.compiled
    assert all(path.read_bytes()[8:12] != b"\1\2\3\4" for path in fresh.values())
    made.environment("three")
    assert made.compiled == []


def test_a_cache_that_was_emptied_is_filled_again(made: Made) -> None:
    made.environment("one")
    for file in made.kept.rglob("*.pyc"):
        file.unlink()
    assert bytecode_of(made.environment("two"))
    assert made.compiled
    made.environment("three")
    assert made.compiled == []


def test_it_never_is_half_kept(tmp_path: Path) -> None:
    """Two processes that keep the same at once: one of them gives way, and nothing lies about."""
    name = "lib/python{}.{}/site-packages/m.py".format(*sys.version_info)
    source = tmp_path / "env" / name
    (source.parent / "__pycache__").mkdir(parents=True)
    source.write_text("x = 1\n")
    bytecode.compile_modules(tmp_path / "env", [name], tmp_path / "env")
    kept = tmp_path / "kept" / "m"
    for _ in range(2):
        bytecode._keep(kept, tmp_path / "env", [name])
        assert [path.name for path in kept.parent.iterdir()] == ["m"]
    assert bytecode._take(kept, tmp_path / "env")
