"""micromamba's initialisation of shells, on the real one: shown, done, used in a new shell, and undone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engines import needs_micromamba
from support.terminal import terminal

from mambakernels.activation import shell_init
from mambakernels.errors import InvalidRequestError
from mambakernels.paths import Root

Cli = Callable[..., subprocess.CompletedProcess[str]]
WITHOUT_MICROMAMBA = {"MAMBA_EXE": "", "PATH": "/nowhere"}
PROMPT = "theirs> "
# Start files, none of which ends in a new line.
START_FILES = {
    "bash": (".bashrc", f"export THEIRS=read\nPS1='{PROMPT}'"),
    "zsh": (".zshrc", f"export THEIRS=read\nPROMPT='{PROMPT}'"),
    "fish": (".config/fish/config.fish", f"set -gx THEIRS read\nfunction fish_prompt; echo -n '{PROMPT}'; end"),
    "xonsh": (".xonshrc", f"$THEIRS = 'read'\n$PROMPT = '{PROMPT}'"),
}
here = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed"))
    for name in START_FILES
]


@pytest.fixture
def user_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("ZDOTDIR", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A root prefix with a space and a letter that is not ASCII in its path, and one environment."""
    prefix = tmp_path / "Wurzel für alles" / "envs" / "np-test"
    for folder in ("bin", "conda-meta", "etc/conda/env_vars.d"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "conda-meta" / "history").touch()
    (prefix / "etc" / "conda" / "env_vars.d" / "a.json").write_text('{"OF_PACKAGE": "yes"}')
    return tmp_path / "Wurzel für alles"


def start_file(home: Path, shell: str) -> Path:
    name, text = START_FILES[shell]
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text)
    return home / name


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@needs_micromamba
@pytest.mark.parametrize("shell", here)
def test_a_new_shell_can_activate_and_undoing_leaves_no_trace(
    cli: Cli, user_home: Path, place: Path, shell: str
) -> None:
    file = start_file(user_home, shell)
    file.chmod(0o640)
    before = file.read_bytes()
    done = cli("shell-init", shell, "--root", place)
    assert done.returncode == 0, done.stderr
    assert f"{file} changed" in done.stdout
    assert file.stat().st_mode & 0o777 == 0o640
    environ = {**os.environ, "TERM": "dumb", "SHELL_TYPE": "readline"}
    del environ["MAMBA_EXE"]
    with terminal([shell, "-i"], environ) as screen:
        screen.wait_for(PROMPT)
        screen.type("micromamba activate np-test\nenv > ~/dump\nexit 3\n")
        assert screen.status() == 3
    found = dict(line.partition("=")[::2] for line in (user_home / "dump").read_text().splitlines())
    assert found["CONDA_PREFIX"] == str(place / "envs" / "np-test")
    assert f"{place}/envs/np-test/bin" in found["PATH"].split(":")
    assert found["OF_PACKAGE"] == "yes"
    assert found["THEIRS"] == "read"
    undone = cli("shell-init", shell, "--reverse", "--root", place)
    assert undone.returncode == 0, undone.stderr
    assert file.read_bytes() == before
    assert not [name for name in tree(place) if "mamba" in name]


@needs_micromamba
@pytest.mark.parametrize("shell", here[:3])
def test_an_opened_shell_that_is_initialised_can_leave_the_environment(
    cli: Cli, user_home: Path, place: Path, shell: str
) -> None:
    start_file(user_home, shell)
    cli("shell-init", shell, "--root", place)
    prefix = place / "envs" / "np-test"
    ours = [sys.executable, "-m", "mambakernels", "shell", "--root", str(place), "--shell", shell, str(prefix)]
    with terminal(ours, {**os.environ, "TERM": "dumb"}) as screen:
        screen.wait_for("(np-test) ")
        screen.wait_for(PROMPT)
        screen.type("env > ~/inside; micromamba deactivate\n")
        screen.type("env > ~/outside; exit 3\n")
        assert screen.status() == 3
    assert f"CONDA_PREFIX={prefix}\n" in (user_home / "inside").read_text()
    assert "np-test" not in (user_home / "outside").read_text()


@needs_micromamba
@pytest.mark.parametrize("shell", START_FILES)
def test_a_dry_run_shows_what_is_done_and_does_nothing(cli: Cli, user_home: Path, place: Path, shell: str) -> None:
    file = start_file(user_home, shell)
    before = tree(user_home), tree(place)
    shown = cli("shell-init", shell, "--dry-run", "--root", place).stdout
    assert (tree(user_home), tree(place)) == before
    done = cli("shell-init", shell, "--root", place).stdout
    assert done.splitlines()[:-2] == shown.splitlines()[:-2]
    assert f"would be written: {place}" in shown
    after = tree(user_home), tree(place)
    assert after != before
    added = [line[1:] for line in shown.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert "\n".join(added) in file.read_text()
    cli("shell-init", shell, "--dry-run", "--reverse", "--root", place)
    assert (tree(user_home), tree(place)) == after


@needs_micromamba
@pytest.mark.parametrize("shell", START_FILES)
def test_done_again_it_changes_nothing(cli: Cli, user_home: Path, place: Path, shell: str) -> None:
    file = start_file(user_home, shell)
    cli("shell-init", shell, "--root", place)
    once = file.read_bytes()
    assert "stays as it is" in cli("shell-init", shell, "--root", place).stdout
    assert file.read_bytes() == once


@needs_micromamba
def test_a_start_file_that_was_not_there_goes_again(cli: Cli, user_home: Path, place: Path) -> None:
    for shell in START_FILES:
        assert cli("shell-init", shell, "--root", place).returncode == 0
        assert cli("shell-init", shell, "--reverse", "--root", place).returncode == 0
    assert tree(user_home) == {}
    assert "stays as it is" in cli("shell-init", "bash", "--reverse", "--root", place).stdout


@needs_micromamba
def test_a_link_to_a_start_file_stays_one(cli: Cli, user_home: Path, place: Path) -> None:
    (user_home / "dotfiles").mkdir()
    (user_home / "dotfiles" / "bashrc").write_text("export THEIRS=read\n")
    (user_home / ".bashrc").symlink_to("dotfiles/bashrc")
    cli("shell-init", "bash", "--root", place)
    assert (user_home / ".bashrc").is_symlink()
    assert "mamba initialize" in (user_home / "dotfiles" / "bashrc").read_text()


@needs_micromamba
def test_start_files_are_found_where_the_shell_finds_them(cli: Cli, user_home: Path, place: Path) -> None:
    moved = {"ZDOTDIR": str(user_home / "zsh"), "XDG_CONFIG_HOME": str(user_home / "config")}
    for shell, file in (("zsh", "zsh/.zshrc"), ("fish", "config/fish/config.fish"), ("nu", "config/nushell/config.nu")):
        cli("shell-init", shell, "--root", place, **moved)
        assert "mamba initialize" in (user_home / file).read_text()
    assert not (user_home / ".zshrc").exists()


@needs_micromamba
def test_what_micromamba_cannot_do_is_said_in_its_words(cli: Cli, user_home: Path, place: Path) -> None:
    """micromamba 2.8.1 offers tcsh, and then refuses it."""
    answer = cli("shell-init", "tcsh", "--root", place)
    assert tree(user_home) == {}
    if answer.returncode == 0:
        pytest.skip("this micromamba can")
    assert "micromamba cannot initialise tcsh: " in answer.stderr
    assert "mambakernels shell NAME --shell tcsh" in answer.stderr


@needs_micromamba
@pytest.mark.skipif(shutil.which("pwsh") is not None, reason="PowerShell is here")
def test_powershell_has_to_be_there(cli: Cli, user_home: Path, place: Path) -> None:
    assert "powershell is not installed" in cli("shell-init", "powershell", "--root", place).stderr
    assert tree(user_home) == {}


@needs_micromamba
def test_a_path_that_would_break_the_start_file_is_refused(user_home: Path, tmp_path: Path) -> None:
    for name in ("a$b", 'a"b', "a`b"):
        with pytest.raises(InvalidRequestError, match="cannot write this path"):
            shell_init.shell_init("bash", root=Root(tmp_path / name))
    assert tree(user_home) == {}


@needs_micromamba
def test_a_micromamba_of_another_name_is_refused(cli: Cli, user_home: Path, place: Path, tmp_path: Path) -> None:
    """Its own shell functions would refuse it, in every new shell."""
    shutil.copy(os.environ["MAMBA_EXE"], tmp_path / "mm")
    answer = cli("shell-init", "bash", "--root", place, MAMBA_EXE=str(tmp_path / "mm"))
    assert answer.returncode == 1
    assert "called micromamba or mamba" in answer.stderr
    assert tree(user_home) == {}


def test_without_micromamba_it_says_so(cli: Cli, user_home: Path, place: Path) -> None:
    answer = cli("shell-init", "bash", "--root", place, **WITHOUT_MICROMAMBA)
    assert answer.returncode == 1
    assert "There is no micromamba, which initialises shells" in answer.stderr
    assert "mambakernels bootstrap" in answer.stderr
    assert "mambakernels shell NAME" in answer.stderr
    assert tree(user_home) == {}


def test_the_shell_in_use_is_the_default(cli: Cli) -> None:
    """Python starts it here, so that it is the one that SHELL names."""
    assert "'ksh' is not a shell" in cli("shell-init", SHELL="/bin/ksh").stderr
    assert "no micromamba" in cli("shell-init", SHELL="/bin/zsh", **WITHOUT_MICROMAMBA).stderr


@pytest.mark.skipif(os.name == "nt", reason="only where there is no Windows: that has cmd.exe")
def test_cmd_is_for_windows(cli: Cli) -> None:
    answer = cli("shell-init", "cmd.exe")
    assert answer.returncode == 1
    assert "on Windows only" in answer.stderr


@needs_micromamba
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_parent_decides_which_shell_is_in_use(user_home: Path, place: Path) -> None:
    """A bash whose SHELL is another."""
    line = f'"{sys.executable}" -m mambakernels shell-init --dry-run --root "{place}"; true'
    answer = subprocess.run(
        ["bash", "-c", line], env={**os.environ, "SHELL": "/bin/zsh"}, capture_output=True, text=True, check=True
    )
    assert str(user_home / ".bashrc") in answer.stdout
