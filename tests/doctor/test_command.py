"""The command, as a user runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest
from support.world import World

import mambakernels
from mambakernels import kernels

Cli = Callable[..., subprocess.CompletedProcess[str]]
REPORT = """\
kernel one
  warning: The environment's activation has changed since the kernel was registered.
    Another program installed or removed packages, or set variables: the kernel lacks these changes.
    -> mambakernels register one

1 kernel examined: 1 warning.
To repair what is safe: mambakernels doctor --fix
No kernel was started; --start starts each, and shows what runs in it.
"""


@pytest.fixture(autouse=True)
def no_user_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the user's packages where HOME has them, which a command that is a fork reads as well."""
    monkeypatch.delenv("PYTHONUSERBASE")


@pytest.mark.slow
@pytest.mark.usefixtures("one")
def test_what_is_well(cli: Cli) -> None:
    done = cli("doctor")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "1 kernel examined: nothing to report."
    done = cli("doctor", "--json")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, [], "")
    done = cli("doctor", "one")
    assert (done.returncode, done.stdout) == (0, "1 kernel examined: nothing to report.\n")
    assert "starting one" in done.stderr


@pytest.mark.slow
def test_what_is_not(world: World, one: kernels.KernelSpec, cli: Cli) -> None:
    (one.prefix / "etc" / "conda" / "activate.d" / "later.sh").write_text("export LATER=yes\n")
    done = cli("doctor")
    assert (done.returncode, done.stdout.lstrip("\n")) == (1, REPORT)
    done = cli("doctor", "--json")
    [finding] = json.loads(done.stdout)
    assert done.returncode == 1
    assert finding.pop("text")
    assert finding.pop("why")
    assert finding == {
        "rule": "drift",
        "severity": "warning",
        "kernel": "one",
        "environment": "one",
        "path": str(one.path),
        "remedy": "mambakernels register one",
        "fixable": True,
    }
    done = cli("doctor", "--fix")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Repaired: registered again: one\n")
    assert world.variables("one")["LATER"] == "yes"
    one.program.unlink()
    done = cli("doctor", "--fix", "--json", "--engine", world.engine)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "Repaired: linked again: one\n")
    shutil.rmtree(one.prefix)
    done = cli("doctor", "--fix")
    assert (done.returncode, "Repaired" in done.stdout) == (1, False)
    assert one.path.exists()
    assert not (world.path / "home").exists(), "nothing is written to anybody's home"


def test_it_can_be_called_again_and_again(world: World, one: kernels.KernelSpec) -> None:
    shutil.rmtree(one.prefix)
    for _ in range(2):  # the name of the function is not that of a module
        assert not mambakernels.doctor("one", root=world.root).healthy
    mambakernels.kernels.prune(root=world.root)
    assert mambakernels.doctor(fix=True, root=world.root).healthy
