"""The package as it travels: alone, under a `mambakernels` without `__init__.py`, with NumPy and nothing else."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mambakernels.numeric

SOURCES = Path(mambakernels.numeric.__file__).parent


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    (folder / "mambakernels").mkdir()
    shutil.copytree(SOURCES, folder / "mambakernels" / "numeric", ignore=shutil.ignore_patterns("__pycache__"))
    for part in Path(np.__file__).parents[1].glob("numpy*"):
        if part.name in ("numpy", "numpy.libs"):
            (folder / part.name).symlink_to(part)
    return folder


def run(alone: Path, code: str) -> str:
    start = f"import sys; sys.path.insert(0, {str(alone)!r})\n"
    argv = [sys.executable, "-I", "-S", "-W", "error", "-c", start + code]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_it_measures_with_numpy_and_nothing_else(alone: Path) -> None:
    out = run(
        alone,
        "from mambakernels.numeric import measure, publish\n"
        "import mambakernels; assert mambakernels.__file__ is None\n"
        "publish(measure(['gemm'], [8], repeats=1, min_sample=1e-4))\n"
        "assert not {'IPython', 'threadpoolctl', 'ctypes.wintypes'} & set(sys.modules)\n",
    )
    assert "openblas" in out
    assert "gemm" in out


def test_importing_it_loads_no_numpy(alone: Path) -> None:
    run(
        alone,
        "import mambakernels.numeric as m; from mambakernels.numeric import set_threads, code_hash\n"
        "assert set(m.__all__) <= set(dir(m)); assert len(code_hash()) == 64\n"
        "assert 'numpy' not in sys.modules",
    )


def test_its_hash_does_not_depend_on_where_it_is(alone: Path) -> None:
    out = run(alone, "from mambakernels.numeric import code_hash; print(code_hash())")
    assert out.strip() == mambakernels.numeric.code_hash()


@pytest.mark.parametrize("name", mambakernels.numeric.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mambakernels.numeric, name) is not None


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        mambakernels.numeric.nothing  # noqa: B018


@pytest.mark.parametrize("file", sorted(SOURCES.glob("*.py")), ids=lambda file: file.name)
def test_its_imports_are_the_standard_library_numpy_and_itself(file: Path) -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "threadpoolctl", "jupyter_client"}
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    foreign = [name for name in names if name.split(".")[0] not in allowed]
    assert all(name.startswith("mambakernels.numeric") for name in foreign)
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any(name in ast.dump(node) for node in top for name in ("threadpoolctl", "jupyter_client"))
