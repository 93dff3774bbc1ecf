"""Parts of other tools' lockfiles that rattler does not read: micromamba's JSON, categories, editable packages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mambakernels import errors
from mambakernels.engines import Package, explicit, locked_requirements

Json = dict[str, Any]


def read_json(text: str, path: Path) -> tuple[tuple[str, ...], dict[str, list[Package]], dict[str, list[str]]]:
    """Read micromamba's JSON lockfile: channels, and by subdir the packages and pip's requirements."""
    try:
        content: Json = json.loads(text)
        bases = {name: places[0]["url"].rstrip("/") for name, places in content["channelInfo"].items()}
        packages: dict[str, list[Package]] = {content["platform"]: []}
        for name, entry in content["packages"].items():
            address = f"{bases[entry['channel']]}/{entry['subdir']}/{name}"
            packages[content["platform"]].append(explicit.parse(address + _mark(entry.get("hash") or {}), str(path)))
        pip = [_pip(entry, path.absolute().parent) for entry in (content.get("pipPackages") or {}).values()]
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        lacking = "it lacks what version 1 of them has"
        why = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else lacking
        raise errors.InvalidRequestError(
            f"This lockfile of micromamba cannot be read: {why}.",
            where=str(path),
            next_step="Write it again with the tool that it comes from.",
        ) from error
    return tuple(bases.values()), packages, {content["platform"]: pip}


def _mark(hashes: Mapping[str, str]) -> str:
    return f"#sha256:{hashes['sha256']}" if "sha256" in hashes else f"#{hashes['md5']}" if "md5" in hashes else ""


def _pip(entry: Json, folder: Path) -> str:
    digest = next((f"{kind}={entry['hash'][kind]}" for kind in ("sha256", "md5") if kind in entry.get("hash", {})), "")
    return locked_requirements.line(entry["name"], entry["url"], digest, folder=folder)


def main_category(content: Any) -> set[tuple[str, str]]:
    """Return subdir and name of the packages of conda-lock's category `main`, which is what its tools install."""
    entries = content.get("package") if isinstance(content, dict) else None
    return {
        (str(entry.get("platform")), normalized(str(entry.get("name"))))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and (entry.get("category") or "main") == "main"
    }


def editable(content: Any) -> set[str]:
    """Return the names of the Python packages in a lockfile of pixi that are installed as links to their source."""
    entries = content.get("packages") if isinstance(content, dict) else None
    return {
        normalized(str(entry.get("name")))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and entry.get("editable") == "true"
    }


def normalized(name: str) -> str:
    """Return a name as Python's packaging compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()
