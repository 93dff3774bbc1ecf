"""Which module may import which: read from the imports themselves."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import mambakernels

PACKAGE = Path(mambakernels.__file__).parent
# From the edge inwards: a module imports its own layer and those below it.
LAYERS = (
    {"__main__"},
    {"cli", "lab", "pytest_plugin"},
    {"demo", "doctor"},
    {"blas_report"},
    {"plots"},
    {"bench"},
    {"sessions"},
    {"projects", "runs"},
    {"kernels"},
    {"activation", "environments"},
    {"engines", "channels"},
    {"bootstrap"},
    {"system"},
    {"paths", "progress"},
    {"errors"},
)
DEPTH = {name: depth for depth, layer in enumerate(LAYERS) for name in layer}
# They run inside kernels: nothing else of ours is there.
ALONE = {"numeric": {"numeric"}, "lessons": {"lessons", "numeric"}, "record": {"record"}}
# The wing from environments to runs knows nothing of the wing about BLAS, except in one file.
FIRST_WING = {
    "system", "bootstrap", "engines", "channels", "environments", "activation", "kernels", "projects", "runs",
    "sessions",
}  # fmt: skip
SECOND_WING = {"numeric", "bench", "plots", "blas_report", "lessons", "demo"}
KNOWS_BLAS = {"kernels/blas.py": {"numeric"}}
# Who may import what of others; everything else may not.
ONLY = {
    "rattler": {
        "engines/rattler.py",
        "engines/archives.py",
        "engines/lockfile.py",
        "engines/match_spec.py",
        "channels/conda_packages.py",
    },
    "rattler_build": {"channels/conda_packages.py"},
    "subprocess": {
        "system/process.py",
        "system/job.py",
        "kernels/launch/start.py",
        "kernels/launch/start_windows.py",
        "lessons/functions.py",
        "numeric/machine.py",
    },
    "nbclient": {"runs"},
    "nbformat": {"runs"},
    "pandas": {
        "runs/results.py",
        "runs/frame_files.py",
        "bench",
        "plots",
        "blas_report",
        "demo",
        "cli/tables.py",
        "lab/shown_comparison.py",
    },
    "distributed": {"runs/workers.py", "runs/jobs.py"},
    "fsspec": {"runs/outputs.py"},
    "jinja2": {"blas_report"},
    "matplotlib": {"plots"},
    "ipywidgets": {"lab"},
    "anywidget": {"lab"},
    "typer": {"cli"},
    "pytest": {"pytest_plugin.py"},
    "junitparser": {"runs/junit.py"},
    "nbconvert": {"runs"},
    "requests": {"bootstrap", "channels/__init__.py"},
    "urllib3": {"bootstrap"},
    "zstandard": {"bootstrap"},
    "yaml": {"system/yaml.py"},
}
# Rooms that are public themselves, with the functions that users find there.
ROOMS = {
    "bootstrap": ("install", "check", "remove"),
    "channel": ("build", "list", "clean"),
    "kernels": ("register", "list", "unregister", "prune"),
    "lab": ("copy_notebooks", "explorer", "manager", "start_jupyterlab"),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, wherever in the file."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def area(path: Path) -> str:
    """The file's own place among the layers."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    here = area(path)
    if here in {"__init__", "notebooks", *ALONE}:
        return
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("mambakernels.")} - {"numeric", "record"}
    known = {name for name in ours if name in DEPTH}
    wrong = {name for name in known if DEPTH[name] < DEPTH[here]}
    assert here in DEPTH, f"{here} has no layer"
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_first_wing_imports_nothing_of_the_second(path: Path) -> None:
    if area(path) in FIRST_WING:
        used = {name.split(".")[1] for name in imports(path) if name.startswith("mambakernels.")} & SECOND_WING
        assert used == KNOWS_BLAS.get(path.relative_to(PACKAGE).as_posix(), set())


@pytest.mark.parametrize("path", [path for path in MODULES if area(path) in ALONE], ids=lambda path: path.name)
def test_what_runs_in_kernels_stands_alone(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "threadpoolctl", "IPython", "jupyter_client"}
    foreign = {name for name in imports(path) if name.split(".")[0] not in allowed}
    rooms = tuple(f"mambakernels.{room}" for room in ALONE[area(path)])
    assert all(name.startswith(rooms) or name == "mambakernels" for name in foreign), foreign


@pytest.mark.parametrize("library", ONLY)
def test_each_library_has_its_place(library: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if any(name == library or name.startswith(f"{library}.") for name in imports(path))
    }
    assert users
    assert all(any(user == place or user.startswith(f"{place}/") for place in ONLY[library]) for user in users), users


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, mambakernels; print(*(set(sys.argv[1:]) & set(sys.modules)))"
    heavy = ["numpy", "pandas", "rattler", "nbclient", "ipywidgets", "requests", "rich", "typer", "asyncio"]
    answer = subprocess.run([sys.executable, "-I", "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


@pytest.mark.parametrize("name", sorted({*mambakernels.__all__, "exec", "list"}))
def test_a_public_name_leads_to_its_home(name: str) -> None:
    assert callable(getattr(mambakernels, name)) or name in {"__version__", *ROOMS, "errors", "plots"}


def test_types_and_table_agree() -> None:
    """Type checkers see the same names, from the same modules, as `__getattr__` imports."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.asname: f"{node.module}.{alias.name}".removeprefix("mambakernels.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mambakernels"
        for alias in node.names
    }
    assert typed == {name: home.replace(":", ".") for name, home in mambakernels._HOMES.items()}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_for_users_have_their_functions(room: str) -> None:
    assert all(callable(getattr(getattr(mambakernels, room), name)) for name in ROOMS[room])


def test_a_star_import_shadows_no_builtin() -> None:
    assert not {"exec", "list"} & set(mambakernels.__all__)
    assert {"create", "run", "__version__"} <= set(mambakernels.__all__)


def test_functions_stay_functions_next_to_rooms_of_the_same_name() -> None:
    for room in ("bench", "demo", "doctor"):
        importlib.import_module(f"mambakernels.{room}")
        assert not isinstance(getattr(mambakernels, room), ModuleType)
    for name in ROOMS["lab"]:
        importlib.import_module(f"mambakernels.lab.{mambakernels.lab._HOMES[name]}")
        assert not isinstance(getattr(mambakernels.lab, name), ModuleType)


def test_there_is_no_other_name() -> None:
    with pytest.raises(AttributeError):
        mambakernels.nothing_of_that_name  # noqa: B018 (the access is the test)
