"""The `wheels` channel of the tests: built once, shared by the workers of a session, kept for the next session."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import platformdirs
from filelock import FileLock
from support.blas import BLAS

from mambakernels.channels import interpreter, numeric_package, wheels
from mambakernels.paths import Root

CACHE = platformdirs.user_cache_path("mambakernels-tests")  # of the developer: read before the tests change HOME
_NEVER_REWRITTEN = {".conda", ".whl"}


def build(root: Root) -> None:
    """Build the channel of every BLAS in an empty root, from the packages that an earlier session built."""
    kept = CACHE / _key()
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "lock"):
        if kept.is_dir():
            copy(kept, root.channels)
        root.packages.mkdir(parents=True)
        wheels.ensure(root, [f"libblas=*=*{name}" for name in BLAS])
        numeric_package.ensure(root)
        if not kept.is_dir():
            for other in CACHE.glob("channels-*"):  # of another week or code, or of a session that was killed
                shutil.rmtree(other)
            copy(root.channels, CACHE / "channels-being-written")
            (CACHE / "channels-being-written").rename(kept)


def copy(source: Path, target: Path) -> None:
    """Copy a folder of channels; package files are never rewritten, so that a hard link does for them."""
    shutil.copytree(source, target, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    if Path(source).suffix in _NEVER_REWRITTEN:
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copy2(source, target)
    else:
        shutil.copy2(source, target)


def _key() -> str:
    """Return a name for what the channel is made from: this Python, our code, pip's and apt's sources, this week."""
    digest = hashlib.sha256()
    for fact in _facts():
        digest.update(fact.encode() + b"\0")
    return f"channels-{digest.hexdigest()[:16]}"


def _facts() -> Iterator[str]:
    yield from (interpreter.fingerprint(), wheels.code(), *BLAS)
    yield str(datetime.now(timezone.utc).isocalendar()[:2])
    configured = [sys.executable, "-m", "pip", "config", "list"]
    yield subprocess.run(configured, capture_output=True, text=True, check=True).stdout
    yield from (f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("PIP_"))
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    yield from (path.read_text(encoding="utf-8") for path in sources if path.is_file())
