"""The measurement of a demo, and the files that hold it: the comparison, a table, a picture and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mambakernels import plots
from mambakernels.bench.cases import Settings, all_cases
from mambakernels.bench.comparison import Comparison, evaluate
from mambakernels.bench.conclusion import listed
from mambakernels.bench.idle import share_in_use
from mambakernels.bench.interleaving import measure_interleaved
from mambakernels.bench.measured import Measured
from mambakernels.bench.summaries import KEY, libraries
from mambakernels.blas_report import html
from mambakernels.environments import Environment
from mambakernels.errors import NotFoundError, RunError
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress
from mambakernels.runs.records import Run
from mambakernels.system.files import write_atomically
from mambakernels.system.locks import measuring

SIZE = 256
_QUIET = ("gemm", "solve", "svd", "dot")
_BUSY = ("gemm", "solve")  # what fits next to other programs
_IN_USE = 0.25  # of the machine, by other programs: several threads would wait for each other
_VISIT_SECONDS = 0.02
_COMPARISON, _TABLE, _PICTURE, _REPORT = "comparison.json", "results.csv", "gflops.png", "report.html"
_INTERRUPTED = "interrupted.json"


def names(made: Sequence[Environment]) -> list[str]:
    """Return the names of all files that a demo writes, relative to its folder."""
    records = [f"blas.{environment.name}" for environment in made]
    ours = [_COMPARISON, _INTERRUPTED, _TABLE, _PICTURE, _REPORT, "index.html", "runs.csv"]
    return ours + [f"{record}.ipynb" for record in records] + [f"logs/{record}.log" for record in records]


def measure(made: Sequence[Environment], *, budget: float, progress: Progress) -> Comparison:
    """Measure the kernels in turns for at most `budget` seconds once they run; where others are busy, on one thread."""
    busy = share_in_use()
    one = busy is not None and busy > _IN_USE
    operations = _BUSY if one else _QUIET
    settings = Settings(
        kernels=tuple(environment.name for environment in made),
        cases=all_cases(operations, [SIZE], ["float64"]),
        threads=(1,) if one else (),
        budget=budget,
        starting_counts=False,
        in_order=True,
        visit_seconds=_VISIT_SECONDS,
    )
    notes = [f"Other programs use {busy:.0%} of this machine, so each kernel gets one thread."] if one else []
    for note in [*notes, f"measuring {listed(operations)} on all kernels in turns, for at most {budget:g} s"]:
        progress(Event("note", note))
    with measuring(Root.find(None), progress=progress):
        measured = measure_interleaved(settings, progress=progress)
    return evaluate(replace(measured, notes=(*notes, *measured.notes)))


def load(folder: Path, made: Sequence[Environment]) -> Comparison | None:
    """Return the comparison that a demo has left in the folder; None if there is none of these environments."""
    try:
        measured = Measured.load(folder / _COMPARISON)
    except (NotFoundError, RunError):
        return None
    same = measured.settings.kernels == tuple(environment.name for environment in made)
    return evaluate(measured) if same and all(one.created < measured.started for one in made) else None


def write(comparison: Comparison, runs: Sequence[Run], folder: Path, *, changed: bool) -> dict[str, Path]:
    """Write the comparison, the table, the picture if there is a rate, and the report; return their paths.

    If the comparison has not `changed`, only what is missing or older than a run. Of one that was interrupted, only the
    measurements, in a file of another name.
    """
    if comparison.measured.interrupted:
        return {"comparison": comparison.measured.save(folder / _INTERRUPTED)}
    files = {"comparison": _COMPARISON, "results": _TABLE, "plot": _PICTURE, "report": _REPORT}
    paths = {name: folder / file for name, file in files.items()}
    if comparison.frame["gflops"].isna().all():
        del paths["plot"]
    if not changed and all(path.exists() for path in paths.values()) and _is_newer(paths["report"], runs):
        return paths  # drawing takes longer than the rest of a demo that has nothing to do
    comparison.measured.save(paths["comparison"])
    (folder / _INTERRUPTED).unlink(missing_ok=True)
    write_atomically(paths["results"], table(comparison).to_csv(index=False))
    if "plot" in paths:
        write_atomically(paths["plot"], plots.png(plots.gflops_by_size(comparison.frame)))
    html.write_blas_report(comparison, runs, paths["report"])
    return paths


def table(comparison: Comparison) -> pd.DataFrame:
    """Return a row per kernel and case: what ran, the time and the rate, and the place among the others."""
    case = ["asked", *KEY, "kernel"]
    ran = libraries(comparison.frame).drop(columns=["threads", "library"]).drop_duplicates("kernel")
    places = comparison.ranking[[*case, "ratio", "place"]]
    rows = comparison.table.merge(places, on=case, how="left").merge(ran, on="kernel", how="left")
    return rows.drop(columns=["asked", "fingerprint", "same_bits", "reproducible"])


def _is_newer(file: Path, runs: Sequence[Run]) -> bool:
    """Whether a file was written after all the records."""
    records = [Path(str(run.path)) for run in runs]
    return all(file.stat().st_mtime_ns > record.stat().st_mtime_ns for record in records if record.exists())
