"""The command line as a user meets it: processes, exit codes, what is printed where."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from support.small_disk import mounting

from mambakernels import kernels, paths
from mambakernels.environments import Environment
from mambakernels.paths import Root

Cli = Callable[..., subprocess.CompletedProcess[str]]


def fails(answer: subprocess.CompletedProcess[str], *parts: str) -> None:
    """An error is one or a few sentences on stderr, never a traceback."""
    assert answer.returncode == 1, answer.stderr
    assert answer.stderr.startswith("Error: ") or "\nError: " in answer.stderr
    assert "Traceback" not in answer.stderr
    for part in parts:
        assert part in answer.stderr


def test_help_and_version(cli: Cli) -> None:
    assert "demo" in cli("--help").stdout
    assert cli("--version").stdout.startswith("mambakernels 0.")
    for command in (
        "demo",
        "create",
        "list",
        "remove",
        "kernels",
        "register",
        "unregister",
        "run",
        "measurements",
        "info",
    ):
        assert cli(command, "--help").returncode == 0


def test_list_shows_environments_and_kernels(cli: Cli, environments: dict[str, Environment], root: Root) -> None:
    shown = cli("list", "--root", root.path)
    assert all(environment.name in shown.stdout for environment in environments.values())
    listed = json.loads(cli("list", "--json", "--root", root.path).stdout)
    assert {item["name"]: item["blas"] for item in listed} == {
        environment.name: blas for blas, environment in environments.items()
    }
    kernels = json.loads(cli("kernels", "--json").stdout)
    assert {environment.name for environment in environments.values()} <= {item["name"] for item in kernels}
    assert "np-openblas" in cli("kernels").stdout


def test_info_tells_where_and_what(cli: Cli, root: Root) -> None:
    facts = json.loads(cli("info", "--json", "--root", root.path, MAMBA_EXE="").stdout)
    assert facts["root"] == str(root.path)
    assert facts["subdir"] == paths.subdir()
    assert facts["wheels_packages"] > 30
    assert "rattler" in facts["engine"]


def test_create_registers_and_remove_takes_both(cli: Cli, borrowed_root: Root) -> None:
    made = cli(
        "create", "cli-made", "python", "-c", "wheels", "--engine", "rattler", MAMBAKERNELS_ROOT=str(borrowed_root.path)
    )
    assert made.returncode == 0, made.stderr
    [shown] = [spec.display_name for spec in kernels.list() if spec.name == "cli-made"]
    assert made.stdout.splitlines()[2:] == [
        f"Kernel: cli-made ({shown})",
        "Run a notebook on it: mambakernels run NOTEBOOK.ipynb -k cli-made",
        f"Or choose {shown} in JupyterLab: jupyter lab",
    ]
    assert "cli-made" in cli("kernels").stdout
    again = cli("create", "cli-made", "python", "-c", "wheels", "--root", borrowed_root.path)
    assert again.returncode == 0
    assert cli("unregister", "cli-made").returncode == 0
    assert "cli-made" not in cli("kernels").stdout
    registered = cli("register", "cli-made", "--env", "ANSWER=42", "--root", borrowed_root.path)
    assert registered.returncode == 0, registered.stderr
    spec = json.loads((paths.jupyter_data() / "kernels" / "cli-made" / "kernel.json").read_text())
    assert spec["env"]["ANSWER"] == "42"
    assert cli("remove", "cli-made", "--root", borrowed_root.path).returncode == 0
    assert not (paths.jupyter_data() / "kernels" / "cli-made").exists()
    assert not (borrowed_root.environments / "cli-made").exists()


def test_an_environment_file_names_the_environment(cli: Cli, borrowed_root: Root, tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text("name: from-a-file\ndependencies: [python]\n")
    made = cli("create", "--file", path, "-c", "wheels", "--no-register", "--root", borrowed_root.path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("from-a-file:")
    assert made.stdout.splitlines()[-1] == "To use it in notebooks: mambakernels register from-a-file"


def test_the_channel_can_be_listed(cli: Cli, root: Root) -> None:
    listed = json.loads(cli("channel", "list", "--json", "--root", root.path).stdout)
    assert {"python", "numpy"} <= {item["name"] for item in listed}
    assert "mkl" in cli("channel", "list", "--root", root.path).stdout


def test_the_channel_and_the_cache_can_be_cleaned(cli: Cli, empty_root: Root, root: Root) -> None:
    import shutil

    for place in root.channels.glob("wheels-*"):
        shutil.copytree(place, empty_root.channels / place.name)
    answer = cli("channel", "clean", "--root", empty_root.path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("Freed ")
    assert list(empty_root.channels.glob("wheels-*")) == []
    assert "not built yet" in cli("channel", "list", "--root", empty_root.path).stdout


def test_errors_say_what_where_and_what_next(cli: Cli, root: Root, tmp_path: Path) -> None:
    here = ("--root", root.path)
    fails(cli("remove", "nothing", *here), "no environment 'nothing'", "mambakernels create")
    fails(cli("create", "a/b", "python", *here), "'a/b' cannot be an environment's name", "np-mkl")
    fails(cli("create", "x", *here), "at least one match spec")
    fails(cli("create", "x", "libblas=*=*atlas", "-c", "wheels", *here), "No BLAS matches", "libblas=*=*mkl")
    fails(cli("create", "x", "python", "-c", "./no-channel", *here), "'./no-channel' is not a channel")
    fails(cli("create", "x", "-f", tmp_path / "none.yml", *here), "no such file", "none.yml")
    fails(cli("run", tmp_path / "none.ipynb", "-k", "np-mkl"), "none.ipynb")
    fails(cli("run", paths.notebooks() / "blas.ipynb", "-k", "no-kernel"), "no-kernel")
    fails(cli("measurements", tmp_path / "nothing"), "nothing")
    fails(cli("unregister", "no-kernel"), "no-kernel")
    fails(cli("register", "nothing", *here), "nothing")
    fails(cli("demo", "--blas", "atlas", "-c", "wheels", *here), "atlas", "openblas")


def test_an_unknown_parameter_is_refused(cli: Cli, environments: dict[str, Environment], tmp_path: Path) -> None:
    assert environments
    notebook = paths.notebooks() / "blas.ipynb"
    fails(cli("run", notebook, "-k", "np-openblas", "-p", "size=3", "-o", tmp_path), "size", "sizes")
    fails(cli("run", notebook, "-k", "np-openblas", "-p", "sizes=big", "-o", tmp_path), "sizes")
    assert list(tmp_path.iterdir()) == []


def test_a_name_without_specs_is_refused(cli: Cli, tmp_path: Path) -> None:
    here = ("--root", tmp_path / "root")
    after = "'numpy' is the environment's name; specs follow it: mambakernels create np numpy"
    fails(cli("create", "numpy", *here), "at least one match spec", after)
    fails(cli("create", "numpy", "--dry-run", *here), "at least one match spec", after)
    fails(cli("create", "", "numpy", *here), "name cannot be empty", "mambakernels create np numpy")
    fails(cli("create", "np", "numpy", "", *here), "at least one match spec")
    fails(cli("create", "np", "hello world", "-c", "wheels", *here), "No wheel can match 'hello world'")
    assert list((tmp_path / "root" / "envs").iterdir()) == []


def test_wrong_usage_is_status_2(cli: Cli) -> None:
    assert cli("no-command").returncode == 2
    assert cli("run").returncode == 2


def test_debug_shows_the_traceback_wherever_it_stands(cli: Cli, root: Root) -> None:
    for words in (("--debug", "remove", "nothing"), ("remove", "nothing", "--debug")):
        answer = cli(*words, "--root", root.path)
        assert answer.returncode == 1
        assert "Traceback" in answer.stderr


def test_a_read_only_root_is_said_so(cli: Cli) -> None:
    """/proc takes no new folders from anybody, root included."""
    answer = cli("create", "x", "python", "-c", "wheels", "--root", "/proc/mambakernels")
    fails(answer, "/proc/mambakernels")


def test_a_full_disk_is_said_so_and_nothing_is_left(root: Root, tmp_path: Path) -> None:
    place = tmp_path / "small disk"
    place.mkdir()
    (channel,) = root.channels.glob("wheels-*")
    command = [sys.executable, "-m", "mambakernels", "create", "x", "python", "numpy", "-c", str(channel)]
    command += ["--engine", "rattler", "--root", str(place)]
    show = '"$@"; status=$?; ls -A "$0/envs" && exit $status'
    answer = subprocess.run(
        [*mounting(place, 20), "sh", "-c", show, str(place), *command], capture_output=True, text=True, check=False
    )
    fails(answer)
    assert "space" in answer.stderr.lower()
    assert answer.stdout == ""


def test_a_request_to_end_is_obeyed_at_once_and_leaves_nothing(empty_root: Root) -> None:
    """SIGTERM in the middle of building the channel."""
    command = [sys.executable, "-m", "mambakernels", "channel", "build", "--root", str(empty_root.path)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith(("downloading", "preparing", "compiling")):
            break
    child.send_signal(signal.SIGTERM)
    said = child.communicate(timeout=120)[1]
    assert child.returncode == 143
    assert "Interrupted" in said
    time.sleep(0.2)
    leftover = subprocess.run(["pgrep", "-f", str(empty_root.path)], capture_output=True, text=True, check=False)
    assert leftover.stdout == ""
