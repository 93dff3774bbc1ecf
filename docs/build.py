"""Builds the site.

    python docs/build.py [--kernel NAME] [--lessons FOLDER] [--only LESSON…] FOLDER

With `--kernel`, the lessons are executed on it first by `mambakernels.run`, and shown with their outputs. With
`--lessons`, the executed notebooks are kept in that folder, and the next call executes only what has changed. Needs
`pip install '.[docs]'`.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

import mambakernels

TOP = Path(__file__).parent.parent


def main() -> None:
    """Read the command line, execute the lessons, build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the site goes")
    parser.add_argument("--kernel", help="the kernel that the lessons are executed on")
    parser.add_argument("--lessons", type=Path, help="where the executed lessons are kept")
    parser.add_argument("--only", nargs="*", default=["[0-9]", "blas"], help="lessons by their file names' beginnings")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mambakernels-lessons-") as scratch:
        if asked.kernel:
            lessons(asked.kernel, asked.only, asked.lessons or Path(scratch))
        site(asked.folder)


def lessons(kernel: str, beginnings: list[str], folder: Path) -> None:
    """Execute the lessons into a folder, and have the pages made of them."""
    notebooks = [path for stem in beginnings for path in sorted((TOP / "notebooks").glob(f"{stem}*.ipynb"))]
    runs = mambakernels.run(notebooks, kernels=kernel, output=folder)
    if failed := [run for run in runs if run.status != "ok"]:
        raise SystemExit(f"{failed[0].notebook} failed: {failed[0].error}")
    os.environ["MAMBAKERNELS_LESSONS"] = str(folder)


def site(folder: Path) -> None:
    """Build the site strictly: a warning is an error, and says what is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    build(load_config(str(TOP / "mkdocs.yml"), site_dir=str(folder.absolute()), strict=True))


if __name__ == "__main__":
    main()
