"""Runs every lesson once at its smallest size, each on another of the kernels that `mambakernels demo` made.

    cd tests && python aarch64/lessons.py

The parameters and what is certain to be seen are those of `notebooks/test_lessons.py`, which makes environments of its
own: under qemu that alone takes longer than all lessons.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import mambakernels
from notebooks import test_lessons as lessons

PATIENCE = 900  # seconds for one cell


def main() -> int:
    """Run the lessons, print a line for each, and return 1 if one failed."""
    names = {blas: f"np-{blas}" for blas in lessons.BLAS}
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for number, lesson in enumerate(lessons.LESSONS):
            blas, begin = lessons.BLAS[number % len(lessons.BLAS)], time.monotonic()
            parameters = lessons.parameters_of(lesson, blas, names)
            [run] = mambakernels.run(
                lesson, kernels=names[blas], parameters=parameters, output=folder, timeout=PATIENCE
            )
            wrong = _wrong(lesson.stem, run.path) if run.status == "ok" else f"{run.status}: {run.error}"
            sys.stdout.write(f"{lesson.stem} on {blas}: {wrong or 'ok'} ({time.monotonic() - begin:.0f} s)\n")
            sys.stdout.flush()
            failed |= bool(wrong)
    return int(failed)


def _wrong(name: str, executed: Path) -> str:
    """Return what is certain and was not seen."""
    verdicts = {shape["what"]: shape["verdict"] for shape in lessons.lesson_of(executed)["shapes"]}
    missed = sorted(what for what in lessons.CERTAIN.get(name, ()) if verdicts.get(what) == "not seen")
    return f"not seen: {', '.join(missed)}" if missed else ""


if __name__ == "__main__":
    sys.exit(main())
