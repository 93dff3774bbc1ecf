"""The demo: an environment and a kernel per BLAS, one notebook on all of them, and a report, in one call."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mambakernels import channels, engines, environments, errors, kernels, paths
from mambakernels.channels import blas_libraries
from mambakernels.engines import EngineName
from mambakernels.environments import Environment
from mambakernels.kernels import lifecycle
from mambakernels.kernels.blas import Processors
from mambakernels.paths import Root, same_place, storage_errors
from mambakernels.progress import Event, Progress, silent
from mambakernels.system.files import write_atomically
from mambakernels.system.locks import locked

if TYPE_CHECKING:
    import pandas as pd

    from mambakernels.runs.records import Run

OUTPUT = Path("mambakernels-demo")
_RECORD = "demo.json"


@dataclass(frozen=True)
class Demo:
    """The environments, runs, measurements and files of a demo; `missing` says why a BLAS was left out."""

    environments: tuple[Environment, ...]
    runs: tuple[Run, ...]
    frame: pd.DataFrame
    files: Mapping[str, Path]
    missing: Mapping[str, str]

    def check(self) -> None:
        """Raise unless every run succeeded and every kernel ran on the BLAS of its environment."""
        failed = [run for run in self.runs if run.status != "ok"]
        if failed:
            raise errors.RunError(
                f"{len(failed)} of {len(self.runs)} runs failed: "
                + "; ".join(f"{run.kernel}: {run.error}" for run in failed),
                where=str(failed[0].path),
                next_step="Open that notebook: the last cell with output is the one that failed.",
            )
        check_blas(self.frame, self.environments)


@storage_errors
def demo(
    *,
    output: str | os.PathLike[str] = OUTPUT,
    blas: Sequence[str] = (),
    engine: EngineName = "auto",
    channel: str = "auto",
    root: str | os.PathLike[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Demo:
    """Compare the BLAS libraries that are available here; write notebooks, results, a plot and a report to `output`.

    The environments are called `np-<blas>`. Run again, it does only what is missing. The caller checks the outcome
    with `Demo.check()`.
    """
    from mambakernels.bench import published
    from mambakernels.runs import execute

    place, folder = Root.find(root), Path(output).expanduser().absolute()
    _, why = engines.choose(engine, place, progress=progress)
    progress(Event("engine", why))
    chosen = channels.choose(channel, place)
    progress(Event("channel", chosen.why))
    names, missing = _choose(blas, chosen.is_wheels)
    if chosen.is_wheels and names:
        missing = {**missing, **_provide(names, place, progress)}
    made = _create([name for name in names if name not in missing], chosen, engine, place, progress)
    if not made:
        raise errors.ChannelError("No BLAS is available here: " + "; ".join(missing.values()) + ".")
    for environment in made:
        progress(Event("register", environment.name))
        kernels.register(environment.name, root=place)
    runs = execute.run(
        notebook(),
        kernels=[environment.name for environment in made],
        parameters={**default_parameters(), **(parameters or {})},
        output=folder,
        progress=progress,
    )
    progress(Event("report", str(folder)))
    frame = published.measurements([str(run.path) for run in runs if run.path.exists()])
    return Demo(tuple(made), tuple(runs), frame, _write(frame, runs, folder), missing)


@storage_errors
def clean_demo(*, root: str | os.PathLike[str] | None = None) -> list[str]:
    """Remove the environments that demos made, and their kernelspecs; return their names. Results stay."""
    place = Root.find(root)
    removed = []
    for name in _recorded(place):
        prefix = place.environments / name
        try:
            if environments.get(name, place).specs != blas_libraries.numpy_specs(name.removeprefix("np-")):
                continue  # another environment has this name now
            lifecycle.remove(name, root=place)
        except errors.NotFoundError:  # removed by hand, perhaps without its kernelspecs
            kernels.unregister(*(spec.name for spec in kernels.list() if same_place(spec.prefix, prefix)))
        removed.append(name)
    (place.path / _RECORD).unlink(missing_ok=True)
    return removed


def notebook() -> Path:
    """Return the notebook that a demo runs."""
    return paths.notebooks() / "blas.ipynb"


def default_parameters() -> dict[str, Any]:
    """Return the parameters that a demo passes to the notebook: the slowest library takes seconds with them."""
    return {"sizes": [128, 256, 512], "budget": 0.4, "threads": Processors.here().threads}


def check_blas(frame: pd.DataFrame, made: Sequence[Environment]) -> None:
    """Raise BlasMismatchError if a kernel's measurements did not come from the BLAS of its environment."""
    wrong = []
    for environment in made:
        ran = set(frame.loc[frame["kernel"] == environment.name, "blas"])
        if ran != {environment.blas}:
            wrong.append(f"{environment.name} ran on {', '.join(sorted(map(str, ran))) or 'nothing'}")
    if wrong:
        raise errors.BlasMismatchError(
            "A kernel did not run on the BLAS of its environment: " + "; ".join(wrong) + ".",
            next_step="Remove the demo's environments, then run the demo again: mambakernels demo --clean",
        )


def _choose(asked: Sequence[str], from_wheels: bool) -> tuple[list[str], dict[str, str]]:  # noqa: FBT001 (private)
    """Return the BLAS libraries to compare, and the reasons why others are left out."""
    known = list(blas_libraries.BY_NAME) if from_wheels else list(blas_libraries.CONDA_FORGE.get(paths.subdir(), ()))
    if unknown := [name for name in asked if name not in known]:
        raise errors.InvalidRequestError(
            f"No BLAS called {', '.join(unknown)} is available here.", next_step=f"Available: {', '.join(known)}."
        )
    wanted = list(asked) or known
    reasons = {name: blas_libraries.why_not(blas_libraries.BY_NAME[name]) for name in wanted} if from_wheels else {}
    missing = {name: reason for name, reason in reasons.items() if reason}
    return [name for name in wanted if name not in missing], missing


def _provide(names: Sequence[str], root: Root, progress: Progress) -> dict[str, str]:
    """Build the channel for all libraries at once; return the reasons why some are unavailable."""
    from mambakernels.channels import wheels

    state = wheels.ensure(root, [_libblas(name) for name in names], progress=progress)
    return {name: reason for name, reason in state.unavailable.items() if name in names}


def _create(
    names: Sequence[str], channel: channels.Channel, engine: EngineName, root: Root, progress: Progress
) -> list[Environment]:
    """Create an environment per BLAS, in parallel; record their names first, so that `clean_demo` finds them."""
    specs = [
        environments.EnvironmentSpec(f"np-{name}", blas_libraries.numpy_specs(name), (channel.name,), engine)
        for name in names
    ]
    for spec in specs:
        if not (root.environments / spec.name).exists():
            _remember(root, spec.name)
    made = environments.create_in_parallel(specs, root=root, progress=_without_choices(progress))
    if others := [environment for environment in made if channel.url not in environment.channels]:
        raise errors.InvalidRequestError(
            f"{others[0].name} comes from another channel than {channel.name}, so the comparison would not be fair.",
            where=", ".join(others[0].channels),
            next_step=f"Remove it, then run the demo again: mambakernels remove {others[0].name}",
        )
    return made


def _without_choices(progress: Progress) -> Progress:
    """Leave out the events that were reported for all environments already."""
    return lambda event: None if event.step in {"engine", "channel"} else progress(event)


def _libblas(blas: str) -> str:
    return f"libblas=*=*{blas}"


def _recorded(root: Root) -> list[str]:
    try:
        names: list[str] = json.loads((root.path / _RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return names


def _remember(root: Root, name: str) -> None:
    with locked(root, "demo"):
        names = sorted({*_recorded(root), name})
        write_atomically(root.path / _RECORD, json.dumps(names))


def _write(frame: pd.DataFrame, runs: Sequence[Run], folder: Path) -> dict[str, Path]:
    """Write the results, the report and, if there is a rate, the plot; return their paths."""
    from mambakernels import plots
    from mambakernels.bench import published
    from mambakernels.blas_report import html

    files = {"results": folder / "results.csv", "plot": folder / "gflops.png", "report": folder / "report.html"}
    if frame["gflops"].isna().all():
        del files["plot"]
    before = files["results"].read_bytes() if files["results"].exists() else b""
    published.save(frame, files["results"])
    if before == files["results"].read_bytes() and _is_newer(files["report"], [Path(str(run.path)) for run in runs]):
        return files  # drawing takes longer than the rest of a demo that has nothing to do
    if "plot" in files:
        write_atomically(files["plot"], plots.png(plots.gflops_by_size(frame)))
    html.write_blas_report(frame, runs, files["report"])
    return files


def _is_newer(file: Path, others: Sequence[Path]) -> bool:
    """Whether a file exists and was written after all the others."""
    return file.exists() and all(file.stat().st_mtime_ns > other.stat().st_mtime_ns for other in others)
