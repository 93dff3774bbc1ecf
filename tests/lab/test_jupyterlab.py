"""JupyterLab with the lessons: what the folder gets, what opens, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from support.running_kernels import family

import mambakernels
from mambakernels import errors, paths
from mambakernels.lab import jupyterlab

Cli = Callable[..., subprocess.CompletedProcess[str]]
SHIPPED = {path.name for path in paths.notebooks().iterdir() if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_empty_folder_gets_the_notebooks_once(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "lessons"
    assert mambakernels.lab.copy_notebooks(folder) == len(SHIPPED)
    assert names(folder) == SHIPPED
    (folder / jupyterlab.START_PAGE).write_text("mine")
    (folder / "kernels.toml").unlink()
    assert mambakernels.lab.copy_notebooks(folder) == 0
    assert (folder / jupyterlab.START_PAGE).read_text() == "mine"
    assert names(folder) == SHIPPED - {"kernels.toml"}


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert mambakernels.lab.copy_notebooks(tmp_path) == len(SHIPPED)


def test_an_interrupted_copy_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake stands for Ctrl-C in the middle."""
    written: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        path.write_bytes(content)
        written.append(path)

    monkeypatch.setattr(jupyterlab, "write_atomically", write)
    with pytest.raises(KeyboardInterrupt):
        mambakernels.lab.copy_notebooks(tmp_path)
    assert len(written) == 3
    assert names(tmp_path) == set()


def test_without_jupyterlab_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jupyterlab, "find_spec", lambda _name: None)
    with pytest.raises(errors.NotFoundError, match=r'pip install "mambakernels\[lab\]"'):
        mambakernels.lab.start_jupyterlab(tmp_path)


def test_options_need_a_folder_before_them(cli: Cli) -> None:
    answer = cli("lab", "--", "--ip=0.0.0.0")
    assert answer.returncode == 2
    assert "lab . -- --ip=0.0.0.0" in answer.stderr


@pytest.mark.slow
def test_it_opens_the_start_page_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """The process that was started is the server: no other stands in between, and nothing is asked."""
    pytest.importorskip("jupyterlab", reason="jupyterlab is not installed")
    folder, runtime = tmp_path / "mes leçons", tmp_path / "runtime"
    words = ["lab", folder, "--no-browser", "--port", "0", "--root", tmp_path / "root", "--", "--allow-root"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mambakernels", *map(str, words)],
            env={**os.environ, "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        about = _announced(runtime / f"jpserver-{server.pid}.json", server)
        assert about["root_dir"] == str(folder)
        variables = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
        assert f"MAMBAKERNELS_ROOT={tmp_path / 'root'}".encode() in variables
        assert _opened(about).endswith("/lab/tree/00_start_here.ipynb")
        assert names(folder) - {".ipynb_checkpoints", ".jupyter_ystore.db"} == SHIPPED
        belonging = family(server.pid)
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in belonging)
    finally:
        server.kill()
        server.wait()
    assert f"The notebooks are in {folder}." in (tmp_path / "log").read_text(encoding="utf-8")


def _opened(about: dict[str, str]) -> str:
    """Return the address that its address leads to, once it answers: it writes about itself a moment before."""
    request = urllib.request.Request(about["url"], headers={"Authorization": f"token {about['token']}"})
    until = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.url)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > until:
                raise
            time.sleep(0.05)


def _announced(file: Path, server: subprocess.Popen[bytes]) -> dict[str, str]:
    """Wait for what the server writes about itself once it listens."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert server.poll() is None
        if file.exists() and (text := file.read_text()).rstrip().endswith("}"):
            found: dict[str, str] = json.loads(text)
            return found
        time.sleep(0.05)
    raise AssertionError("it did not start")
