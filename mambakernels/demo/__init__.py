"""The demo: an environment and a kernel per BLAS, one notebook on all of them, and a comparison, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mambakernels import errors, paths
from mambakernels.demo import belongings, making
from mambakernels.demo.belongings import OUTPUT
from mambakernels.engines import EngineName
from mambakernels.environments import Environment
from mambakernels.kernels.blas import Processors
from mambakernels.paths import PathLike, Root, absolute, storage_errors
from mambakernels.progress import Event, Progress, silent
from mambakernels.system.files import check_writable
from mambakernels.system.quantities import read_duration

if TYPE_CHECKING:
    from mambakernels.bench.comparison import Comparison
    from mambakernels.runs.records import Run

BUDGET = 30.0


@dataclass(frozen=True)
class Demo:
    """The environments, executed notebooks, comparison and files of a demo; `missing` says why a BLAS was left out.

    `measured_before` says that the comparison is that of an earlier demo, whose results are still there. Of one that
    was interrupted (`comparison.measured.interrupted`), only the measurements are written: earlier results stay.
    """

    environments: tuple[Environment, ...]
    runs: tuple[Run, ...]
    comparison: Comparison
    files: Mapping[str, Path]
    missing: Mapping[str, str]
    measured_before: bool

    @property
    def alarms(self) -> tuple[str, ...]:
        """The reasons why figures must not be used: wrong results, another library, a failed kernel or notebook."""
        failed = (f"The notebook failed on {run.kernel}: {run.error}" for run in self.runs if run.status != "ok")
        return (*self.comparison.conclusion.alarms, *failed)

    def check(self) -> None:
        """Raise unless every run succeeded and every kernel computed right results, on the BLAS of its environment."""
        failed = [run for run in self.runs if run.status != "ok"]
        if failed:
            raise errors.RunError(
                f"{len(failed)} of {len(self.runs)} runs failed: "
                + "; ".join(f"{run.kernel}: {run.error}" for run in failed),
                where=str(failed[0].path),
                next_step="Open that notebook: the last cell with output is the one that failed.",
            )
        if gates := self.comparison.gates:
            more = f" (and {len(gates) - 1} more)" if len(gates) > 1 else ""
            raise errors.BlasMismatchError(
                f"The BLAS of a kernel is broken, or not the one of its environment: {gates[-1].text}{more}",
                next_step="Make the demo's environments again: mambakernels demo --clean && mambakernels demo",
            )


@storage_errors
def demo(
    *,
    output: PathLike = OUTPUT,
    blas: Sequence[str] = (),
    engine: EngineName = "auto",
    channel: str = "auto",
    root: PathLike | None = None,
    parameters: Mapping[str, Any] | None = None,
    budget: float | str = BUDGET,
    again: bool = False,
    progress: Progress = silent,
) -> Demo:
    """Compare the BLAS libraries that are available here; write notebooks, results, a picture and a report to `output`.

    The environments are called `np-<blas>`. Their kernels run the notebook `blas.ipynb` with `parameters`, and are then
    measured in turns, for at most `budget` seconds. Run again, it does only what is missing; `again` measures again.
    The caller checks the outcome with `Demo.check()`.
    """
    from mambakernels.demo import results
    from mambakernels.runs import execute

    seconds = read_duration(budget, "budget")
    place, folder = Root.find(root), absolute(output)
    check_writable(folder)
    made, missing = making.make_environments(blas, channel=channel, engine=engine, root=place, progress=progress)
    with belongings.remembering(place, folder, results.names(made)):
        runs = execute.run(
            notebook(),
            kernels=[environment.name for environment in made],
            parameters={**default_parameters(), **(parameters or {})},
            output=folder,
            progress=progress,
        )
        known = None if again else results.load(folder, made)
        comparison = known or results.measure(made, budget=seconds, progress=progress)
        if not comparison.measured.interrupted:
            progress(Event("report", str(folder)))
        files = results.write(comparison, runs, folder, changed=known is None)
    return Demo(tuple(made), tuple(runs), comparison, files, missing, measured_before=known is not None)


def notebook() -> Path:
    """Return the notebook that a demo runs."""
    return paths.notebooks() / "blas.ipynb"


def default_parameters() -> dict[str, Any]:
    """Return the parameters that a demo passes to the notebook: it shows the road, and takes seconds."""
    operations = ["gemm", "dot", "solve", "svd", "fft", "exp"]
    return {"operations": operations, "sizes": [128, 256], "budget": 0.1, "threads": Processors.here().threads}
