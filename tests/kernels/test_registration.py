from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from support.files import snapshot
from support.kernelspecs import SHIPPED, Make
from support.running_kernels import started

from mambakernels.activation.capture import fingerprint
from mambakernels.environments import Environment
from mambakernels.errors import ActivationError, InvalidRequestError, KernelError, NotFoundError, StorageError
from mambakernels.kernels.registered import list_kernels, unregister, unregister_all
from mambakernels.kernels.registration import register_kernels as register

OURS = {"PYTHONNOUSERSITE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
ACTIVATE = r"""
export A=$'one\ntwo' B="it's \"quoted\"" C='$HOME ${PATH} $$ $' D='naïve ☃' E='' F=$'\xff'
export FROM_PREFIX="$CONDA_PREFIX/share" FROM_HOME="$HOME/x" PATH="$CONDA_PREFIX/tools:$PATH:/opt/last"
echo noise
[ -n "$NOT_THERE" ] && export NOT_THERE
"""
REFERENCE = r"""
export PATH="$1/bin:$PATH" CONDA_PREFIX="$1" CONDA_SHLVL=1 CONDA_DEFAULT_ENV="$2" CONDA_PROMPT_MODIFIER="($2) "
export FROM_PACKAGE='$x'
. "$1/etc/conda/activate.d/a.sh" >/dev/null
exec /usr/bin/env -0
"""

pytestmark = pytest.mark.usefixtures("jupyter")


@pytest.fixture
def real(make: Make) -> Environment:
    """Return an environment with a real Python, this one's ipykernel, and activation that is not easy to copy."""
    environment = make("np mkl é", kernels={})
    prefix = environment.prefix
    for program in ("python", "python3"):
        (prefix / "bin" / program).unlink()
    venv.create(prefix, symlinks=True, with_pip=False)
    (prefix / "conda-meta").mkdir(exist_ok=True)  # so that it is conda's, not a virtual one
    packages = next(prefix.glob("lib/python3*/site-packages"))
    (packages / "ipykernel.pth").write_text(sysconfig.get_path("purelib"))
    shipped = prefix / "share" / "jupyter" / "kernels" / "python3"
    shipped.mkdir(parents=True)
    for file in SHIPPED.iterdir():
        (shipped / file.name).write_bytes(file.read_bytes())
    conda = prefix / "etc" / "conda"
    for folder, file, text in (
        ("activate.d", "a.sh", ACTIVATE),
        ("env_vars.d", "a.json", '{"FROM_PACKAGE": "$x"}'),
    ):
        (conda / folder).mkdir(parents=True)
        (conda / folder / file).write_text(text, "utf-8")
    return environment


def document(folder: Path) -> Any:
    return json.loads((folder / "kernel.json").read_text())


def manager_of(data_dir: Path) -> KernelSpecManager:
    """Return Jupyter's own view of one data folder."""
    return KernelSpecManager(ensure_native_kernel=False, kernel_dirs=[str(data_dir / "kernels")])


def listed() -> dict[str, Any]:
    """Return what Jupyter lists, an invalid kernelspec being an error."""
    manager = manager_of(Path(os.environ["JUPYTER_DATA_DIR"]))
    return {name: manager.get_kernel_spec(name) for name in manager.find_kernel_specs()}


def plain_kernel(environment: Environment, data_dir: Path) -> KernelManager:
    """Return a manager of a kernel that is not activated: Python starts ipykernel, and that is all."""
    folder = data_dir / "kernels" / "plain"
    folder.mkdir(parents=True)
    argv = [str(environment.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "plain", "language": "python"}))
    return KernelManager(kernel_name="plain", kernel_spec_manager=manager_of(data_dir))


def test_the_kernels_environment_is_that_of_an_activated_shell(
    real: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other venv"
    venv.create(other, symlinks=True, with_pip=False)
    (next(other.glob("lib/python3*/site-packages")) / "shadow.py").write_text("")
    with started(plain_kernel(real, tmp_path / "elsewhere")) as kernel:
        plain = kernel.evaluate("dict(os.environ)")
    added = {name for name, value in plain.items() if os.environ.get(name) != value}
    assert "JPY_PARENT_PID" in added

    monkeypatch.setenv("SOME_SETTING", "of the session: $HOME")
    monkeypatch.setenv("FROM_PACKAGE", "not this")
    (spec,) = register(real)
    for name, value in {"VIRTUAL_ENV": str(other), "PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with started(KernelManager(kernel_name=spec.name)) as kernel:
        environ = kernel.evaluate("dict(os.environ)")
        path, prefix = kernel.evaluate("[sys.path, sys.prefix]")
        python, tool = kernel.evaluate("[shutil.which('python'), sys.executable]")

    argv = ["/bin/bash", "--norc", "-c", REFERENCE, "bash", str(real.prefix), real.name]
    output = subprocess.run(argv, env=dict(os.environ), check=True, stdout=subprocess.PIPE).stdout
    shell = dict(os.fsdecode(entry).split("=", 1) for entry in output.split(b"\0") if entry)
    ignored = OURS | added | {"_", "SHLVL", "PWD", "OLDPWD"}
    assert {name: environ[name] for name in environ if name not in ignored} == {
        name: shell[name] for name in shell if name not in ignored
    }
    assert environ["SOME_SETTING"] == "of the session: $HOME"
    assert {name: environ[name] for name in OURS} == {
        "PYTHONNOUSERSITE": "1",
        "PYTHONPATH": "",
        "PYTHONHOME": "",
        "VIRTUAL_ENV": str(real.prefix),
    }
    assert python == tool == str(real.python)
    assert prefix == str(real.prefix)
    assert not [entry for entry in path if "other venv" in entry or entry == str(tmp_path)]


def test_a_kernel_can_be_interrupted_and_restarted(real: Environment) -> None:
    (spec,) = register(real)
    manager = KernelManager(kernel_name=spec.name)
    with started(manager) as kernel:
        cell = kernel.begin("import time\nprint('sleeping', flush=True)\ntime.sleep(600)")
        error, _ = kernel.interrupt(cell, seconds=60)
        assert error == "KeyboardInterrupt"
        before = kernel.evaluate("[os.getpid(), os.environ['PATH']]")
        manager.restart_kernel(now=True)
        kernel.client.wait_for_ready(timeout=120)
        after = kernel.evaluate("[os.getpid(), os.environ['PATH']]")
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_a_kernel_has_the_variables_that_macos_takes_from_its_shell(make: Make, tmp_path: Path) -> None:
    """With a fake of macOS' bash, which starts without DYLD_*."""
    chosen = {"DYLD_LIBRARY_PATH": "/with 'quotes' and $dollars", "DYLD_PRINT_LIBRARIES": "1", "OTHER": "as ever"}
    (spec,) = register(make(), env=chosen)
    written = document(spec.path)
    environ = {name: Template(value).substitute(os.environ) for name, value in written["env"].items()}  # as Jupyter
    fake = tmp_path / "bash"
    fake.write_text('#!/bin/sh\nunset DYLD_LIBRARY_PATH DYLD_PRINT_LIBRARIES\nexec /bin/bash "$@"\n')
    fake.chmod(0o755)
    shows = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    argv = [str(fake), "-p", str(spec.path / "start.sh"), sys.executable, *shows]
    found = json.loads(subprocess.run(argv, env=environ, capture_output=True, check=True).stdout)
    assert {name: found.get(name) for name in chosen} == chosen
    assert found.keys() - {"_", "SHLVL", "PWD", "LC_CTYPE"} == environ.keys() - {"MAMBAKERNELS_DYLD"}
    assert "MAMBAKERNELS_DYLD" not in document(register(make(name="other"))[0].path)["env"]


def test_a_kernelspec_says_what_it_is(make: Make, jupyter: Path) -> None:
    environment = make()
    (spec,) = register(environment)
    assert spec.path == jupyter / "np-mkl"
    written, shipped = document(spec.path), json.loads((SHIPPED / "kernel.json").read_text())
    python = str(environment.prefix / "bin" / "python")
    assert written["argv"][:2] == ["/bin/bash", "-p"]
    assert written["argv"][2:] == [
        str(spec.path / "start.sh"), sys.executable, python, str(spec.path / "start.py"), *shipped["argv"][1:],
    ]  # fmt: skip
    assert written["metadata"].pop("interpreter") == {"path": python}
    assert written["display_name"] == "np-mkl · Python 3.11.7 · MKL"
    assert written["env"]["PATH"] == f"{environment.prefix}/bin:${{PATH}}"
    mark = written["metadata"].pop("mambakernels")
    assert mark == {
        "schema": 1,
        "environment": "np-mkl",
        "prefix": str(environment.prefix),
        "root": str(environment.root.path),
        "blas": "mkl",
        "fingerprint": fingerprint(environment.prefix),
        "spec": "python3",
        "version": mark["version"],
        "program": python,
        "stand_in": sys.executable,
        "kernel": "np-mkl",
        "base": "np-mkl",
        "asked_name": None,
        "title": None,
        "variant": None,
        "variables": {},
        "threads": None,
        "limit": None,
        "limited_by": None,
        "declared_in": None,
    }
    untouched = shipped.keys() - {"argv", "display_name", "env"}
    assert {key: written[key] for key in untouched} == {key: shipped[key] for key in untouched}
    assert {file.name for file in spec.path.iterdir()} == FILES
    assert list_kernels() == [spec]
    assert (spec.name, spec.language, spec.environment, spec.prefix) == (
        "np-mkl", "python", "np-mkl", environment.prefix,
    )  # fmt: skip
    assert (spec.root, spec.blas, spec.argv, spec.spec, spec.working) == (
        environment.root.path, "mkl", tuple(written["argv"]), "python3", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "packages", "expected"),
    [
        ("plain", {}, "plain · Python"),
        ("stats", {"python": "3.13.1"}, "stats · Python 3.13.1"),
        ("own", {"libblas": "3.11.0"}, "own · Python · MKL"),
    ],
)
def test_display_names_leave_out_what_is_not_known(
    make: Make, name: str, packages: dict[str, str], expected: str
) -> None:
    assert register(make(name, packages=packages))[0].display_name == expected


def test_display_names_are_unique(make: Make) -> None:
    environment = make()
    first, second, third = (register(environment, name=name)[0] for name in (None, "second", "third"))
    assert first.display_name == "np-mkl · Python 3.11.7 · MKL"
    assert second.display_name == "np-mkl · Python 3.11.7 · MKL (second)"
    assert third.display_name == "np-mkl · Python 3.11.7 · MKL (third)"
    assert register(environment, name="second")[0] == second
    assert register(make("other"), display_name="second")[0].display_name == "second"


KERNELS = {
    "ir": {
        "argv": ["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"],
        "display_name": "R",
        "language": "R",
        "interrupt_mode": "message",
        "env": {"R_HOME": "${CONDA_PREFIX}/lib/R", "PATH": "/extra:$PATH", "COST": "$$5 $UNKNOWN"},
    },
    "xcpp17": {
        "argv": ["{resource_dir}/start", "{prefix}/x", "{connection_file}"],
        "display_name": "C++17",
        "language": "C++17",
        "metadata": {"debugger": True},
    },
    "python3": {"argv": ["python3.11", "-m", "x"], "display_name": "Python 3", "language": "python"},
}


def test_every_kernel_of_an_environment_is_registered(make: Make) -> None:
    environment = make("mixed", KERNELS, {"r-base": "4.4.1", "python": "3.11.7"})
    prefix, shipped = environment.prefix, environment.prefix / "share" / "jupyter" / "kernels"
    (shipped / "xcpp17" / "start").touch(mode=0o755)
    python, r, cpp = register(environment)
    assert [spec.name for spec in (python, r, cpp)] == ["mixed", "mixed-ir", "mixed-xcpp17"]
    assert [spec.display_name for spec in (python, r, cpp)] == [
        "mixed · Python 3.11.7", "mixed · R 4.4.1", "mixed · C++17",
    ]  # fmt: skip
    assert python.argv[4:] == (str(prefix / "bin" / "python"), str(python.path / "start.py"), "-m", "x")
    assert r.argv[4:] == (str(prefix / "bin" / "R"), *KERNELS["ir"]["argv"][1:])  # type: ignore[index]
    assert cpp.argv[4:] == (str(shipped / "xcpp17" / "start"), str(prefix / "x"), "{connection_file}")
    assert [spec.program for spec in (python, r, cpp)] == [Path(spec.argv[4]) for spec in (python, r, cpp)]
    written = document(r.path)
    assert written["interrupt_mode"] == "message"
    assert written["env"]["R_HOME"] == f"{prefix}/lib/R"
    assert written["env"]["PATH"] == f"/extra:{prefix}/bin:${{PATH}}"
    assert written["env"]["COST"] == "$$5 $UNKNOWN"
    assert document(cpp.path)["metadata"]["debugger"] is True
    assert listed().keys() == {"mixed", "mixed-ir", "mixed-xcpp17"}
    assert [spec.name for spec in unregister_all(environment)] == ["mixed", "mixed-ir", "mixed-xcpp17"]
    assert listed() == {}


def test_a_name_is_given_to_the_only_kernel_whatever_its_language(make: Make) -> None:
    environment = make("stats", {"ir": KERNELS["ir"]})
    assert [spec.name for spec in register(environment)] == ["stats-ir"]
    assert [spec.name for spec in register(environment, name="My.R")] == ["my.r"]
    both = make("both", KERNELS | {"xcpp17": KERNELS["python3"]})
    assert [spec.name for spec in register(both, name="x", display_name="Mine")] == ["x", "x-ir", "x-xcpp17"]
    shown = [spec.display_name for spec in list_kernels() if spec.environment == "both"]
    assert shown == ["Mine", "Mine · R", "Mine · Python"]


def test_names_are_those_that_jupyter_finds(make: Make) -> None:
    (spec,) = register(make("Np MKL (ü)"))
    assert spec.name == "np-mkl-"
    assert listed().keys() == {"np-mkl-"}


@pytest.mark.parametrize("name", ["", "..", ".x", "-x", "a/b", "../x", "a b", "ü", "x" * 101, "a\n"])
def test_names_that_jupyter_does_not_find_are_refused(make: Make, jupyter: Path, name: str) -> None:
    with pytest.raises(InvalidRequestError, match="kernel's name"):
        register(make(), name=name)
    assert not jupyter.exists()


def test_variables_of_ones_own_come_last_and_are_literal(make: Make) -> None:
    (spec,) = register(make(), env={"OPENBLAS_CORETYPE": "Haswell", "PYTHONPATH": "/my/$src", "CONDA_SHLVL": "9"})
    env = document(spec.path)["env"]
    assert (env["OPENBLAS_CORETYPE"], env["PYTHONPATH"], env["CONDA_SHLVL"]) == ("Haswell", "/my/$$src", "9")


@pytest.mark.parametrize("env", [{"": "x"}, {"A=B": "x"}, {"A": "x\0"}, {"PATH": "/x"}])
def test_variables_that_cannot_be_are_refused(make: Make, env: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be set for a kernel"):
        register(make(), env=env)


def script(environment: Environment, text: str) -> None:
    folder = environment.prefix / "etc" / "conda" / "activate.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.sh").write_text(text)


def test_a_variable_that_activation_removes_needs_a_word(
    make: Make, monkeypatch: pytest.MonkeyPatch, jupyter: Path
) -> None:
    environment = make()
    script(environment, "unset DISPLAY_NAME_OF_MINE LD_LIBRARY_PATH PYTHONPATH")
    monkeypatch.setenv("DISPLAY_NAME_OF_MINE", "x")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/lib")
    with pytest.raises(ActivationError, match="Activation unsets DISPLAY_NAME_OF_MINE, ") as caught:
        register(environment)
    assert str(caught.value.next_step).endswith("register it with --env DISPLAY_NAME_OF_MINE=")
    assert not jupyter.exists()
    (spec,) = register(environment, env={"DISPLAY_NAME_OF_MINE": ""})
    assert document(spec.path)["env"]["DISPLAY_NAME_OF_MINE"] == ""
    assert document(spec.path)["env"]["LD_LIBRARY_PATH"] == ""


def test_settings_that_are_not_passed_on_do_not_come_in_through_a_script(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = make()
    script(environment, 'export PYTHONPATH="$CONDA_PREFIX/ros:$PYTHONPATH"')
    monkeypatch.setenv("PYTHONPATH", "/session")
    assert document(register(environment)[0].path)["env"]["PYTHONPATH"] == f"{environment.prefix}/ros:"


def test_a_failing_activation_registers_nothing(make: Make, jupyter: Path) -> None:
    environment = make()
    script(environment, "echo sorry; exit 1")
    with pytest.raises(ActivationError, match="sorry"):
        register(environment)
    assert not jupyter.exists()


def test_an_environment_without_a_kernel_says_which_package_to_add(make: Make) -> None:
    with pytest.raises(KernelError) as caught:
        register(make(kernels={}))
    assert "mambakernels install np-mkl ipykernel" in str(caught.value.next_step)


@pytest.mark.parametrize(
    "shipped",
    [
        "{",
        "[]",
        "{}",
        {"argv": [], "language": "x"},
        {"argv": ["python", 3], "language": "x"},
        {"argv": ["no-such-program"], "language": "x"},
        {"argv": ["/no/such/program"], "language": "x"},
        {"argv": ["python"], "metadata": []},
        {"argv": ["python"], "env": "A=1"},
    ],
    ids=str,
)
def test_a_broken_kernelspec_in_the_environment_is_named(make: Make, jupyter: Path, shipped: Any) -> None:
    environment = make(kernels={"broken": shipped})
    with pytest.raises(KernelError, match="broken/kernel"):
        register(environment)
    assert not [path for path in jupyter.rglob("*") if path.is_file()]


@pytest.fixture
def foreign(jupyter: Path) -> Path:
    """Fill the Jupyter folder with what other people keep there, some of it broken, some of it much like ours."""
    like_ours = {"argv": ["x"], "display_name": "x", "language": "x", "metadata": {"mambakernels": "not a mark"}}
    files = {
        "python3/kernel.json": json.dumps({"argv": ["python"], "display_name": "np-mkl · Python 3.11.7 · MKL"}),
        "Np-MKL/kernel.json": json.dumps({"argv": ["python"], "display_name": "Taken", "language": "python"}),
        "like-ours/kernel.json": json.dumps(like_ours),
        "halfmark/kernel.json": json.dumps({**like_ours, "metadata": {"mambakernels": {"schema": 1}}}),
        "broken/kernel.json": "{",
        "binary/kernel.json": "\0",
        "deep/kernel.json": "[" * 100_000,
        "list/kernel.json": "[1]",
        "null/kernel.json": '{"argv": null, "metadata": null}',
        "empty/notes.txt": "no kernelspec here",
        "a file": "x",
    }
    for name, text in files.items():
        file = jupyter / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (jupyter / "nothing").mkdir()
    (jupyter / "dangling").symlink_to("nowhere")
    (jupyter / "unreadable" / "kernel.json").mkdir(parents=True)
    (jupyter.parent / "nbconfig").mkdir()
    (jupyter.parent / "nbconfig" / "notebook.json").write_text("{}")
    return jupyter


def test_what_others_wrote_is_never_touched(make: Make, foreign: Path) -> None:
    before = snapshot(foreign.parent)
    times = foreign.stat().st_mode
    environment = make()
    assert list_kernels() == []
    for name in ("np-mkl", "like-ours", "halfmark", "broken", "nothing", "dangling", "empty", "PYTHON3"):
        with pytest.raises(KernelError, match="was not written by mambakernels") as caught:
            register(environment, name=name)
        assert f"--kernel {name.lower()}-2" in str(caught.value.next_step)
        with pytest.raises(NotFoundError, match="not one that mambakernels wrote"):
            unregister(name)
    (spec,) = register(environment, name="mine")
    assert spec.display_name == "np-mkl · Python 3.11.7 · MKL (mine)"
    register(environment, name="mine", env={"A": "1"})
    assert [item.name for item in list_kernels()] == ["mine"]
    unregister("mine")
    after = snapshot(foreign.parent)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {"kernels", ".mambakernels", ".mambakernels/lock"}
    assert foreign.stat().st_mode == times


def test_a_link_to_a_kernelspec_of_ours_is_not_ours(make: Make, jupyter: Path, tmp_path: Path) -> None:
    environment = make()
    (spec,) = register(environment)
    spec.path.rename(tmp_path / "moved")
    (jupyter / "np-mkl").symlink_to(tmp_path / "moved")
    before = snapshot(tmp_path / "moved")
    with pytest.raises(KernelError, match="taken"):
        register(environment, env={"A": "1"})
    assert list_kernels() == []
    assert snapshot(tmp_path / "moved") == before


def test_the_folder_may_be_a_link_to_another_file_system(make: Make, jupyter: Path) -> None:
    shared = Path("/dev/shm") / f"mambakernels-test-{os.getpid()}"
    (shared / "kernels").mkdir(parents=True)
    try:
        jupyter.parent.mkdir()
        jupyter.symlink_to(shared / "kernels")
        (spec,) = register(make())
        assert (shared / "kernels" / "np-mkl" / "kernel.json").is_file()
        assert unregister("np-mkl") == [spec]
        assert listed() == {}
    finally:
        subprocess.run(["rm", "-r", str(shared)], check=True)


def test_a_name_of_another_environment_is_not_taken_over_while_that_exists(make: Make) -> None:
    first, second = make("first"), make("second")
    register(first, name="mine")
    with pytest.raises(KernelError, match="belongs to the environment 'first'"):
        register(second, name="mine")
    first.prefix.rename(first.prefix.with_name("gone"))
    assert [spec.working for spec in list_kernels()] == [False]
    (spec,) = register(second, name="mine")
    assert (spec.environment, spec.working) == ("second", True)


def test_nothing_is_written_if_one_of_several_names_is_taken(make: Make, jupyter: Path) -> None:
    (jupyter / "mixed-ir").mkdir(parents=True)
    before = snapshot(jupyter)
    with pytest.raises(KernelError, match="'mixed-ir' is taken"):
        register(make("mixed", {"ir": KERNELS["ir"], "python3": KERNELS["python3"]}))
    assert snapshot(jupyter) == before


def test_registering_again_changes_what_changed_and_nothing_else(make: Make, jupyter: Path) -> None:
    environment = make(kernels={"scheme": {"argv": ["R"], "language": "scheme"}})  # for which we have no logo
    register(environment)
    before = snapshot(jupyter)
    register(environment)
    assert snapshot(jupyter) == before
    shipped = environment.prefix / "share" / "jupyter" / "kernels" / "scheme"
    (shipped / "logo-svg.svg").unlink()
    (shipped / "logo-64x64.png").write_bytes(b"other")
    script(environment, "export NEW=1")
    (spec,) = register(environment)
    assert document(spec.path)["env"]["NEW"] == "1"
    assert sorted(file.name for file in spec.path.iterdir()) == ["kernel.json", "logo-64x64.png", "start.sh"]
    assert (spec.path / "logo-64x64.png").read_bytes() == b"other"
    assert spec.fingerprint == fingerprint(environment.prefix)


def test_working_follows_the_interpreter(make: Make) -> None:
    environment = make()
    register(environment)
    environment.python.chmod(0o644)
    assert [spec.working for spec in list_kernels()] == [False]


def test_unregister_removes_what_is_named_or_nothing(make: Make) -> None:
    made = {name: make(name) for name in ("one", "two", "three")}
    for environment in made.values():
        register(environment)
    with pytest.raises(NotFoundError, match=r"no kernel 'four'") as caught:
        unregister("one", "four")
    assert caught.value.next_step == "Kernels of mambakernels: one, three, two."
    assert [spec.name for spec in unregister("ONE", "one")] == ["one"]
    assert [spec.name for spec in unregister_all(made["two"])] == ["two"]
    assert unregister_all(made["two"]) == []
    assert listed().keys() == {"three"}


def test_another_jupyter_folder_can_be_given(make: Make, tmp_path: Path, jupyter: Path) -> None:
    (spec,) = register(make(), data_dir=tmp_path / "share")
    assert spec.path == tmp_path / "share" / "kernels" / "np-mkl"
    assert list_kernels() == []
    assert list_kernels(jupyter=tmp_path / "share") == [spec]
    assert unregister("np-mkl", jupyter=tmp_path / "share") == [spec]
    assert not jupyter.exists()


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(make: Make, jupyter: Path) -> None:
    jupyter.parent.write_text("a file in its place")
    with pytest.raises(StorageError, match="JUPYTER_DATA_DIR"):
        register(make())
    assert list_kernels() == []


def test_the_module_is_light() -> None:
    heavy = {"jupyter_client", "jupyter_core", "ipykernel", "pandas", "numpy", "filelock", "rattler", "nbclient"}
    code = "import sys, mambakernels.kernels; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert not heavy & set(loaded.split())


def check_complete(environment: Environment, *, meanwhile: bool = False) -> int:
    """Assert that all that Jupyter lists is whole; return how many kernels that are.

    `meanwhile` another process may take kernels away, as a whole, between two looks.
    """
    found = manager_of(Path(os.environ["JUPYTER_DATA_DIR"])).find_kernel_specs()
    for folder in map(Path, found.values()):
        try:
            written = document(folder)
        except FileNotFoundError:
            assert meanwhile
            continue
        assert written["metadata"]["mambakernels"]["prefix"] == str(environment.prefix)
        assert written["argv"][4] == str(environment.python)
        files = {file.name for file in folder.iterdir()} if not meanwhile else FILES
        assert files == FILES
    return len(found)


FILES = {"kernel.json", "logo-svg.svg", "logo-32x32.png", "logo-64x64.png", "start.py", "start.sh"}
# Forks at each line that it reads; the fork works until it is killed, and its status is printed.
LOOP = """
import itertools, os, pathlib, pickle, sys
from mambakernels.kernels.registered import unregister_all
from mambakernels.kernels.registration import register_kernels as register
environment = pickle.loads(bytes.fromhex(sys.argv[1]))
logo = environment.prefix / "share/jupyter/kernels/python3/logo-svg.svg"
while sys.stdin.readline():
    fork = os.fork()
    if fork == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), flush=True)
else:
    sys.exit()
register(environment)
print(os.getpid(), flush=True)
for count in itertools.count():
    logo.write_text(f"<svg>{count}</svg>" * 1000)
    register(environment, env={"COUNT": str(count)})
    register(environment, name=f"second{count % 2}", env={"BIG": "x" * 100_000})
    if count % 3 == 0:
        unregister_all(environment)
"""


@pytest.mark.slow
def test_a_process_killed_at_any_moment_leaves_nothing_half_made(make: Make, jupyter: Path) -> None:
    import pickle

    environment = make()
    chance = random.Random(4)
    leftovers = 0
    argv = [sys.executable, "-c", LOOP, pickle.dumps(environment).hex()]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for _ in range(25):
            child.stdin.write("\n")
            fork = int(child.stdout.readline())
            try:
                until = time.monotonic() + chance.uniform(0, 0.06)
                while time.monotonic() < until:
                    check_complete(environment, meanwhile=True)
            finally:
                os.kill(fork, signal.SIGKILL)
            assert int(child.stdout.readline()) == -signal.SIGKILL  # not of an error of its own
            check_complete(environment)
            leftovers += (jupyter.parent / ".mambakernels" / "staging").exists()
    assert leftovers  # or the kills came at idle moments only, and showed nothing
    register(environment)
    assert check_complete(environment) >= 1
    assert not (jupyter.parent / ".mambakernels" / "staging").exists()


def test_many_at_once_do_not_disturb_one_another(make: Make, jupyter: Path) -> None:
    environments = [make(f"env{number}") for number in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(register, environments * 4))
    assert listed().keys() == {environment.name for environment in environments}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(unregister_all, environments))
    assert list(jupyter.iterdir()) == []
