"""Names of packages on a Python package index and on conda-forge, where the two differ."""

from __future__ import annotations

from packaging.utils import canonicalize_name

# conda-forge's name → the wheel's, for packages that notebooks use (looked up in conda-forge's recipes).
_WHEEL_OF = {
    "dask-core": "dask",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "pytables": "tables",
    "python-build": "build",
    "python-duckdb": "duckdb",
    "python-flatbuffers": "flatbuffers",
    "python-graphviz": "graphviz",
    "python-kaleido": "kaleido",
    "python-tzdata": "tzdata",
    "python-xxhash": "xxhash",
    "pytorch": "torch",
    "seaborn-base": "seaborn",
}
# The wheels whose own name is also a package on conda-forge.
_KEEP_NAME = {"dask", "matplotlib", "seaborn"}
_CONDA_OF = {wheel: conda for conda, wheel in _WHEEL_OF.items() if wheel not in _KEEP_NAME}


def wheel_name(conda_name: str) -> str:
    """Return the index's name of a conda package."""
    return canonicalize_name(_WHEEL_OF.get(conda_name, conda_name))


def conda_name(wheel: str) -> str:
    """Return conda-forge's name of a wheel."""
    canonical = canonicalize_name(wheel)
    return _CONDA_OF.get(canonical, canonical)
