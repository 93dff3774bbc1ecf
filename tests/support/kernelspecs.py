"""Environments that only look like some: prefixes with kernelspecs, and programs that only exist."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mambakernels.engines import Package
from mambakernels.environments import Environment
from mambakernels.paths import Root

SHIPPED = Path(sys.prefix, "share", "jupyter", "kernels", "python3")  # ipykernel's own
Make = Callable[..., Environment]


def made(place: Path) -> Make:
    """Return a maker of environments under a root."""

    def environment(
        name: str = "np-mkl",
        kernels: Mapping[str, Any] | None = None,
        packages: Mapping[str, str] | None = None,
        blas: str = "mkl",
    ) -> Environment:
        root = Root(place)
        prefix = root.environments / name
        for program in ("python", "python3", "R"):
            add_program(prefix, program)
        if kernels is None:
            kernels = {"python3": json.loads((SHIPPED / "kernel.json").read_text())}
        for spec, document in kernels.items():
            folder = prefix / "share" / "jupyter" / "kernels" / spec
            folder.mkdir(parents=True)
            (folder / "kernel.json").write_text(document if isinstance(document, str) else json.dumps(document))
            (folder / "logo-svg.svg").write_text(f"<svg>{spec}</svg>")
            (folder / "logo-64x64.png").write_bytes(b"\x89PNG")
        if packages is None:
            packages = {"python": "3.11.7", "libblas": "3.11.0"}
        found = tuple(Package(item, version, f"0_{blas}", "linux-64", "", "") for item, version in packages.items())
        return Environment(name, prefix, root, ("numpy", f"libblas=*=*{blas}"), ("wheels",), "rattler", found, "")

    return environment


def add_program(prefix: Path, name: str) -> None:
    program = prefix / "bin" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
