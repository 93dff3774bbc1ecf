"""The life of environments on rattler with a local channel, and the command line as people and programs use it."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

import mambakernels
from mambakernels.environments import Environment
from mambakernels.paths import Root

Cli = Callable[..., subprocess.CompletedProcess[bytes]]


def test_the_program_says_what_is_here(cli: Cli, root: Root) -> None:
    assert "create" in cli("--help").stdout.decode()
    said = cli("info").stdout.decode(errors="replace")
    assert ("win-64" in said, str(root.path) in said) == (True, True)


def test_arguments_arrive_as_they_were_typed(
    cli: Cli, first: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that cmd.exe, which Windows starts for a batch file, would read as signs; `%` is beyond Wine."""
    for name in ("a.bat", "b.bat"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    words = [
        "*.bat",
        "~",
        "$TEMP",
        "a b",
        "c&d",
        "e|f",
        "<in",
        ">out",
        "^",
        "g^&h",
        "(i)",
        '"j"',
        "k\\",
        "l,m;n=o",
        "!p!",
    ]
    words += ["", "'q'", "`r`", "@s", "#t", "\\\\u\\v w\\"]
    code = "import sys; print(ascii(sys.argv[1:]))"
    for program in (["tool"], ["python", "-c", code]):
        said = cli("exec", first.name, "--", *program, *words)
        assert said.stdout.decode().strip() == ascii(words), said.stderr


def test_a_variable_is_stored_as_it_was_typed(cli: Cli, first: Environment) -> None:
    done = cli("register", first.name, "--variant", "typed", "--env", "PLACE=%TEMP%", "--env", "lower=*")
    assert done.returncode == 0, done.stderr
    (kernel,) = [kernel for kernel in mambakernels.kernels.list(root=first.root) if kernel.variant == "typed"]
    env = json.loads((kernel.path / "kernel.json").read_text("utf-8"))["env"]
    assert (env["PLACE"], env["LOWER"]) == ("%TEMP%", "*")
    assert cli("register", first.name, "--env", "Path=C:\\mine").returncode == 1


def test_the_exit_status_is_the_programs(cli: Cli, first: Environment) -> None:
    assert cli("exec", first.name, "--", "python", "-c", "raise SystemExit(7)").returncode == 7
    lost = cli("exec", first.name, "--", "no-such-program")
    assert (lost.returncode, b"was not found" in lost.stderr) == (1, True)


def test_lists_can_be_piped_in_any_code_page(cli: Cli, first: Environment) -> None:
    done = cli("register", first.name, "--variant", "named", "--display-name", "Größe 日本 — µ")
    assert done.returncode == 0, done.stderr
    for encoding in ("cp932", "ascii", "cp1252"):
        listed = cli("kernels", PYTHONIOENCODING=encoding)
        assert (listed.returncode, listed.stderr) == (0, b"")
        found = json.loads(cli("kernels", "--json", PYTHONIOENCODING=encoding).stdout)
        assert "Größe 日本 — µ" in [kernel["display_name"] for kernel in found]


def test_remedies_are_in_the_words_of_the_shell(cli: Cli) -> None:
    said = cli("doctor", "--json", shell=True, KMP_DUPLICATE_LIB_OK="1").stdout
    assert "set KMP_DUPLICATE_LIB_OK=" in [finding["remedy"] for finding in json.loads(said)]


@pytest.fixture(name="notebook")
def _notebook(tmp_path: Path) -> Path:
    cells = [
        nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import os\nprint(os.environ['CONDA_DEFAULT_ENV'], n + 1)"),
    ]
    path = tmp_path / "a b.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "P"}}), path
    )
    return path


def test_a_notebook_runs_on_two_kernels_with_parameters(
    cli: Cli, first: Environment, second: Environment, notebook: Path, tmp_path: Path
) -> None:
    words = ["run", str(notebook), "-k", f"{first.name},{second.name}", "-g", "n=3,4", "-o", str(tmp_path / "runs")]
    done = cli(*words)
    assert done.returncode == 0, done.stderr
    assert b"Proactor" not in done.stderr
    assert b"Warning" not in done.stderr
    texts = [file.read_text("utf-8") for file in (tmp_path / "runs").rglob("*.ipynb")]
    shown = {
        (name, n) for name in ("first", "second") for n in (3, 4) if any(f"{name} {n + 1}\\n" in text for text in texts)
    }
    assert len(shown) == 4
    again = cli(*words, "--json")
    assert again.returncode == 0
    assert len(list((tmp_path / "runs").rglob("*.ipynb"))) == 4


def test_an_environment_is_changed_renamed_and_removed(cli: Cli, root: Root, channel: str, first: Environment) -> None:
    from_channel = ["--channel", channel, "--engine", "rattler"]
    assert cli("create", "third", "python", "ipykernel", *from_channel).returncode == 0
    assert cli("install", "third", "tool", "--engine", "rattler").returncode == 0
    assert cli("exec", "third", "--", "tool", "x").stdout.strip() == b"['x']"
    renamed = cli("rename", "third", "fourth", "--engine", "rattler")
    assert renamed.returncode == 0, renamed.stderr
    listed = [kernel["environment"] for kernel in json.loads(cli("kernels", "--json").stdout)]
    assert ("fourth" in listed, "third" in listed) == (True, False)
    fixed = root.environments / "fourth" / "Lib" / "site-packages" / "read-only.txt"
    fixed.touch()
    fixed.chmod(stat.S_IREAD)
    removed = cli("remove", "fourth")
    assert removed.returncode == 0, removed.stderr
    assert not (root.environments / "fourth").exists()
    assert not list(root.trash.iterdir())
    assert cli("clean").returncode == 0
    assert not root.packages.exists() or not list(root.packages.iterdir())
    assert cli("exec", first.name, "--", "python", "-c", "print(1)").stdout.strip() == b"1"


def test_what_was_made_is_whole(cli: Cli, first: Environment) -> None:
    assert cli("verify", first.name).returncode == 0
