"""Comparing kernels, from their names to verdicts: `mambakernels bench` as one call."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mambakernels.bench import cases
from mambakernels.bench.agreement import ControlVerdict, check_pairs
from mambakernels.bench.conclusion import Conclusion, conclude
from mambakernels.bench.diagnosis import diagnose
from mambakernels.bench.gates import gates
from mambakernels.bench.interleaving import Partial, ignore, measure_interleaved
from mambakernels.bench.measured import COMPARISONS, Measured, MeasuredKernel
from mambakernels.bench.pairs import MARGIN, pairs
from mambakernels.bench.ranking import ranking
from mambakernels.bench.regression import Regression, check_comparable, compare_with_saved
from mambakernels.bench.side_by_side import side_by_side
from mambakernels.bench.summaries import estimate_in_words
from mambakernels.errors import InvalidRequestError
from mambakernels.numeric.rules import Finding
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.progress import Progress, silent
from mambakernels.system.locks import measuring
from mambakernels.system.quantities import read_duration

_PATIENCE_SECONDS = 3600.0  # of a budget that someone would wait for


@dataclass(frozen=True)
class Comparison:
    """The results of a comparison.

    `measured` holds the raw measurements (`measured.frame`), `table` the kernels side by side, `pairs` a verdict for
    each of them against the first, `ranking` the place of each in each case. `controls` says whether any of that can be
    trusted, `gates` which checks failed, `diagnosis` explains the results in words, `conclusion` is all of it in a few
    sentences. `regression` is the verdict against a saved comparison, `saved` the file this one was saved to.
    """

    measured: Measured
    table: pd.DataFrame
    pairs: pd.DataFrame
    ranking: pd.DataFrame
    controls: ControlVerdict
    gates: tuple[Finding, ...]
    diagnosis: tuple[Finding, ...]
    conclusion: Conclusion
    regression: Regression | None = None
    saved: Path | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The measurements, a row per kernel, case and round."""
        return self.measured.frame

    @property
    def ok(self) -> bool:
        """Whether every gate was passed and nothing became slower than in the saved comparison."""
        return not self.gates and (self.regression is None or self.regression.bad.empty)

    @property
    def undecided(self) -> pd.DataFrame:
        """The pairs without a verdict; controls are not among them."""
        return self.pairs[(self.pairs["verdict"] == "undecided") & ~self.pairs["control"]]

    @property
    def budget_to_decide(self) -> float | None:
        """About the seconds that would decide the pairs which more rounds can decide; None if there are none."""
        waiting = self.undecided[self.undecided["needed"].notna()]
        if waiting.empty:
            return None
        more = float((waiting["needed"].astype(float) / waiting["rounds"]).max())
        return self.measured.seconds * max(1.0, more)

    @property
    def sentences(self) -> list[str]:
        """What is to be said of it besides its figures: rounds, doubts, reasons, and gates that were not passed."""
        measured, regression = self.measured, self.regression
        said = [
            *measured.notes,
            f"{measured.rounds} round{'s' * (measured.rounds != 1)} in {measured.seconds:.0f} seconds.",
            estimate_in_words(self.frame),
            *self._undecided_in_words(),
            *([self.controls.text] if len(self.pairs) else []),
            *(
                []
                if regression is None
                else [regression.text, *(f"Not the same: {text}." for text in regression.differences)]
            ),
            *(item.text for item in self.diagnosis),
            *(f"FAILED ({gate.rule}): {gate.text}" for gate in self.gates),
            *([] if self.saved is None else [f"Saved: {self.saved}"]),
        ]
        return list(dict.fromkeys(said))

    def _undecided_in_words(self) -> list[str]:
        """Return what would decide the pairs that are undecided."""
        count, seconds = len(self.undecided), self.budget_to_decide
        if not count:
            return []
        what = "1 comparison is undecided" if count == 1 else f"{count} comparisons are undecided"
        if seconds is None or seconds > _PATIENCE_SECONDS:
            return [f"{what}: a quieter machine would decide, or one thread."]
        return [f"{what}: about --budget {math.ceil(seconds / 10) * 10} would decide, or a quieter machine."]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it but the raw samples, as JSON values."""
        regression = self.regression
        return {
            "ok": self.ok,
            **self.measured.about(),
            "estimate": estimate_in_words(self.frame),
            "budget_to_decide": self.budget_to_decide,
            "controls": {"verdict": self.controls.verdict, "text": self.controls.text},
            "conclusion": asdict(self.conclusion),
            "gates": [gate.as_dict() | {"kernel": gate.kernel} for gate in self.gates],
            "diagnosis": [item.as_dict() | {"kernel": item.kernel} for item in self.diagnosis],
            "table": _records(self.table),
            "pairs": _records(self.pairs),
            "ranking": _records(self.ranking),
            "regression": None
            if regression is None
            else {
                "trusted": regression.trusted,
                "text": regression.text,
                "differences": list(regression.differences),
                "rows": _records(regression.frame),
            },
            "saved": None if self.saved is None else str(self.saved),
        }


@storage_errors
def bench(
    kernels: str | Sequence[str],
    *,
    operations: Sequence[str] = ("gemm", "solve", "svd"),
    sizes: str | Sequence[int] = (256,),
    dtypes: Sequence[str] = ("float64",),
    threads: str | Sequence[int] = (),
    budget: float | str = 60.0,
    seed: int = 0,
    save: PathLike | None = None,
    against: PathLike | None = None,
    force: bool = False,
    margin: float = MARGIN,
    progress: Progress = silent,
    partial: Partial = ignore,
) -> Comparison:
    """Measure operations on kernels, in turns and in rounds, and say what differs.

    Parameters
    ----------
    kernels
        Names of kernelspecs; the others are compared with the first.
    operations, sizes, dtypes
        What to measure; the controls fft, exp and sort are added. Sizes may be a text such as `256:4096:log2`.
    threads
        Thread counts, or a text such as `1,2`: each kernel gets a process for each count. Without any, kernels run as
        registered.
    budget
        Seconds, or a text such as `2m`, for everything from starting kernels to ending them.
    seed
        Seeds the random numbers, the order of measuring, and the places of arrays in memory.
    save
        A `.parquet` or `.json` file for the measurements.
    against
        A file that was saved earlier, to compare with.
    force
        Compare with `against` even if machine, threads, NumPy, BLAS or code path differ.
    margin
        The difference that does not matter, such as 0.05: kernels are called equal if the whole interval of their ratio
        lies between 1 / (1 + margin) and 1 + margin.
    progress
        Called in this thread.
    partial
        Called in another thread with the measurements so far, of which `evaluate` makes a comparison: after rounds, and
        in the first one after cases, for a tenth of the time. Nothing is measured meanwhile.

    Raises
    ------
    NotFoundError
        There is no such kernel or file.
    InvalidRequestError
        An operation, size or file name is not valid, or `against` is not comparable (both are found before anything is
        measured), or not even one round fits the budget.
    KernelError
        No kernel starts.
    """
    seconds = read_duration(budget, "budget")
    check_request(margin, save)
    then = None if against is None else Measured.load(against)
    settings = cases.Settings(
        kernels=(kernels,) if isinstance(kernels, str) else tuple(kernels),
        cases=cases.all_cases(operations, cases.read_sizes(sizes), dtypes),
        threads=cases.read_counts(threads),
        budget=seconds,
        seed=seed,
    )

    def accept(started: Sequence[MeasuredKernel]) -> None:
        if then is not None:
            check_comparable(started, then.kernels, force=force)

    with measuring(Root.find(None), progress=progress):
        measured = measure_interleaved(settings, accept=accept, progress=progress, partial=partial)
    saved = None if save is None else measured.save(save)
    return evaluate(measured, against=then, force=force, margin=margin, saved=saved)


def check_request(margin: float, save: PathLike | None) -> None:
    """Raise InvalidRequestError for a value that cannot be used."""
    if not 0 < margin < 1:
        raise InvalidRequestError(
            f"The margin must be a share between 0 and 1, not {margin:g}.", next_step="Give one such as 0.05."
        )
    if save is not None:
        COMPARISONS.check_target(save)


def evaluate(
    measured: Measured,
    *,
    against: Measured | None = None,
    force: bool = False,
    margin: float = MARGIN,
    saved: Path | None = None,
) -> Comparison:
    """Compare kernels by measurements that were just taken or loaded from a file; nothing is measured."""
    everyone = pairs(measured.frame, everyone=True, margin=margin)
    table, failed, controls = side_by_side(measured), gates(measured), check_pairs(everyone)
    ranked = ranking(
        table,
        everyone,
        failed=[gate.kernel for gate in failed if gate.kernel is not None],
        trusted=controls.verdict != "differ",
    )
    return Comparison(
        measured=measured,
        table=table,
        pairs=pairs(measured.frame, reference=_reference(measured), margin=margin),
        ranking=ranked,
        controls=controls,
        gates=failed,
        diagnosis=diagnose(measured),
        conclusion=conclude(measured, ranked, controls=controls, gates=failed, margin=margin),
        regression=None if against is None else compare_with_saved(measured, against, margin=margin, force=force),
        saved=saved,
    )


def _reference(measured: Measured) -> str | None:
    """Return the first listed kernel that was measured."""
    there = set(measured.frame["kernel"])
    return next((name for name in measured.settings.kernels if name in there), None)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows
