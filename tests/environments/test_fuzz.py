"""No file ends in a traceback, whatever is in it: it is read, or refused in words with its name (hypothesis)."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mambakernels
from mambakernels import environments, errors, kernels
from mambakernels.engines import lockfile
from mambakernels.paths import Root
from mambakernels.progress import silent
from mambakernels.runs import notebooks

FOLDER = Path(__file__).parents[1] / "data" / "environments"
WORDS = [
    "name: x", "dependencies:", "  - python", "  - pip:", "    - six", "variables:", "  A: 1.10", "channels: [a]",
    "- b", "@EXPLICIT", "https://h/c/noarch/a-1-0.conda#" + "0" * 32, "version: 6", "environments:", "packages:",
    "metadata:",
    "package: []", "  default: {channels: [], packages: {linux-64: [{conda: x}]}}", '{"lockVersion": "1.0.0"', "}", "[",
    "sel(linux): a", "&a [*a]", "*a", "!!int x", "? [a]", "\t", "\0", "\ufeff", "# c", "---", "%YAML 1.2", "numpy =1.2",
    "a::b", "[x=1]", "'", '"', "{", "null", "~", "1e999", "é", "-r x",
]  # fmt: skip
SEEDS = [path.read_bytes() for path in sorted(FOLDER.glob("*.yml"))]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BOUNDED = settings(
    max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A file made of the words of every kind, or a real one with a part replaced, or any bytes."""
    words = st.lists(st.sampled_from(WORDS), max_size=12).map("\n".join)
    made = st.one_of(words, words.map(lambda text: text.replace("\n", " ")), st.text(max_size=60))
    if draw(st.booleans()):
        return draw(made).encode(draw(st.sampled_from(["utf-8", "utf-16", "utf-8-sig"])), "replace")
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=40))
    seed = draw(st.sampled_from(SEEDS))
    start = draw(st.integers(0, len(seed)))
    return seed[:start] + draw(made).encode("utf-8", "replace") + seed[start + draw(st.integers(0, 20)) :]


def in_words(act: Callable[[], Any]) -> None:
    """Do it; an error must be one of ours."""
    with suppress(errors.MambakernelsError):
        act()


@given(content=contents(), name=st.sampled_from(["x.yml", "x.txt", "x.lock", "x.json", "x"]))
@BOUNDED
def test_files_of_requests(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        # in this process, as starting one for each file takes too long
        patch.setattr("mambakernels.system.process.Worker.call", lambda _, message: lockfile.work(message, silent))
        in_words(lambda: environments.read_file(path).completed())


LOCK = {
    "version": 6,
    "environments": {"default": {"channels": [{"url": "https://h/c/"}], "packages": {"linux-64": [{"conda": "x"}]}}},
    "packages": [{"conda": "https://h/c/linux-64/a-1-0.conda", "sha256": "0" * 64}],
    "metadata": {"channels": [], "platforms": ["linux-64"], "sources": [], "content_hash": {}},
    "package": [{"name": "a", "version": "1", "manager": "conda", "platform": "linux-64", "category": "main"}],
    "lockVersion": "1.0.0",
    "platform": "linux-64",
    "channelInfo": {"c": [{"url": "https://h/c"}]},
    "pipPackages": {"a": {"name": "a", "url": "https://h/a.whl"}},
}


@given(
    changed=st.dictionaries(st.sampled_from(sorted(LOCK)), JSON, max_size=3),
    gone=st.sets(st.sampled_from(sorted(LOCK))),
)
@BOUNDED
def test_lockfiles(tmp_path: Path, changed: dict[str, Any], gone: set[str]) -> None:
    content = {key: value for key, value in (LOCK | changed).items() if key not in gone}
    path = tmp_path / "x.lock"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mambakernels.system.process.Worker.call", lambda _, message: lockfile.work(message, silent))
        in_words(lambda: environments.read_file(path))
        lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in content.items())
        path.write_text(lines, encoding="utf-8")
        in_words(lambda: environments.read_file(path))


@given(
    record=JSON | st.fixed_dictionaries({"name": JSON, "version": JSON, "build": JSON, "depends": JSON, "files": JSON}),
    spec=JSON | st.fixed_dictionaries({"argv": JSON, "env": JSON, "metadata": JSON, "display_name": JSON}),
    state=JSON | st.fixed_dictionaries({"env_vars": JSON}),
)
@BOUNDED
def test_prefixes_and_kernelspecs(tmp_path: Path, record: Any, spec: Any, state: Any) -> None:
    prefix, jupyter = tmp_path / "prefix", tmp_path / "jupyter"
    kernel = prefix / "share" / "jupyter" / "kernels" / "python3"
    for folder in (prefix / "conda-meta", kernel, jupyter / "kernels" / "other"):
        folder.mkdir(parents=True, exist_ok=True)
    (prefix / "conda-meta" / "ipykernel-1.0-0.json").write_text(json.dumps(record), encoding="utf-8")
    (prefix / "conda-meta" / "state").write_text(json.dumps(state), encoding="utf-8")
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    (jupyter / "kernels" / "other" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    root = Root(tmp_path / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(jupyter))
        patch.setenv("JUPYTER_PATH", str(jupyter))
        in_words(lambda: kernels.register(prefix, root=root.path))
        in_words(lambda: kernels.list(root=root.path))
        in_words(lambda: mambakernels.doctor(root=root.path))
        in_words(lambda: mambakernels.verify(prefix, root=root.path))


CELL = st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "markdown", "x"]) | JSON, "source": JSON},
    optional={"metadata": JSON, "outputs": JSON, "execution_count": JSON, "id": JSON},
)


@given(
    content=JSON
    | st.fixed_dictionaries(
        {
            "cells": st.lists(CELL, max_size=3) | JSON,
            "nbformat": st.just(4) | JSON,
            "nbformat_minor": st.just(5) | JSON,
        },
        optional={"metadata": JSON},
    )
)
@BOUNDED
def test_notebooks(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(content), encoding="utf-8")
    in_words(lambda: notebooks.read_notebook(path).language)
