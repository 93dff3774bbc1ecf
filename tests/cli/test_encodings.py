"""Output in an encoding that lacks some characters, and files in place of links and with modes of their own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mambakernels.system import files

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
KERNEL = {"argv": ["python", "-m", "x"], "display_name": "Übung \u2013 5 µs 🐍", "language": "python"}
PRINTED = (
    "from mambakernels.system.text_output import make_encodable as make; import sys; make(sys.stdout); "
    "from mambakernels.cli import tables; tables.print_table(('a…',), [('5 µs \u00d7 ü 🐍',)])"
)


@pytest.mark.parametrize(
    ("encoding", "cell"),
    [
        ("ascii", rb"5 us x \xfc \U0001f40d"),
        ("cp1252", "5 µs \u00d7 ü ".encode("cp1252") + rb"\U0001f40d"),
        ("utf-8", "5 µs \u00d7 ü 🐍".encode()),
    ],
)
def test_a_table_is_written_in_any_encoding(encoding: str, cell: bytes) -> None:
    environ = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", PRINTED], env=environ, capture_output=True, check=True)
    assert cell in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1:strict"])
def test_kernels_are_listed_in_any_encoding(tmp_path: Path, cli: Cli, encoding: str) -> None:
    folder = tmp_path / "kernels" / "lesson"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(KERNEL))
    options = {"JUPYTER_DATA_DIR": str(tmp_path), "JUPYTER_PATH": str(tmp_path), "PYTHONIOENCODING": encoding}
    plain = subprocess.run(
        [sys.executable, "-m", "mambakernels", "kernels"],
        env={**os.environ, **options},
        capture_output=True,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    shown = cli("kernels", "--json", **options)
    assert shown.stdout.isascii()
    assert isinstance(json.loads(shown.stdout), list)
    missing = subprocess.run(
        [sys.executable, "-m", "mambakernels", "create", "x", "-f", "für.yml"],
        env={**os.environ, **options},
        capture_output=True,
        check=False,
    )
    assert missing.returncode == 1
    assert b"Traceback" not in missing.stderr


def test_a_file_behind_a_link_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to("there/file")
    files.write_atomically(link, "one")
    files.write_atomically(link, "two")
    assert link.is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "two"
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file"]


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    file.chmod(0o640)
    files.write_atomically(file, "two")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    files.write_atomically(file, "three", mode=0o600)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_not_a_file_is_written_to(tmp_path: Path) -> None:
    code = "from mambakernels.system.files import *; write_atomically(Path('/dev/stdout'), 'x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout == b"x"
    assert Path("/dev/stdout").is_symlink()
