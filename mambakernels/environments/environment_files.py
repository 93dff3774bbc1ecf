"""`environment.yml` files, read as micromamba reads them: each scalar is its text, unknown keys are skipped."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mambakernels import errors
from mambakernels.engines.match_spec import name_of
from mambakernels.environments.spec import EnvironmentSpec
from mambakernels.system import yaml

# `prefix` is conda's note of where an environment was exported from.
_KEYS = ("name", "channels", "dependencies", "variables", "prefix")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)
_SELECTOR = re.compile(r"sel\((.*)\)")
_SYSTEMS = ("linux", "osx", "win", "unix")
_READ_AS = "The file is read as an environment file"
_EXAMPLE = f"{_READ_AS}, such as:\nname: one\ndependencies:\n  - python=3.12\n  - pandas"


@dataclass
class _File:
    """A file that is being read: what is skipped in it is noted."""

    path: Path
    subdir: str
    notes: list[str] = field(default_factory=list)

    def place(self, value: Any) -> str:
        line = yaml.line_of(value)
        return str(self.path) if line is None else f"{self.path}, line {line}"

    def wrong(self, what: str, value: Any, advice: str = "") -> errors.InvalidRequestError:
        step = f"{advice} {_READ_AS}." if advice else _EXAMPLE
        return errors.InvalidRequestError(what, where=self.place(value), next_step=step)

    def note(self, what: str, value: Any) -> None:
        self.notes.append(f"{self.place(value)}: {what}")


def read(text: str, path: Path, *, subdir: str) -> EnvironmentSpec:
    """Return the request in the text of an environment file, with the specs that it selects for a subdir.

    InvalidRequestError, with the line, if there is none.
    """
    file = _File(path, subdir)
    content = _content(text, file)
    _skip_unknown(content, file)
    specs, pip = _dependencies(content, file)
    return EnvironmentSpec(
        name=_name(content, file) or path.stem,
        specs=specs,
        channels=_channels(content, file) or ("auto",),
        pip=pip,
        variables=_variables(content, file),
        folder=path.absolute().parent,
        notes=tuple(file.notes),
    )


def _content(text: str, file: _File) -> Mapping[str, Any]:
    try:
        content = yaml.load_written(text)
    except ValueError as error:
        raise file.wrong(f"This is not YAML: {error}.", None) from error
    if not isinstance(content, dict):
        raise file.wrong("An environment file needs a list of match specs under `dependencies`.", content)
    if not isinstance(content.get("dependencies"), list):
        found = ", ".join(content) or "none"
        raise file.wrong(
            f"An environment file needs a list of match specs under `dependencies`; the keys here are: {found}.",
            _key(content, "dependencies"),
        )
    return content


def _skip_unknown(content: Mapping[str, Any], file: _File) -> None:
    for key in content:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, 1)
            meant = f" Did you mean `{close[0]}`?" if close else ""
            file.note(f"`{key}` is not a key of environment files, and is skipped.{meant}", key)


def _name(content: Mapping[str, Any], file: _File) -> str:
    name = content.get("name")
    if name is not None and not isinstance(name, str):
        raise file.wrong("An environment file's `name` must be a string.", _key(content, "name"))
    return str(name or "")


def _channels(content: Mapping[str, Any], file: _File) -> tuple[str, ...]:
    given = content.get("channels")
    listed = given if isinstance(given, list) else [] if given is None else [given]
    for name in listed:
        if not isinstance(name, str):
            raise file.wrong("An environment file's `channels` must be a list of names.", _key(content, "channels"))
    return tuple(_expanded(name) for name in listed if name != "nodefaults")


def _expanded(name: str) -> str:
    """Put the values of environment variables into a channel's name, as micromamba and conda do in channels alone."""
    return _VARIABLE.sub(lambda match: os.environ.get(match[1] or match[2], match[0]), str(name))


def _variables(content: Mapping[str, Any], file: _File) -> dict[str, str]:
    given = content.get("variables") or {}
    if not isinstance(given, dict) or any(isinstance(value, (list, dict)) for value in given.values()):
        raise file.wrong("An environment file's `variables` must be names with values.", _key(content, "variables"))
    return {str(name): "null" if value is None else str(value) for name, value in given.items()}


def _dependencies(content: Mapping[str, Any], file: _File) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the match specs for the platform, and pip's requirements; with any pip part, pip is among the specs."""
    specs: list[str] = []
    pip: list[str] | None = None
    for item in content["dependencies"]:
        if isinstance(item, str):
            specs.append(_checked(item, file))
        elif isinstance(item, dict):
            selected = list(_selected(item, file))
            specs += [_checked(spec, file) for key, spec in selected if key != "pip"]
            for part in [part for key, part in selected if key == "pip"]:
                pip = [*(pip or ()), *_requirements(part, item, file)]
        elif item is not None:
            file.note("A list within `dependencies` is skipped.", item)
    if pip is not None and "pip" not in specs:
        specs.append("pip")
    if not specs:
        what = f"There is no match spec for {file.subdir} under `dependencies`."
        raise file.wrong(what, _key(content, "dependencies"))
    return tuple(specs), tuple(pip or ())


def _selected(item: Mapping[str, Any], file: _File) -> Iterator[tuple[str, Any]]:
    """Yield pip's parts, and the specs whose `sel(…)` holds on the platform."""
    for key, value in item.items():
        if key == "pip":
            yield key, value
        elif key.startswith("sel("):
            if _holds(key, file):
                if not isinstance(value, str):
                    raise file.wrong(f"`{key}` takes one match spec.", key, "Repeat the key for each spec.")
                yield key, value
        else:
            spec = f" For a version, write `{key}={value}`." if isinstance(value, str) else ""
            file.note(f"`{key}:` in `dependencies` is skipped, as conda and micromamba skip it.{spec}", key)


def _holds(selector: str, file: _File) -> bool:
    match = _SELECTOR.fullmatch(selector)
    if match is None or match[1] not in _SYSTEMS:
        raise file.wrong(f"`{selector}` selects nothing.", selector, f"Choose from: {', '.join(_SYSTEMS)}.")
    system = file.subdir.partition("-")[0]
    return match[1] == system or (match[1] == "unix" and system != "win")


def _requirements(part: Any, item: Mapping[str, Any], file: _File) -> list[str]:
    listed: Sequence[Any] = part if isinstance(part, list) else [] if part is None else [part]
    for line in listed:
        if not isinstance(line, str) and line is not None:
            raise file.wrong("`pip:` must be a list of requirements, each a line of text.", _key(item, "pip"))
    return [str(line) for line in listed if line is not None]


def _checked(spec: str, file: _File) -> str:
    try:
        name_of(str(spec))
    except errors.InvalidRequestError as error:
        raise file.wrong(error.what, spec, error.next_step or "") from error
    return str(spec)


def _key(content: Mapping[str, Any], name: str) -> Any:
    """Return a key as it stands in the file, with its line."""
    return next((key for key in content if key == name), None)
