"""Activation on Windows, as far as no Windows is needed: the driver's text, its answer, and the order of PATH.

`tests/windows` has what needs one.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from mambakernels.activation import capture, cmd


def test_the_driver_calls_each_script_between_two_looks_at_the_variables(tmp_path: Path) -> None:
    scripts = [tmp_path / "a b.bat", tmp_path / "100%.bat"]
    text = cmd.driver(scripts, tmp_path)
    assert text.endswith("\r\n")
    lines = text.split("\r\n")[:-1]
    assert all(line.startswith("@") for line in lines)
    assert lines[1] == f'@"cmd.exe" /d /u /c set >"{tmp_path / "before"}"'
    assert [line for line in lines if line.startswith('@call "')] == [
        f'@call "{tmp_path}/a b.bat" >"{tmp_path}/said" 2>&1',
        f'@call "{tmp_path}/100%%.bat" >"{tmp_path}/said" 2>&1',
    ]
    assert lines[-1] == f'@"cmd.exe" /d /u /c set >"{tmp_path / "after"}"'


def test_variables_are_read_as_cmd_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "after"
    file.write_bytes("=C:=C:\\x\r\nPath=C:\\a;C:\\b\r\nPROMPT=$P$G\r\nGrösse=a=b ü\r\n".encode("utf-16-le"))
    assert cmd.read_variables(file) == {"PATH": "C:\\a;C:\\b", "GRÖSSE": "a=b ü"}


# As much of cmd.exe as the driver needs: `set` writes the variables, `call` runs a batch file of `set` lines.
CMD = f"""#!{sys.executable}
import os, re, sys
for line in open(sys.argv[-1], encoding="utf-8").read().splitlines():
    script, target = re.fullmatch(r'@(?:call "(.*?)" |"cmd.exe" /d /u /c set )>"(.*?)".*|@.*', line).groups()
    if script:
        os.environ.update(row.removeprefix("set ").split("=", 1) for row in open(script).read().splitlines())
    elif target:
        text = "".join(f"{{name}}={{value}}\\r\\n" for name, value in os.environ.items())
        open(target, "w", encoding="utf-16-le", newline="").write(text)
"""


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A prefix on what capture takes for Windows; PATH leads to a stand-in for cmd.exe."""
    monkeypatch.setattr(capture, "_platform", lambda: capture._PLATFORMS["nt"])
    monkeypatch.setenv("PATH", f"{tmp_path / 'system'}{os.pathsep}{os.environ['PATH']}")
    add_program(tmp_path / "system" / "cmd.exe", CMD)
    (tmp_path / "envs" / "x" / "etc" / "conda" / "activate.d").mkdir(parents=True)
    return tmp_path / "envs" / "x"


def add_program(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_programs_are_found_in_condas_order(windows: Path, tmp_path: Path) -> None:
    """The one that is found is taken away; then the next is."""
    folders = ("", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin")
    places = [*(windows / folder for folder in folders), tmp_path / "system"]
    programs = [add_program(place / "tool") for place in places]
    path = capture.activated(windows)["PATH"]
    for program in programs:
        assert shutil.which("tool", path=path) == str(program)
        program.unlink()


def test_batch_files_are_called_and_what_they_set_is_captured(windows: Path) -> None:
    settings = windows / "etc" / "conda" / "activate.d"
    (settings / "a.bat").write_text("set GRÖSSE=a=b ü\n")
    (settings / "b.bat").write_text("set SECOND=2\n")
    (settings / "c.sh").write_text("set WRONG=shell\n")
    captured = capture.capture(windows)
    assert {name: value for name, value in captured.set.items() if "CONDA" not in name} == {
        "GRÖSSE": "a=b ü",
        "SECOND": "2",
    }
    assert captured.path_prepend[0] == str(windows)
