"""Names of packages on a Python package index and on conda-forge, where the two differ; match specs as pip's."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mambakernels.engines import match_spec
from mambakernels.errors import InvalidRequestError

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


def pip_requirement(spec: str) -> str:
    """Translate a match spec for pip, which has no build strings: `numpy=1.26` is `numpy==1.26.*`.

    InvalidRequestError for a name or version that no wheel can have.
    """
    asked = match_spec.read(spec)
    version = asked.version
    if re.fullmatch(r"[0-9][\w.]*(\.\*)?", version):
        version = f"=={version}"
    usable = re.fullmatch(r"((>=|<=|==|!=|~=|>|<)[\w.*+!]+,?)+", version)
    requirement = wheel_name(asked.name) + (version if usable else "")
    try:
        Requirement(requirement)
    except InvalidRequirement as error:
        raise InvalidRequestError(
            f"No wheel can match {spec!r}, which asks for {' '.join(filter(None, (asked.name, version)))}.",
            next_step="Check it: a wheel's name begins with a letter or digit, its version with a digit. "
            "Several specs are several words or lines: python numpy.",
        ) from error
    return requirement
