"""The command that reports what is wrong with kernels and environments, and repairs what is safe: doctor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import typer

import mambakernels
from mambakernels.cli import bars
from mambakernels.cli.app import AsJson, Engine, Quiet, RootOption, app, plain, print_json
from mambakernels.system.quantities import amount

if TYPE_CHECKING:
    from mambakernels.doctor import Examination, Finding, Repair


@app.command()
def doctor(
    names: Annotated[
        list[str] | None, typer.Argument(help="Kernels or environments; their kernels are started too.")
    ] = None,
    *,
    start: Annotated[bool, typer.Option("--start", help="Start every kernel as well.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Carry out the repairs that are safe.")] = False,
    engine: Annotated[Engine, typer.Option(help="With --fix: the program that solves and links packages.")] = "auto",
    root: RootOption = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find what is wrong with kernels and environments.

    Each finding has its reason and the command that repairs it. The exit status is 1 while an error or a warning
    is left.
    """
    with bars.progress(quiet=quiet or as_json) as progress:
        found = mambakernels.doctor(*names or (), start=start, fix=fix, engine=engine, root=root, progress=progress)
    if as_json:
        for line in _repaired(found.repairs):
            typer.echo(line, err=True)
        print_json([plain(finding) for finding in found.findings])
    else:
        typer.echo("\n".join([*_repaired(found.repairs), *_listed(found.findings), *_summary(found)]))
    if not found.healthy:
        raise typer.Exit(1)


def _repaired(repairs: Iterable[Repair]) -> Iterator[str]:
    for item in repairs:
        yield f"Failed ({item.done}): {item.error}" if item.error else f"Repaired: {item.done}"


def _listed(findings: Sequence[Finding]) -> Iterator[str]:
    for title, group in groupby(sorted(findings, key=_title), key=_title):
        yield f"\n{title}"
        for finding in group:
            yield f"  {finding.severity}: {finding.text}"
            yield indent(finding.why, "    ")
            yield f"    -> {finding.remedy}"


def _title(finding: Finding) -> str:
    if finding.kernel is not None:
        return f"kernel {finding.kernel}"
    return f"environment {finding.environment}" if finding.environment is not None else "this session"


def _summary(found: Examination) -> Iterator[str]:
    counts = Counter(finding.severity for finding in found.findings)
    shown = [amount(counts[severity], severity) for severity in ("error", "warning", "note") if counts[severity]]
    examined = f"{amount(found.kernels, 'kernel')} examined: {', '.join(shown) or 'nothing to report'}."
    yield f"\n{examined}" if found.findings else examined
    if any(finding.fixable for finding in found.findings) and not found.repairs:
        yield "To repair what is safe: mambakernels doctor --fix"
    if not found.started:
        yield "No kernel was started; --start starts each, and shows what runs in it."
