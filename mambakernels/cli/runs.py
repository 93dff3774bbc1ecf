"""Commands that execute notebooks: run, parameters."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import mambakernels
from mambakernels.cli import live, tables
from mambakernels.cli.app import AsJson, KernelsOption, ParameterOption, Quiet, app, kernel_names, plain, print_json
from mambakernels.runs.outputs import OUTPUT
from mambakernels.runs.typed import typed_exclusions, typed_grid, typed_parameters
from mambakernels.runs.values import encode_value
from mambakernels.system import quoting
from mambakernels.system.quantities import amount, duration_in_words

if TYPE_CHECKING:
    from mambakernels.runs.preview import Plan, PlannedRun
    from mambakernels.runs.records import Run

_FEW = 30  # runs that a table shows
_TIME = "TIME"


@app.command()
def run(
    notebooks: Annotated[
        list[str],
        typer.Argument(help="Notebooks, folders of them or patterns, which are not changed; or one matrix.toml."),
    ],
    *,
    kernel: KernelsOption = None,
    parameter: ParameterOption = None,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", "-g", metavar="KEY=VALUES", help="Several values: n=1,2 or n=256:4096:log2; repeat."),
    ] = None,
    zipped: Annotated[
        list[str] | None, typer.Option("--zip", metavar="KEY,KEY", help="Take the values of these together; repeat.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="KEY=VALUE,…", help="Leave out, such as n=1,kernel=np-b; repeat."),
    ] = None,
    repeat: Annotated[int | None, typer.Option(help="How often each combination runs.")] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="The folder for the executed notebooks, or its address (s3://…).",
            show_default="runs",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="The kernels' working directory, by default each notebook's folder.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="How many runs execute at once.", show_default="1")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Run on the workers of a Dask scheduler (tcp://…), or local."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="One run at a time, while nothing else of ours is measured here.")
    ] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar=_TIME, help="The most time for one cell: 90, 10m or 2h.")
    ] = None,
    run_timeout: Annotated[str | None, typer.Option(metavar=_TIME, help="The most time for one run.")] = None,
    total_timeout: Annotated[str | None, typer.Option(metavar=_TIME, help="The most time for all.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="The most memory for one run: 500M or 4G.")] = None,
    retries: Annotated[
        int | None, typer.Option(help="How often a run is repeated whose kernel died or did not start.")
    ] = None,
    retry_cells: Annotated[bool, typer.Option("--retry-cells", help="Also repeat a run whose cell failed.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Begin no run after one has failed.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only repeat the runs that failed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Repeat the runs that are done, too.")] = False,
    fork: Annotated[
        bool,
        typer.Option(" /--no-fork", help="Start each kernel without forking a warm process.", show_default=False),
    ] = True,
    html: Annotated[bool, typer.Option("--html", help="Write each failed notebook as a page, too.")] = False,
    junit: Annotated[Path | None, typer.Option(help="A file for a JUnit report, which CI systems read.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the runs and an estimate, and run nothing.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Execute notebooks on kernels with parameters. The same command again does what is missing or has changed.

    An option takes the place of the same key in a matrix.toml.
    """
    file = _matrix_file(notebooks)
    matrix = {
        "notebooks": None if file else notebooks,
        "kernels": None if file and not kernel else kernel_names(kernel),
        "parameters": typed_parameters(parameter or ()),
        "grid": typed_grid(grid or ()),
        "zipped": [[name.strip() for name in group.split(",")] for group in zipped or ()],
        "exclude": typed_exclusions(exclude or ()),
        "repeat": repeat,
        "output": output,
        "folder": folder,
        "jobs": jobs,
        "failed": failed,
        "force": force,
    }
    schedule = {
        "measure": measure,
        "timeout": timeout,
        "run_timeout": run_timeout,
        "total_timeout": total_timeout,
        "memory": memory,
        "retries": retries,
        "retry_cells": retry_cells,
        "fail_fast": fail_fast,
        "html": html,
        "junit": junit,
        "executor": dask,
    }
    options = {**(mambakernels.read_matrix(file) if file else {}), **_given({**matrix, **schedule})}
    if not fork:
        options["fork"] = False
    if dry_run:
        _show_plan(
            mambakernels.plan(**{name: value for name, value in options.items() if name in matrix}), as_json=as_json
        )
    else:
        _execute(options, as_json=as_json, quiet=quiet)


@app.command()
def parameters(
    notebook: Annotated[Path, typer.Argument(help="The notebook.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show the parameters that a notebook takes.

    Each has its type, its default and its comment.
    """
    found = mambakernels.parameters(notebook)
    if as_json:
        print_json(
            [
                {
                    "name": one.name,
                    "type": one.kind if one.is_settable else None,
                    "default": encode_value(one.default) if one.is_settable else None,
                    "help": one.help,
                    "is_settable": one.is_settable,
                }
                for one in found
            ]
        )
        return
    rows = [
        (one.name, one.kind, repr(one.default), one.help)
        if one.is_settable
        else (one.name, "-", "not a literal, so it cannot be set", one.help)
        for one in found
    ]
    none = "It has no parameters: tag the cell that assigns them `parameters`, with literals such as n = 512."
    tables.print_table(("parameter", "type", "default", "what it is"), rows, empty=none)
    settable = next((one for one in found if one.is_settable), None)
    if settable is not None:
        typer.echo(f"To set one: mambakernels run {notebook} -k KERNEL -p {settable.name}=VALUE")


def _matrix_file(notebooks: Sequence[str]) -> str | None:
    """Return the matrix.toml that was given in place of notebooks, if one was."""
    files = [name for name in notebooks if name.endswith(".toml")]
    if files and len(notebooks) > 1:
        raise typer.BadParameter(f"{files[0]} names the notebooks itself: give it alone.", param_hint="NOTEBOOKS")
    return files[0] if files else None


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given; the others have the defaults of the function."""
    return {
        name: value for name, value in options.items() if not (value is None or value is False or value in ([], {}))
    }


def _execute(options: Mapping[str, Any], *, as_json: bool, quiet: bool) -> None:
    finished: list[Run] = []
    try:
        with live.watching(quiet=quiet or as_json) as watch:
            runs = mambakernels.run(**options, on_run=finished.append, progress=watch)
    except SystemExit:  # a signal; what is finished stays
        _show_runs(finished, as_json=as_json)
        ended = [run for run in finished if run.status != "interrupted"]
        typer.echo(f"{len(ended)} of {watch.total} runs finished. The same command does the rest.", err=as_json)
        raise
    _show_runs(runs, as_json=as_json)
    if not as_json:
        _show_next(str(options.get("output", OUTPUT)), watch)
    if any(item.status != "ok" for item in runs):
        raise typer.Exit(1)


def _show_runs(runs: Sequence[Run], *, as_json: bool) -> None:
    if as_json:
        print_json([plain(item) | {"parameters": encode_value(item.parameters)} for item in runs])
    else:
        _show_in_words(runs)
    _show_on_github(runs)  # last: its file is the only one of these that may not be there


def _show_in_words(runs: Sequence[Run]) -> None:
    from mambakernels.runs.failures import explain_failures

    if len(runs) <= _FEW:
        rows = [(item.kernel, item.status, duration_in_words(item.seconds), str(item.path)) for item in runs]
        tables.print_table(("kernel", "status", "time", "executed notebook"), rows)
    else:
        counts = Counter(item.status for item in runs)
        typer.echo(f"{len(runs)} runs: {', '.join(f'{number} {status}' for status, number in counts.items())}.")
    if explained := explain_failures(runs):
        typer.echo(f"\n{explained}", err=True)


def _show_on_github(runs: Sequence[Run]) -> None:
    """Show the runs on the page of the step, and failures at the notebooks' lines, in a step of GitHub Actions."""
    from mambakernels.runs import github

    file = os.environ.get(github.SUMMARY)
    if file:
        github.append_summary(runs, Path(file))
    if os.environ.get(github.ACTIONS) == "true":
        for command in github.error_commands(runs, workspace=Path(os.environ.get("GITHUB_WORKSPACE", Path.cwd()))):
            typer.echo(command, err=True)


def _show_next(output: str, watch: live.Watch) -> None:
    """Say where the index is, and what to type next."""
    from mambakernels.runs.listing import PAGE, index_of

    if watch.total and watch.outcomes["already done"] == watch.total:
        one = watch.total == 1
        what, depends = ("The run is", "it depends") if one else (f"All {watch.total} runs are", "they depend")
        typer.echo(f"{what} done already, and nothing that {depends} on has changed. To repeat: --force")
    index = index_of(output)
    if index is not None:
        typer.echo(f"All runs in this folder: {index}")
    elif watch.total:
        typer.echo(f"No index was written: {PAGE} in {output} is a file of yours.")
    typer.echo(f"Their results as one table: mambakernels collect {quoting.quote(output)}")


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        runs = [plain(one) | {"parameters": encode_value(one.parameters), "label": one.label} for one in plan.runs]
        print_json({"runs": runs, "jobs": plan.jobs, "seconds": plan.seconds, "unknown": plan.unknown})
        return
    rows = [(one.label, _STATES[one.state], _estimate(one) if one.runs else "-") for one in plan.runs]
    tables.print_table(("run", "state", "estimate"), rows, empty="There is nothing to run.")
    if not plan.to_run:
        typer.echo("Nothing would run." + (" To repeat what is done: --force" if plan.runs else ""))
        return
    at_once = f", {plan.jobs} at once" if plan.jobs > 1 else ""
    unknown = f"; {plan.unknown} of them have not run on their kernel before" if plan.unknown else ""
    total = "unknown" if plan.seconds is None else f"about {duration_in_words(plan.seconds)}{unknown}"
    typer.echo(
        f"{len(plan.to_run)} of {amount(len(plan.runs), 'run')} to run{at_once}. Time: {total}. Nothing was run."
    )


def _estimate(one: PlannedRun) -> str:
    return "unknown" if one.estimate is None else duration_in_words(one.estimate)


_STATES = {
    "new": "to run",
    "done": "done",
    "changed": "changed: to run again",
    "failed": "failed before",
    "interrupted": "interrupted before",
    "running": "running, or its runner was killed",
}
