"""Where the tests of an environment's life work: root, Jupyter folder, channel and engine, all of the test's own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mambakernels
from mambakernels import kernels
from mambakernels.environments import Environment
from mambakernels.paths import Root

Made = Callable[..., kernels.KernelSpec]


@dataclass(frozen=True)
class World:
    """Where a test works, and with which engine."""

    path: Path
    channel: Path
    engine: Any

    @property
    def root(self) -> Path:
        return self.path / "root ü"

    @property
    def url(self) -> str:
        return self.channel.as_uri()

    @property
    def options(self) -> dict[str, Any]:
        """What each call needs."""
        return {"engine": self.engine, "root": self.root}

    def create(self, name: str = "one", *specs: str, **more: Any) -> Environment:
        return mambakernels.create(name, specs or ("python", "grown"), channel=self.url, **self.options, **more)

    def read(self, name: str) -> Environment:
        return mambakernels.get(name, root=self.root)

    def python(self, name: str, code: str) -> str:
        """Run a line of Python in an environment."""
        done = subprocess.run(
            [self.read(name).python, "-c", code], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def hidden(self) -> list[str]:
        """What is left over: staged and old folders, and what waits in the trash."""
        folders = [Root(self.root).environments, Root(self.root).trash]
        found = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
        return [path.name for path in found if path.name.startswith(".") or path.parent == folders[1]]

    def staged(self) -> list[str]:
        """What a process is at work on, or has left when it was killed."""
        return [name for name in self.hidden() if name.startswith(".")]

    def variables(self, kernel: str) -> dict[str, str]:
        """The variables that a kernel starts with."""
        [spec] = [spec for spec in kernels.list() if spec.name == kernel]
        found: dict[str, str] = json.loads((spec.path / "kernel.json").read_text())["env"]
        return found
