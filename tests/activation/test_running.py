"""Commands and shells in an activated environment, as a user meets them: processes, terminals, signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.terminal import Terminal, terminal

import mambakernels
from mambakernels import environments
from mambakernels.activation import programs, shells
from mambakernels.activation.capture import Activation
from mambakernels.engines import Engine
from mambakernels.environments import EnvironmentSpec
from mambakernels.errors import InvalidRequestError, NotFoundError
from mambakernels.paths import Root

Cli = Callable[..., subprocess.CompletedProcess[str]]
OURS = [sys.executable, "-m", "mambakernels"]
NASTY = 'it\'s $HOME "x" `id` \\ !x %d 100% (é)'


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A prefix, as any engine makes one: variables of a package, the environment's own, and a script."""
    folder = tmp_path / "envs" / "np-test"
    for place in ("bin", "conda-meta", "etc/conda/activate.d", "etc/conda/env_vars.d"):
        (folder / place).mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "etc" / "conda" / "env_vars.d" / "a.json").write_text(json.dumps({"OF_PACKAGE": NASTY}))
    (folder / "conda-meta" / "state").write_text(json.dumps({"env_vars": {"OF_STATE": "state"}}))
    script = 'export OF_SCRIPT="$OF_STATE and more" PATH="$CONDA_PREFIX/tools:$PATH:/opt/last"; unset DOOMED'
    (folder / "etc" / "conda" / "activate.d" / "a.sh").write_text(script)
    return folder


@pytest.fixture
def user_home(home: Path, tmp_path: Path) -> Iterator[Path]:
    """A user's home, and where temporary files go; nothing of ours is left there."""
    folder = home / tmp_path.name
    (folder / "tmp").mkdir(parents=True)
    yield folder
    assert not list((folder / "tmp").glob("mambakernels*"))
    shutil.rmtree(folder)


def variables(dump: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in dump.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def is_activated(found: dict[str, str], prefix: Path) -> None:
    assert found["PATH"].startswith(f"{prefix}/tools:{prefix}/bin:")
    assert found["PATH"].endswith(":/opt/last")
    assert found["CONDA_PREFIX"] == str(prefix)
    assert found["CONDA_DEFAULT_ENV"] == "np-test"
    assert found["OF_PACKAGE"] == NASTY
    assert found["OF_SCRIPT"] == "state and more"
    assert "DOOMED" not in found


def test_a_command_sees_the_activated_environment(prefix: Path, cli: Cli) -> None:
    dump = "import os, sys; sys.stdout.write(repr(dict(os.environ)))"
    answer = cli("exec", prefix, "--", "python", "-c", dump, DOOMED="x", KEPT="as it was")
    assert answer.returncode == 0, answer.stderr
    found = eval(answer.stdout)
    is_activated(found, prefix)
    assert found["KEPT"] == "as it was"


def test_an_environment_that_is_active_is_left_first(prefix: Path, cli: Cli, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "etc" / "conda" / "deactivate.d").mkdir(parents=True)
    (other / "etc" / "conda" / "deactivate.d" / "x.sh").write_text("unset OF_OTHER")
    session = {"CONDA_PREFIX": str(other), "CONDA_SHLVL": "1", "OF_OTHER": "1"}
    answer = cli("exec", prefix, "env", PATH=f"{other}/bin:{os.environ['PATH']}", **session)
    assert "OF_OTHER" not in answer.stdout
    assert str(other) not in answer.stdout
    assert "CONDA_SHLVL=1" in answer.stdout


def test_a_script_may_rewrite_path_for_a_command(prefix: Path, cli: Cli) -> None:
    """A kernelspec could not say so; one session can."""
    (prefix / "etc" / "conda" / "activate.d" / "z.sh").write_text('export PATH="/usr/bin:/bin"')
    assert "PATH=/usr/bin:/bin\n" in cli("exec", prefix, "env").stdout


ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.mark.parametrize("between", [(), ("--",)], ids=["plain", "after two dashes"])
def test_every_word_of_the_command_arrives(prefix: Path, cli: Cli, between: tuple[str, ...]) -> None:
    words = ["--help", "--debug", "-h", "--", "--root", "x", "a b", "", "--version", "é*"]
    answer = cli("exec", prefix, *between, "python", "-c", ECHO, *words)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == words


@pytest.mark.slow
def test_debug_before_the_name_is_ours(prefix: Path, cli: Cli) -> None:
    for words in (
        ("--debug", "exec", prefix),
        ("exec", "--debug", prefix),
        ("exec", "--root", "/x", "--debug", prefix),
    ):
        assert "Traceback" in cli(*words, "no-such-command").stderr
    assert "Traceback" not in cli("exec", prefix, "no-such-command", "--debug").stderr


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_the_exit_status_is_the_commands(prefix: Path, cli: Cli, status: int) -> None:
    assert cli("exec", prefix, "--", "sh", "-c", f"exit {status}").returncode == status


def test_input_and_both_outputs_are_the_commands_own(prefix: Path) -> None:
    words = [*OURS, "exec", str(prefix), "sh", "-c", "cat; echo aside >&2"]
    answer = subprocess.run(words, input=b"raw \xff\0 bytes", capture_output=True, check=True)
    assert answer.stdout == b"raw \xff\0 bytes"
    assert answer.stderr == b"aside\n"


def test_nothing_of_ours_stays_between(prefix: Path) -> None:
    words = [*OURS, "exec", str(prefix), "python", "-c", "import os; print(os.getpid(), flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert int(child.stdout.readline()) == child.pid
        child.communicate("\n")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGKILL"])
def test_signals_reach_the_command(prefix: Path, name: str) -> None:
    number = getattr(signal, name)
    program = "import signal, time; signal.signal(2, signal.SIG_DFL); print('ready', flush=True); time.sleep(100)"
    words = [*OURS, "exec", str(prefix), "python", "-c", program]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(number)
        assert child.wait(120) == -number


def test_a_reader_that_leaves_ends_the_command_quietly(prefix: Path) -> None:
    """Python ignores SIGPIPE; what takes its place must not."""
    line = f'{subprocess.list2cmdline([*OURS, "exec", str(prefix), "yes"])} | head -1; echo "${{PIPESTATUS[0]}}"'
    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["y", str(128 + signal.SIGPIPE)]
    assert answer.stderr == ""


def test_a_signal_that_was_ignored_stays_ignored(prefix: Path) -> None:
    line = (
        f'trap "" INT; exec {subprocess.list2cmdline([*OURS, "exec", str(prefix)])} sh -c "kill -INT \\$\\$; echo on"'
    )
    assert subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout == "on\n"


def test_the_terminal_is_the_commands(prefix: Path, tmp_path: Path) -> None:
    """It sees a terminal, Ctrl-Z stops it, and Ctrl-C interrupts it."""
    program = tmp_path / "program"
    program.write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGCONT, lambda *_: print('on-again', flush=True))\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "print('on-a-terminal' if os.isatty(0) and os.isatty(1) else 'no terminal', flush=True)\n"
        "while True: time.sleep(0.1)\n"
    )
    with terminal(["bash", "--norc", "-i"], {**os.environ, "PS1": "outside> "}) as screen:
        screen.wait_for("outside> ")
        words = subprocess.list2cmdline([*OURS, "exec", str(prefix), "python", str(program)])
        screen.type(f"{words}\n")
        screen.wait_for("on-a-terminal")
        screen.type("\x1a")
        screen.wait_for("outside> ")
        screen.type("fg\n")
        screen.wait_for("on-again")
        screen.type("\x03")
        screen.wait_for("outside> ")
        screen.type("echo status=$?; exit\n")
        screen.wait_for(f"status={128 + signal.SIGINT}")


@pytest.mark.slow
def test_a_command_that_is_not_found_says_where_it_was_looked_for(prefix: Path, cli: Cli) -> None:
    answer = cli("exec", prefix, "--", "no-such-command")
    assert answer.returncode == 1
    assert "'no-such-command' was not found in the environment" in answer.stderr
    assert f"\n  {prefix}/tools\n  {prefix}/bin\n" in answer.stderr
    assert "./no-such-command" in cli("exec", prefix, "./no-such-command").stderr
    assert "come before the environment's name" in cli("exec", prefix, "--root", "x").stderr
    assert cli("exec", prefix).returncode == 2


def test_a_script_that_cannot_start_says_why(prefix: Path, cli: Cli) -> None:
    for name, first in (("gone", "#!/no/such/interpreter\n"), ("plain", "echo hello\n")):
        (prefix / "bin" / name).write_text(first)
        (prefix / "bin" / name).chmod(0o755)
    assert "names an interpreter that does not exist" in cli("exec", prefix, "gone").stderr
    assert "must name its interpreter" in cli("exec", prefix, "plain").stderr


def test_a_path_may_be_of_any_name(tmp_path: Path, cli: Cli) -> None:
    """Also one that could not be given to an environment here."""
    folder = tmp_path / ".an environment é"
    (folder / "conda-meta").mkdir(parents=True)
    assert f"CONDA_PREFIX={folder}\n" in cli("exec", folder, "env").stdout
    assert programs.locate(f"{folder}/../{folder.name}/", Root(tmp_path)) == folder


def test_an_environment_that_is_not_there(prefix: Path, cli: Cli, empty_root: Root) -> None:
    assert "no environment 'nothing'" in cli("exec", "--root", empty_root.path, "nothing", "true").stderr
    assert "This is not an environment" in cli("exec", prefix / "bin", "true").stderr
    with pytest.raises(NotFoundError):
        programs.locate("./np-test", empty_root)


@pytest.mark.slow
def test_it_does_not_matter_which_engine_made_it(any_engine: Engine, forge: Path, empty_root: Root, cli: Cli) -> None:
    channel = (forge / "conda-forge").as_uri()
    spec = EnvironmentSpec("made", ("python", "greeter"), (channel,), any_engine.name)  # type: ignore[arg-type]
    made = environments.create_environment(spec, root=empty_root)
    words = ["exec", "--root", empty_root.path, "made", "--"]
    assert cli(*words, "greet").stdout == f"hello from {made.prefix}\n"
    found = variables(cli(*words, "env", "-0").stdout.encode())
    assert found["FORGE_VARIABLE"] == "from a package"
    assert found["FORGE_DATA"] == f"{made.prefix}/share/activated"
    assert found["CONDA_DEFAULT_ENV"] == "made"


def test_call_streams_lines_and_returns_the_status(prefix: Path) -> None:
    seen: list[str] = []
    program = "import os; print(os.environ['OF_SCRIPT']); print(os.environ['EXTRA'], os.getcwd()); raise SystemExit(5)"
    words = ["python", "-c", program]
    ended = mambakernels.call(str(prefix), words, on_line=seen.append, env={"EXTRA": "1"}, cwd=prefix)
    assert ended.returncode == 5
    assert seen == ["state and more", f"1 {prefix}"]
    assert ended.text.splitlines() == seen


def test_call_hands_a_line_over_before_the_next_is_written(prefix: Path, tmp_path: Path) -> None:
    """The program waits for what the first line makes happen."""
    flag = tmp_path / "seen"
    program = (
        "import os, sys, time\nprint('first')\nfor _ in range(6000):\n"
        "    if os.path.exists(sys.argv[1]): print('second'); break\n    time.sleep(0.01)\n"
    )
    ended = mambakernels.call(str(prefix), ["python", "-c", program, str(flag)], on_line=lambda _line: flag.touch())
    assert ended.lines == ("first", "second")


def test_call_of_nothing(prefix: Path) -> None:
    with pytest.raises(InvalidRequestError):
        mambakernels.call(str(prefix), [])


RESET = "/usr/bin:/bin"
# Start files that do what the environment must survive; each ends with a prompt of its own.
START_FILES = {
    "bash": (
        ".bashrc",
        f"""PATH={RESET}; export OF_SCRIPT=wrong DOOMED=again THEIRS=read CONDA_PREFIX=/base CONDA_SHLVL=2
        export CONDA_PROMPT_MODIFIER='(base) '; PROMPT_COMMAND='PS1="(base) theirs> ";'; set -u; cd "$HOME" """,
    ),
    "zsh": (
        ".zshrc",
        f"""export PATH={RESET} OF_SCRIPT=wrong DOOMED=again THEIRS=read CONDA_PREFIX=/base
        export CONDA_PROMPT_MODIFIER='(base) '
        setopt ksharrays nounset; precmd() {{ PROMPT='theirs> ' }}""",
    ),
    "fish": (
        ".config/fish/config.fish",
        f"""set -gx PATH {RESET.replace(":", " ")}; set -gx OF_SCRIPT wrong; set -gx DOOMED again; set -gx THEIRS read
        function fish_prompt; echo -n "$status theirs> "; end""",
    ),
    "tcsh": (
        ".tcshrc",
        f"""setenv PATH {RESET}; setenv OF_SCRIPT wrong; setenv DOOMED again; setenv THEIRS read
        set prompt='theirs> '\n""",
    ),
    "xonsh": (
        ".xonshrc",
        f"""$PATH = '{RESET}'.split(':'); $OF_SCRIPT = 'wrong'; $DOOMED = 'again'; $THEIRS = 'read'
$PROMPT = 'theirs> '\n""",
    ),
}
here = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed"))
    for name in START_FILES
]


def session(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"ZDOTDIR", "XDG_CONFIG_HOME", "PS1"}}
    settings = {"TERM": "dumb", "DOOMED": "x", "SHELL": "/bin/sh", "SHELL_TYPE": "readline"}
    return {**kept, **settings, "HOME": str(home), "TMPDIR": str(home / "tmp")}


def opened(prefix: Path, shell: str, home: Path) -> tuple[list[str], dict[str, str]]:
    return [*OURS, "shell", str(prefix), "--shell", shell], session(home)


def leave(screen: Terminal, home: Path) -> dict[str, str]:
    """Have the shell write down its variables, and exit with status 3."""
    screen.type("env -0 > ~/dump\n")
    screen.wait_for("theirs> ")
    screen.type("exit 3\n")
    assert screen.status() == 3
    return variables((home / "dump").read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("shell", here)
def test_the_environment_wins_over_a_hostile_start_file(prefix: Path, user_home: Path, shell: str) -> None:
    name, text = START_FILES[shell]
    (user_home / name).parent.mkdir(parents=True, exist_ok=True)
    (user_home / name).write_text(text)
    with terminal(*opened(prefix, shell, user_home)) as screen:
        screen.wait_for("(np-test) ")
        screen.wait_for("theirs> ")
        screen.type("echo\n")
        screen.wait_for("(np-test) ")  # and again: not only at the start
        screen.wait_for("theirs> ")
        found = leave(screen, user_home)
    is_activated(found, prefix)
    assert found["PATH"] == f"{prefix}/tools:{prefix}/bin:{RESET}:/opt/last"
    assert found["THEIRS"] == "read"
    assert found["HOME"] == str(user_home)
    assert "ZDOTDIR" not in found
    assert "(base)" not in screen.screen


@pytest.mark.parametrize("shell", here)
def test_a_shell_opens_without_any_start_file(prefix: Path, user_home: Path, shell: str) -> None:
    with terminal(*opened(prefix, shell, user_home)) as screen:
        screen.wait_for("(np-test) ")
        screen.type("exit 4\n")
        assert screen.status() == 4


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_files_may_be_where_zshenv_says(prefix: Path, user_home: Path) -> None:
    (user_home / "zsh").mkdir()
    (user_home / ".zshenv").write_text('export ZDOTDIR="$HOME/zsh"')
    (user_home / "zsh" / ".zshrc").write_text("PROMPT='theirs> '\nexport SEEN=$ZDOTDIR")
    with terminal(*opened(prefix, "zsh", user_home)) as screen:
        screen.wait_for("(np-test) theirs> ")
        found = leave(screen, user_home)
    assert found["SEEN"] == found["ZDOTDIR"] == str(user_home / "zsh")


def test_the_shell_in_use_is_the_one_opened(prefix: Path, user_home: Path) -> None:
    """Python starts it here, so that it is the one that SHELL names."""
    environ = {**session(user_home), "SHELL": shutil.which("bash") or "bash"}
    with terminal([*OURS, "shell", str(prefix)], environ) as screen:
        screen.wait_for("(np-test) ")
        screen.type("echo ${BASH_VERSION:+it-is-bash}; exit\n")
        screen.wait_for("it-is-bash")


def test_an_unknown_shell_is_answered_with_the_known_ones(prefix: Path, cli: Cli) -> None:
    answer = cli("shell", prefix, "--shell", "ksh")
    assert answer.returncode == 1
    assert "'ksh' is not a shell" in answer.stderr
    assert "bash, zsh, fish, xonsh, tcsh, nu, powershell, cmd.exe" in answer.stderr
    assert "not on PATH" in cli("shell", prefix, "--shell", "cmd.exe").stderr


@pytest.mark.parametrize("shell", ["nu", "powershell", "cmd.exe"])
def test_shells_that_are_not_here_get_what_they_are_to_apply(shell: str, tmp_path: Path) -> None:
    """A look at the text only: none of them runs here."""
    applied = Activation({"A": "it's"}, ("/env/bin",), (), ("GONE",), "")
    start = shells.get(shell).start(applied, tmp_path)
    import base64

    text = " ".join([*start.arguments, *(file.read_text() for file in tmp_path.iterdir())])
    if shell == "powershell":
        text = base64.b64decode(start.arguments[-1]).decode("utf-16-le")
    expected = {
        "nu": ['$env.A = "it\'s"', "hide-env --ignore-errors GONE", '["/env/bin"]'],
        "powershell": ["$Env:A = 'it''s'", "Env:GONE", "'/env/bin:'"],
        "cmd.exe": ['@set "A=it\'s"', '@set "GONE="', "/env/bin:%PATH%"],
    }
    assert all(part in text for part in expected[shell])
