"""Activation on Windows, as far as no Windows is needed: the driver's text, its answer, and the order of PATH.

`tests/windows` has what needs one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from mambakernels.activation import capture, cmd
from mambakernels.activation.bash import Changes
from mambakernels.errors import ActivationError


def test_the_driver_calls_each_script_between_two_looks_at_the_variables(tmp_path: Path) -> None:
    scripts = [tmp_path / "a b.bat", tmp_path / "100%.bat"]
    text = cmd.driver(scripts, tmp_path)
    assert text.endswith("\r\n")
    lines = text.split("\r\n")[:-1]
    assert all(line.startswith("@") for line in lines)
    assert lines[1] == f'@"{cmd._cmd()}" /d /u /c "set&echo mambakernels-end" >"{tmp_path / "before"}"'
    assert [line for line in lines if line.startswith('@call "')] == [
        f'@call "{tmp_path / "a b.bat"}" >"{tmp_path / "said"}" 2>&1',
        f'@call "{tmp_path / "100%%.bat"}" >"{tmp_path / "said"}" 2>&1',
    ]
    assert lines[-1] == f'@"{cmd._cmd()}" /d /u /c "set&echo mambakernels-end" >"{tmp_path / "after"}"'


def test_variables_are_read_as_cmd_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "after"
    text = "=C:=C:\\x\r\nPath=C:\\a;C:\\b\r\nPROMPT=$P$G\r\nGrösse=a=b ü\x85\r\nmambakernels-end \r\n"
    file.write_bytes(text.encode("utf-16-le"))
    assert cmd.read_variables(file) == {"PATH": "C:\\a;C:\\b", "GRÖSSE": "a=b ü\x85"}


class FakeCmd:
    """Answers as cmd.exe does: writes lists of variables, of which the first ones end after `sizes` bytes."""

    def __init__(self, *sizes: int) -> None:
        self._sizes = list(sizes)

    def __call__(self, argv: Sequence[Path], **_options: object) -> subprocess.CompletedProcess[bytes]:
        size = self._sizes.pop(0) if self._sizes else None
        for name, variables in (("before", "PATH=C:\\a\r\n"), ("after", "ADDED=1\r\nPATH=C:\\a\r\n")):
            text = f"{variables}mambakernels-end\r\n".encode("utf-16-le")
            (argv[0].parent / name).write_bytes(text[:size])
        return subprocess.CompletedProcess([], 0, b"", b"")


@pytest.mark.parametrize("size", [0, 13, 16, 60])
def test_a_list_that_is_cut_short_is_no_change_of_a_script(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its missing variables are not taken for removed ones: the scripts are called once more."""
    monkeypatch.setattr(cmd.process, "read_output", FakeCmd(size))
    assert cmd.source([tmp_path / "a.bat"], {}, timeout=1) == Changes({"ADDED": "1"})
    monkeypatch.setattr(cmd.process, "read_output", FakeCmd(size, size))
    with pytest.raises(ActivationError, match=r"cmd\.exe did not list all variables"):
        cmd.source([tmp_path / "a.bat"], {}, timeout=1)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A prefix on what capture takes for Windows."""
    monkeypatch.setattr(capture, "_platform", lambda: capture._PLATFORMS["nt"])
    monkeypatch.setenv("PATH", f"{tmp_path / 'system'}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "system").mkdir()
    (tmp_path / "envs" / "x" / "etc" / "conda" / "activate.d").mkdir(parents=True)
    return tmp_path / "envs" / "x"


def add_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


def test_programs_are_found_in_condas_order(windows: Path, tmp_path: Path) -> None:
    """The one that is found is taken away; then the next is."""
    folders = ("", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin")
    places = [*(windows / folder for folder in folders), tmp_path / "system"]
    programs = [add_program(place / "tool.bat") for place in places]
    path = capture.activated(windows)["PATH"]
    for program in programs:
        assert shutil.which("tool.bat", path=path) == str(program)
        program.unlink()
