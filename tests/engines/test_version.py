"""The version of a micromamba, and programs that are not one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.engines import needs_micromamba

from mambakernels import errors
from mambakernels.bootstrap import version
from mambakernels.engines import micromamba


def executable(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (("echo 'ls (GNU coreutils) 9.1'; echo 'License GPLv3+'",), "with ls (GNU coreutils) 9.1."),
        ((f"echo {'x' * 200}",), f"with {'x' * 80}."),
        (("exit 3",), "with nothing, and status 3."),
        (("echo 2.8.1; exit 1",), "with 2.8.1, and status 1."),
        (("echo unknown option >&2; exit 2",), "with unknown option, and status 2."),
        (("exec sleep 30",), "with nothing within 1 s."),
    ],
)
def test_a_program_that_is_no_micromamba_is_refused(
    lines: tuple[str, ...], answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named fakes: what MAMBA_EXE may name."""
    monkeypatch.setattr(version, "_STARTS_WITHIN", 1.0 if "sleep" in lines[0] else 30.0)
    fake = executable(tmp_path / "fake", *lines)
    with pytest.raises(errors.EngineError) as caught:
        _ = micromamba.Micromamba(fake).version
    assert caught.value.what == f"This is not a micromamba: it answers --version {answer}"
    assert caught.value.where == str(fake)
    assert "MAMBA_EXE" in str(caught.value.next_step)


def test_a_program_of_another_machine_is_refused(tmp_path: Path) -> None:
    fake = tmp_path / "fake"
    fake.write_bytes(b"\x7fELF nothing that runs")
    fake.chmod(0o755)
    with pytest.raises(errors.EngineError, match="Exec format error"):
        _ = micromamba.Micromamba(fake).version


@pytest.mark.parametrize("said", ["2.8.1", "1.5.10", "2.9.0.rc1", "micromamba: 0.15.2"])
def test_versions_are_read(said: str, tmp_path: Path) -> None:
    assert micromamba.Micromamba(executable(tmp_path / "fake", f"echo '{said}'")).version == said.rpartition(" ")[2]


@needs_micromamba
def test_a_micromamba_says_its_version() -> None:
    assert micromamba.Micromamba(Path(os.environ["MAMBA_EXE"])).version[0].isdigit()
