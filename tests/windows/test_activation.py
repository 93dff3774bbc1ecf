"""A prefix made by hand, activated by cmd.exe itself and by its kernelspec; and scripts that go wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel
from support import windows_machine as machine

import mambakernels
from mambakernels.activation import capture, cmd
from mambakernels.errors import ActivationError

SCRIPTS = {
    "10-first.bat": '@set FIRST=%FROM_STATE%\r\n@set "from_profile=%USERPROFILE%\\x"\r\n@echo noise\r\n',
    "20-second.bat": '@set "Path=%CONDA_PREFIX%\\extra;%Path%;C:\\after"\r\n@set "SIGNS=a$b;c&d (e)"\r\n@exit /b 3\r\n',
    "30-last.bat": "@if defined FIRST (set LAST=%FIRST%) else exit 1\r\n",
}
STATE = {"env_vars": {"FROM_STATE": "of the state", "unset_again": "***unset***"}}
# What cmd.exe, Jupyter and ipykernel add, and what keeps the user's packages out of the kernel.
ADDED = (
    r"PROMPT|JPY_.*|IPY_.*|JUPYTER_.*|PYDEVD_.*|PYTHON.*|VIRTUAL_ENV|MPLBACKEND|TERM|CLICOLOR.*|FORCE_COLOR|"
    r"(GIT_)?PAGER"
)


@pytest.fixture(scope="module", name="prefix")
def _prefix(place: Path) -> Path:
    return machine.prefix_by_hand(place / "R&D (by hand)" / "made", scripts=SCRIPTS, state=STATE)


def test_a_kernel_has_the_variables_of_cmds_own_activation(prefix: Path) -> None:
    """The reference is the batch file that micromamba's activator writes, run by cmd.exe."""
    folders = ("", "Library\\mingw-w64\\bin", "Library\\usr\\bin", "Library\\bin", "Scripts", "bin")
    path = ";".join(str(prefix / folder) for folder in folders)
    sets = {"PATH": f"{path};%PATH%", "CONDA_PREFIX": str(prefix), "CONDA_SHLVL": "1"}
    sets |= {"CONDA_DEFAULT_ENV": str(prefix), "CONDA_PROMPT_MODIFIER": f"({prefix}) ", "FROM_STATE": "of the state"}
    lines = [f'@SET "{name}={value}"' for name, value in sets.items()]
    lines += [f'@CALL "{prefix / "etc" / "conda" / "activate.d" / script}"' for script in sorted(SCRIPTS)]
    lines += [f'@"{prefix / "python.exe"}" -c "import json, os; print(json.dumps(dict(os.environ)))"']
    batch = prefix.parent / "reference.bat"
    batch.write_text("\r\n".join([*lines, ""]), newline="")
    said = subprocess.run(f'cmd.exe /d /c ""{batch}""', capture_output=True, check=True, timeout=120).stdout
    reference = json.loads(said.splitlines()[-1])

    (spec,) = mambakernels.kernels.register(prefix)
    manager, client = start_new_kernel(kernel_name=spec.name)
    try:
        kernel = json.loads(machine.run_in(client, "import json, os; print(json.dumps(dict(os.environ)))"))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert plain(kernel) == plain(reference)


def plain(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables without those that are expected to differ."""
    return {name: value for name, value in variables.items() if not re.fullmatch(ADDED, name)}


@pytest.fixture(name="broken")
def _broken(tmp_path: Path) -> Callable[..., Path]:
    def make(**scripts: str) -> Path:
        folder = tmp_path / "etc" / "conda" / "activate.d"
        folder.mkdir(parents=True)
        for name, text in scripts.items():
            (folder / f"{name.replace('_', '-')}.bat").write_text(text, newline="")
        return tmp_path

    return make


def test_the_script_that_ends_the_shell_is_named_with_what_it_printed(broken: Callable[..., Path]) -> None:
    prefix = broken(a_10="@echo fine\r\n", b_20="@echo about to end\r\n@exit 3\r\n", c_30="@echo never\r\n")
    with pytest.raises(ActivationError, match=r"script b-20\.bat ended the shell") as caught:
        capture.capture(prefix)
    assert str(caught.value.next_step).endswith("about to end")


def test_a_script_that_call_cannot_find_is_an_error(broken: Callable[..., Path]) -> None:
    """`call` reads its words twice; what is between two `%` is then a variable's name."""
    prefix = broken(**{"a": "@echo fine\r\n", "b%TEMP%": "@set B=1\r\n"})
    with pytest.raises(ActivationError, match="cannot be found by cmd") as caught:
        capture.capture(prefix)
    assert caught.value.where == str(prefix / "etc" / "conda" / "activate.d" / "b%TEMP%.bat")


def test_variables_that_cmd_cannot_list_are_not_taken_for_removed(
    broken: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cmd, "_cmd", lambda: sys.executable)  # it has no /d
    with pytest.raises(ActivationError, match="did not list all variables"):
        capture.capture(broken(a="@set A=1\r\n"))


def test_a_script_that_does_not_end_is_stopped_with_what_it_started(broken: Callable[..., Path]) -> None:
    prefix = broken(a=f'@"{sys.executable}" -c "import time; time.sleep(600)"\r\n')
    begin = time.monotonic()
    with pytest.raises(ActivationError, match=r"a\.bat did not finish within 5 seconds"):
        capture.capture(prefix, timeout=5)
    assert time.monotonic() - begin < 60


def test_what_any_session_has_is_there_for_scripts(broken: Callable[..., Path]) -> None:
    names = ("USERPROFILE", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP")
    prefix = broken(a="".join(f"@if not defined {name} exit 1\r\n" for name in names) + "@set FOUND=%APPDATA%\r\n")
    assert capture.capture(prefix).set["FOUND"] == os.environ["APPDATA"]


def test_path_is_path_in_any_case(broken: Callable[..., Path]) -> None:
    prefix = broken(a="@set path=C:\\mine;%pAtH%\r\n@set Mixed_Case=1\r\n")
    found = capture.capture(prefix)
    assert found.path_prepend[:2] == ("C:\\mine", str(prefix))
    assert (found.set["MIXED_CASE"], "PATH" in found.set, "Path" in found.set) == ("1", False, False)
