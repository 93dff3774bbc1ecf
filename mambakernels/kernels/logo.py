"""Which logo a kernel has in Jupyter's launcher: ours for its BLAS or its language."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent / "logos"
# A kernelspec's files, and what ours of the same kind are called.
_FILES = {"logo-svg.svg": "{}.svg", "logo-32x32.png": "{}-32x32.png", "logo-64x64.png": "{}-64x64.png"}
_BLAS = {name: name for name in ("accelerate", "blis", "mkl", "netlib", "nvpl", "openblas")}
# As kernelspecs write languages, in lower case and without the version.
_LANGUAGES = {"python": "python", "r": "r", "julia": "julia", "c++": "cpp", "cpp": "cpp", "bash": "bash"}
_BY_BLAS = {"python"}  # several of its kernels, one per BLAS, are what the launcher has to tell apart
_VERSION = re.compile(r"[\s\d].*")  # as in C++17


def logos(language: str, blas: str | None) -> dict[str, Path]:
    """Return our files by the names a kernelspec gives them; none for a language we drew nothing for.

    A Python kernel has the logo of its environment's BLAS, if that is one we know, and others that of the language.
    """
    spoken = _VERSION.sub("", language.lower())
    by_blas = _BLAS.get(blas or "") if spoken in _BY_BLAS else None
    name = by_blas or _LANGUAGES.get(spoken)
    return {} if name is None else {file: _FOLDER / ours.format(name) for file, ours in _FILES.items()}
