"""Activation on Windows, as far as no Windows is needed: the driver's text, its answer, and the order of PATH."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from mambakernels.activation import capture, cmd


def test_the_driver_calls_each_script_between_two_looks_at_the_variables(tmp_path: Path) -> None:
    scripts = [tmp_path / "a b.bat", tmp_path / "100%.bat"]
    text = cmd.driver(scripts, tmp_path)
    assert text.endswith("\r\n")
    lines = text.split("\r\n")[:-1]
    assert all(line.startswith("@") for line in lines)
    assert lines[1] == f'@set >"{tmp_path / "before"}"'
    assert [line for line in lines if line.startswith("@call")] == [
        f'@call "{tmp_path}/a b.bat" >"{tmp_path}/said" 2>&1',
        f'@call "{tmp_path}/100%%.bat" >"{tmp_path}/said" 2>&1',
    ]
    assert lines[-1] == f'@set >"{tmp_path / "after"}"'


def test_variables_are_read_as_cmd_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "after"
    file.write_bytes("=C:=C:\\x\r\nPATH=C:\\a;C:\\b\r\nPROMPT=$P$G\r\nGRÖSSE=a=b ü\r\n".encode("utf-16-le"))
    assert cmd.read_variables(file) == {"PATH": "C:\\a;C:\\b", "GRÖSSE": "a=b ü"}


def test_the_folders_on_path_are_in_the_documented_order() -> None:
    platform = capture._PLATFORMS["nt"]
    assert [str(PurePosixPath("P") / folder) for folder in platform.path] == [
        "P",
        "P/Library/mingw-w64/bin",
        "P/Library/usr/bin",
        "P/Library/bin",
        "P/Scripts",
        "P/bin",
    ]
    assert platform.script_suffix == ".bat"


def test_a_prefix_is_captured_with_windows_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The table's row for Windows, on this machine: a fake platform, as the folders are all that is looked at."""
    monkeypatch.setattr(capture, "_platform", lambda: capture._PLATFORMS["nt"])
    (tmp_path / "envs" / "x" / "conda-meta").mkdir(parents=True)
    prefix = tmp_path / "envs" / "x"
    captured = capture.capture(prefix, environ={"PATH": "/usr/bin"})
    assert captured.path_prepend == tuple(
        str(prefix / folder)
        for folder in ("", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin")
    )
