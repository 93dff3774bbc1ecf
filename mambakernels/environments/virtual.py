"""Virtual environments of venv, virtualenv and uv, which can be kernels too: what is read of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mambakernels.engines import Package

_CONFIGURATION = "pyvenv.cfg"
_NAMELESS = frozenset({"venv", "env", "virtualenv", "conda"})
_DIST_INFO = re.compile(r"([^/]+?)-([^/-]+)\.dist-info")


def is_virtual(prefix: Path) -> bool:
    """Whether a prefix is a virtual environment, and not one of conda that has such a file as well."""
    return (prefix / _CONFIGURATION).is_file() and not (prefix / "conda-meta").is_dir()


def settings(prefix: Path) -> Mapping[str, str]:
    """Return the settings in a virtual environment's `pyvenv.cfg`, by names in lower case."""
    lines = (prefix / _CONFIGURATION).read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip().lower(): value.strip().strip("'\"") for name, _, value in pairs}


def sees_the_system(prefix: Path) -> bool:
    """Whether a virtual environment uses the packages of the Python that it was made from."""
    return is_virtual(prefix) and settings(prefix).get("include-system-site-packages", "").lower() == "true"


def name_of_virtual(prefix: Path) -> str:
    """Return a name for a virtual environment: its prompt, else that of its folder."""
    prompt = settings(prefix).get("prompt")
    return _as_name(prompt) if prompt else name_of_folder(prefix)


def name_of_folder(prefix: Path) -> str:
    """Return a name for an environment in a folder that cannot be one: for `.venv` and `.conda`, their project's."""
    folder = prefix.name.strip(".")
    return _as_name(prefix.parent.name if folder in _NAMELESS else folder)


def _as_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64] or "venv"


def packages_of(prefix: Path) -> tuple[Package, ...]:
    """Return Python and the packages that pip or uv installed, by name; they have no address."""
    found = settings(prefix)
    version = found.get("version") or found.get("version_info") or ""
    number = re.match(r"[0-9.]*[0-9]", version)
    sites = [*prefix.glob("lib/python3*/site-packages"), *prefix.glob("Lib/site-packages")]
    infos = (match for site in sites for path in site.iterdir() if (match := _DIST_INFO.fullmatch(path.name)))
    installed = {re.sub(r"[-_.]+", "-", match[1]).lower(): match[2] for match in infos}
    named = {"python": number[0] if number else "", **installed}
    return tuple(Package(name, version, "pypi_0", "noarch", "", "") for name, version in sorted(named.items()))
