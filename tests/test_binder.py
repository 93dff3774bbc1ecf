"""What of Binder can run here: its requirements name this package, and its postBuild makes the kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support.blas import BLAS

from mambakernels.paths import Root

TOP = Path(__file__).parent.parent


def test_requirements_install_this_package_with_jupyterlab() -> None:
    lines = (TOP / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [".[lab]"]


def test_post_build_makes_a_kernel_per_blas(borrowed_root: Root, tmp_path: Path) -> None:
    """As on Binder, but with the wheels channel: conda-forge cannot be reached here."""
    variables = {
        **os.environ,
        "MAMBAKERNELS_ROOT": str(borrowed_root.path),
        "MAMBAKERNELS_CONDA_FORGE": "http://127.0.0.1:9/conda-forge",
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    answer = subprocess.run(
        ["bash", TOP / "binder" / "postBuild"], env=variables, capture_output=True, text=True, check=False, cwd=TOP
    )
    assert answer.returncode == 0, answer.stderr
    assert len([*(tmp_path / "workspaces").iterdir()]) == 1
    specs = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "jupyter").rglob("kernel.json")}
    assert set(specs) == {f"np-{name}" for name in BLAS}
    assert all(Path(spec["argv"][0]).exists() for spec in specs.values())


def test_it_opens_on_the_start_page_which_exists() -> None:
    workspace = json.loads((TOP / "binder" / "workspace.json").read_text(encoding="utf-8"))
    opened = workspace["data"]["layout-restorer:data"]["main"]["current"]
    path = workspace["data"][opened]["data"]["path"]
    assert (opened, (TOP / path).is_file()) == (f"notebook:{path}", True)


def test_the_dev_container_is_made_as_the_image_is() -> None:
    container = json.loads((TOP / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    paths = [word for word in container["onCreateCommand"].split() if word.startswith("binder/")]
    assert [path for path in paths if (TOP / path).is_file()] == ["binder/requirements.txt", "binder/postBuild"]
    python = (TOP / "binder" / "runtime.txt").read_text(encoding="utf-8").strip()
    assert python.replace("-", ":") == container["image"].rpartition("/")[2]
