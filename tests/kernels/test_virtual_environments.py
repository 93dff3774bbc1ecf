"""Virtual environments are kernels too: activated as by their `activate`, never changed, pruned when they are gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import run_kernel

import mambakernels
from mambakernels import errors, kernels
from mambakernels.activation.capture import capture
from mambakernels.paths import Root


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a `.venv`, whose ipykernel is that of these tests."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    folder = tmp_path / "my project"
    venv.create(folder / ".venv", with_pip=False, symlinks=True)
    [site] = (folder / ".venv").glob("lib/python3*/site-packages")
    (site / "installed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shipped = Path(sys.prefix, "share", "jupyter", "kernels", "python3")
    shutil.copytree(shipped, folder / ".venv" / "share" / "jupyter" / "kernels" / "python3")
    monkeypatch.chdir(folder)
    return folder


def activated(prefix: Path) -> dict[str, str]:
    """Return what the environment's own `activate` makes of a session with PYTHONHOME set."""
    code = 'export PYTHONHOME=/nowhere; . "$1/bin/activate"; env -0'
    done = subprocess.run(["bash", "-c", code, "bash", prefix], capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)


def test_a_virtual_environment_is_registered_as_its_activation_has_it(project: Path, empty_root: Root) -> None:
    before = {path: path.lstat().st_mtime_ns for path in (project / ".venv").rglob("*")}
    [spec] = kernels.register(".venv", root=empty_root.path)
    assert (spec.name, spec.environment, spec.prefix) == ("my-project", "my-project", project / ".venv")
    env = json.loads((spec.path / "kernel.json").read_text())["env"]
    theirs = activated(project / ".venv")
    assert env["VIRTUAL_ENV"] == theirs["VIRTUAL_ENV"] == str(project / ".venv")
    assert env["PATH"].split(os.pathsep)[0] == theirs["PATH"].split(os.pathsep)[0] == str(project / ".venv" / "bin")
    assert (env["PYTHONHOME"], "PYTHONHOME" in theirs) == ("", False)
    assert not any(name.startswith("CONDA") for name in env)
    assert {path: path.lstat().st_mtime_ns for path in (project / ".venv").rglob("*")} == before


@pytest.mark.usefixtures("project")
def test_its_kernel_starts_and_runs_its_python(empty_root: Root) -> None:
    kernels.register(".venv", root=empty_root.path)
    assert "my-project" in KernelSpecManager().find_kernel_specs()
    with run_kernel(kernel_name="my-project") as client:
        answer = client.execute_interactive(
            "import os, sys; assert sys.prefix == os.environ['VIRTUAL_ENV'], sys.prefix", timeout=60
        )
    assert answer["content"]["status"] == "ok"


def test_lessons_run_on_one_that_stays_as_it_is(project: Path, empty_root: Root) -> None:
    before = {path: path.lstat().st_mtime_ns for path in (project / ".venv").rglob("*")}
    [spec] = kernels.register(".venv", numeric=True, env={"PYTHONPATH": "/elsewhere"}, root=empty_root.path)
    folder, asked = json.loads((spec.path / "kernel.json").read_text())["env"]["PYTHONPATH"].split(os.pathsep)
    assert asked == "/elsewhere"
    assert Path(folder).is_relative_to(empty_root.path)
    assert {path: path.lstat().st_mtime_ns for path in (project / ".venv").rglob("*")} == before
    code = "from mambakernels.lessons import compare, expect, on_kernels; from mambakernels.numeric import set_threads"
    without_ours = [sys.executable, "-S", "-c", f"{code}; import mambakernels; print(mambakernels.__path__)"]
    said = subprocess.run(without_ours, env={"PYTHONPATH": folder}, capture_output=True, text=True, check=True)
    assert folder in said.stdout
    assert kernels.register(".venv", numeric=True, root=empty_root.path)[0].variables["PYTHONPATH"] == folder
    mambakernels.clean(root=empty_root.path, everything=True)
    assert Path(folder).is_dir()
    kernels.unregister("my-project", root=empty_root.path)
    mambakernels.clean(root=empty_root.path, everything=True)
    assert not empty_root.path.exists()


def test_code_that_a_kernel_uses_stays_if_its_root_is_named_through_a_link(
    project: Path, empty_root: Root, tmp_path: Path
) -> None:
    [spec] = kernels.register(project / ".venv", numeric=True, root=empty_root.path)
    link = tmp_path / "link to the root"
    link.symlink_to(empty_root.path)
    mambakernels.clean(root=link, everything=True)
    assert Path(spec.variables["PYTHONPATH"]).is_dir()


def test_a_moved_one_says_so_in_the_notebook(project: Path, empty_root: Root) -> None:
    kernels.register(".venv", root=empty_root.path)
    (project / ".venv").rename(project / "moved")
    with run_kernel(kernel_name="my-project") as client:
        answer = client.execute_interactive("1", timeout=60)
    assert answer["content"]["ename"] == "KernelError"
    assert f"no longer at {project / '.venv'}" in answer["content"]["evalue"]


def test_variants_doctor_and_prune(project: Path, empty_root: Root) -> None:
    kernels.register(".venv", root=empty_root.path)
    kernels.register(".venv", variant="one", env={"OMP_NUM_THREADS": "1"}, root=empty_root.path)
    assert [spec.name for spec in kernels.list(root=empty_root.path)] == ["my-project", "my-project-one"]
    assert not [item for item in mambakernels.doctor(root=empty_root.path).findings if item.severity == "error"]
    for change in (lambda: mambakernels.remove("./.venv", root=empty_root.path),
                   lambda: mambakernels.install("./.venv", ["numpy"], root=empty_root.path)):  # fmt: skip
        with pytest.raises(errors.InvalidRequestError, match="never changes it"):
            change()
    (project / ".venv").rename(project / "moved")
    findings = mambakernels.doctor(root=empty_root.path).findings  # whatever else is wrong on this machine
    wrong = [(item.kernel, item.rule) for item in findings if item.severity == "error"]
    assert {("my-project", "prefix-gone"), ("my-project-one", "prefix-gone")} <= set(wrong)
    assert {rule for kernel, rule in wrong if str(kernel).startswith("my-project")} == {"prefix-gone"}
    assert {spec.name for spec in kernels.prune(root=empty_root.path)} == {"my-project", "my-project-one"}
    assert (project / "moved").is_dir()


def test_one_without_ipykernel_says_how_to_install_it(project: Path, empty_root: Root) -> None:
    shutil.rmtree(project / ".venv" / "share")
    with pytest.raises(errors.KernelError, match="has no kernel") as caught:
        kernels.register(".venv", root=empty_root.path)
    assert "-m pip install ipykernel\nor: uv pip install --python" in str(caught.value.next_step)


def test_its_prompt_is_its_name_and_its_own_settings_count(project: Path, empty_root: Root) -> None:
    configuration = project / ".venv" / "pyvenv.cfg"
    configuration.write_text(configuration.read_text() + "prompt = 'lesson 1'\ninclude-system-site-packages = true\n")
    [spec] = kernels.register(project / ".venv", root=empty_root.path)
    env = json.loads((spec.path / "kernel.json").read_text())["env"]
    assert spec.name == "lesson-1"
    assert env["VIRTUAL_ENV_PROMPT"] == "lesson 1"
    assert "PYTHONNOUSERSITE" not in env
    assert capture(project / ".venv").path_prepend == (str(project / ".venv" / "bin"),)
    (project / ".venv" / "conda-meta").mkdir()
    assert "CONDA_PREFIX" in capture(project / ".venv").set


def test_a_folder_that_is_neither_is_refused(tmp_path: Path, empty_root: Root) -> None:
    with pytest.raises(errors.NotFoundError, match=r"neither a `conda-meta` folder nor a `pyvenv\.cfg`"):
        kernels.register(tmp_path, root=empty_root.path)
