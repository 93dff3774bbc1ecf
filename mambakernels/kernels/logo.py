"""The logo of a kernel in Jupyter's launcher: ours for its BLAS or its language."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent / "logos"
# A kernelspec's files, and our files of the same kind.
_FILES = {"logo-svg.svg": "{}.svg", "logo-32x32.png": "{}-32x32.png", "logo-64x64.png": "{}-64x64.png"}
# As kernelspecs write languages, in lower case and without the version.
_LANGUAGES = {"python": "python", "r": "r", "julia": "julia", "c++": "cpp", "cpp": "cpp", "bash": "bash"}
_BY_BLAS = {"python"}  # the launcher shows its kernels side by side, one per BLAS
_VERSION = re.compile(r"[\s\d].*")  # as in C++17


def logos(language: str, blas: str | None) -> dict[str, Path]:
    """Return our files by the names a kernelspec gives them; none for a language that has no logo here.

    A Python kernel has the logo of its environment's BLAS if there is one; other kernels have that of the language.
    """
    spoken = _VERSION.sub("", language.lower())
    by_blas = spoken in _BY_BLAS and (_FOLDER / f"{blas}.svg").is_file()
    name = blas if by_blas else _LANGUAGES.get(spoken)
    return {} if name is None else {file: _FOLDER / ours.format(name) for file, ours in _FILES.items()}
