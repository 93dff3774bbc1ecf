"""The command line: reads arguments, calls the public functions, renders what they return. No logic of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mambakernels import tables

if TYPE_CHECKING:
    from mambakernels.runs.records import Run
    from mambakernels.showcase import Demo

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn conda environments into Jupyter kernels, and run one notebook on all of them.",
)
channel_app = typer.Typer(no_args_is_help=True, help="The wheels channel: conda packages built here from wheels.")
app.add_typer(channel_app, name="channel")


class EngineChoice(str, Enum):
    """The engines, as options."""

    auto = "auto"
    rattler = "rattler"
    micromamba = "micromamba"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
RootOption = Annotated[
    Path | None, typer.Option("--root", help="Where environments live (or MAMBAKERNELS_ROOT).", show_default=False)
]
EngineOption = Annotated[EngineChoice, typer.Option(help="What solves and links packages.")]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option("--channel", "-c", help="auto, wheels, conda-forge, a URL or a folder; may be given again."),
]
ParameterOption = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", help="key=value of the notebook; may be given again.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@app.callback(invoke_without_command=True)
def _main(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001 (see __main__)
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"mambakernels {installed('mambakernels')}")
        raise typer.Exit


@app.command()
def demo(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where results go.")] = Path("mambakernels-demo"),
    blas: Annotated[list[str] | None, typer.Option(help="Only this BLAS; may be given again.")] = None,
    engine: EngineOption = EngineChoice.auto,
    channel: Annotated[str, typer.Option("--channel", "-c", help="auto, wheels, conda-forge, a URL.")] = "auto",
    root: RootOption = None,
    parameter: ParameterOption = None,
    clean: Annotated[bool, typer.Option("--clean", help="Remove what an earlier demo made.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare NumPy on every BLAS that can be had here: environments, kernels, one notebook on all, a report."""
    import mambakernels
    from mambakernels import display, showcase

    if clean:
        removed = mambakernels.clean_demo(root=root)
        typer.echo(f"Removed {', '.join(removed)} and their kernels." if removed else "There was nothing to remove.")
        return
    clock = display.Clock()
    with display.progress(quiet=quiet) as progress:
        result = mambakernels.demo(
            output=output,
            blas=blas or (),
            engine=engine.value,
            channel=channel,
            root=root,
            parameters=mambakernels.parse_parameters(showcase.notebook(), parameter or ()),
            progress=progress,
        )
    _show_demo(result, clock)
    result.check()


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The environment's name, and its kernel's.")] = "",
    specs: Annotated[list[str] | None, typer.Argument(help="Match specs: python=3.11 numpy 'libblas=*=*mkl'")] = None,
    *,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="An environment.yml.")] = None,
    engine: EngineOption = EngineChoice.auto,
    channel: ChannelOption = None,
    root: RootOption = None,
    kernel: Annotated[bool, typer.Option(help="Register it as a Jupyter kernel.")] = True,
    quiet: Quiet = False,
) -> None:
    """Make an environment and register it as a Jupyter kernel; one that is there already is left as it is."""
    import mambakernels
    from mambakernels import display

    clock = display.Clock()
    with display.progress(quiet=quiet) as progress:
        made = mambakernels.create(
            name,
            specs or (),
            file=file,
            engine=engine.value,
            channel=channel or (),
            root=root,
            register=kernel,
            progress=progress,
        )
    typer.echo(f"{made.name}: {len(made.packages)} packages with {made.engine} in {clock}\n{made.prefix}")


@app.command("list")
def list_(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """List the environments."""
    import mambakernels

    found = mambakernels.list_environments(root=root)
    if as_json:
        _print_json([{**_plain(item), "blas": item.blas} for item in found])
        return
    rows = [(item.name, item.blas or "", str(len(item.packages)), item.engine, str(item.prefix)) for item in found]
    tables.print_table(
        ("environment", "blas", "packages", "engine", "prefix"), rows, empty="There are no environments yet."
    )


@app.command()
def remove(names: list[str], *, root: RootOption = None) -> None:
    """Remove environments together with their kernels."""
    import mambakernels

    for name in names:
        mambakernels.get(name, root=root)  # a name that is wrong removes nothing
    for name in names:
        mambakernels.remove(name, root=root)
        typer.echo(f"Removed {name}.")


@app.command()
def kernels(*, as_json: AsJson = False) -> None:
    """List the kernels that mambakernels registered."""
    import mambakernels

    found = mambakernels.list_kernels()
    if as_json:
        _print_json([_plain(item) for item in found])
        return
    rows = [(item.name, item.display_name, item.environment, "yes" if item.working else "NO") for item in found]
    tables.print_table(("kernel", "display name", "environment", "working"), rows, empty="There are no kernels yet.")


@app.command()
def register(
    name: Annotated[str, typer.Argument(help="The environment.")],
    *,
    kernel: Annotated[str | None, typer.Option(help="The kernel's name, if not the environment's.")] = None,
    display_name: Annotated[str | None, typer.Option(help="What the launcher shows.")] = None,
    env: Annotated[list[str] | None, typer.Option(help="NAME=VALUE to set in the kernel; may be given again.")] = None,
    root: RootOption = None,
) -> None:
    """Register an environment's kernels with Jupyter; again after its activation changed."""
    import mambakernels

    variables = dict(_assignment(item) for item in env or ())
    for spec in mambakernels.register(name, kernel=kernel, display_name=display_name, env=variables, root=root):
        typer.echo(f"{spec.name}: {spec.display_name}\n{spec.path}")


@app.command()
def unregister(names: list[str]) -> None:
    """Remove kernels that mambakernels registered; their environments stay."""
    import mambakernels

    mambakernels.unregister(*names)
    typer.echo(f"Unregistered {', '.join(names)}.")


@app.command()
def run(
    notebook: Path,
    *,
    kernel: Annotated[list[str], typer.Option("--kernel", "-k", help="A kernel to run it on; may be given again.")],
    parameter: ParameterOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the executed notebooks go.")] = Path(),
    timeout: Annotated[float | None, typer.Option(help="Seconds that one cell may take.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Leave out runs whose record is there.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Execute a notebook on each kernel, with parameters, and keep the executed notebooks."""
    import mambakernels
    from mambakernels import display

    with display.progress(quiet=quiet or as_json) as progress:
        runs = mambakernels.run(
            notebook,
            kernels=kernel,
            parameters=mambakernels.parse_parameters(notebook, parameter or ()),
            output=output,
            timeout=timeout,
            resume=resume,
            progress=progress,
        )
    if as_json:
        _print_json([_plain(item) for item in runs])
    else:
        _show_runs(runs)
    if any(item.status != "ok" for item in runs):
        raise typer.Exit(1)


@app.command()
def collect(
    notebooks: Annotated[list[str], typer.Argument(help="Executed notebooks, folders of them, or patterns.")],
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .csv or .parquet file to write.")] = None,
    as_json: AsJson = False,
) -> None:
    """Collect the measurements of executed notebooks into one table."""
    import mambakernels

    frame = mambakernels.collect(*notebooks)
    if output is not None:
        from mambakernels.runs import results

        results.save(frame, output)
        typer.echo(f"{len(frame)} measurements in {output}")
    elif as_json:
        typer.echo(frame.to_json(orient="records"))
    else:
        tables.print_results(frame)


@app.command()
def info(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """Show what mambakernels would use here: places, engine, channels, BLAS libraries."""
    import mambakernels

    facts = mambakernels.info(root=root)
    if as_json:
        _print_json(facts)
        return
    for key, value in facts.items():
        shown = "; ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{key.replace('_', ' ') + ':':18}{shown if shown is not None else '-'}")


@channel_app.command("build")
def channel_build(
    specs: Annotated[list[str] | None, typer.Argument(help="Packages to add: pandas 'libblas=*=*mkl'")] = None,
    *,
    update: Annotated[bool, typer.Option("--update", help="Look for newer versions.")] = False,
    root: RootOption = None,
    quiet: Quiet = False,
) -> None:
    """Build the wheels channel, or add packages to it."""
    import mambakernels
    from mambakernels import display

    clock = display.Clock()
    with display.progress(quiet=quiet) as progress:
        url = mambakernels.build_channel(specs or (), update=update, root=root, progress=progress)
    typer.echo(f"{len(mambakernels.list_channel(root=root))} packages in {clock}\n{url}")


@channel_app.command("list")
def channel_list(*, as_json: AsJson = False, root: RootOption = None) -> None:
    """List the packages of the wheels channel."""
    import mambakernels

    found = mambakernels.list_channel(root=root)
    if as_json:
        _print_json(found)
        return
    rows = [
        (item["name"], item["version"], item["build"], item.get("license") or "", _size(item["size"])) for item in found
    ]
    tables.print_table(
        ("package", "version", "build", "licence", "size"), rows, empty="The wheels channel is not built yet."
    )


@channel_app.command("clean")
def channel_clean(*, root: RootOption = None) -> None:
    """Remove the wheels channel and the package cache; environments keep working."""
    import mambakernels

    typer.echo(f"Freed {_size(mambakernels.clean_channel(root=root))}.")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    return name, value


def _plain(item: Any) -> dict[str, Any]:
    """Return a dataclass as JSON can hold it."""
    assert is_dataclass(item)
    assert not isinstance(item, type)
    content: dict[str, Any] = json.loads(json.dumps(asdict(item), default=str))
    if isinstance(content.get("root"), dict):
        content["root"] = content["root"]["path"]
    return content


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _show_runs(runs: Sequence[Run]) -> None:
    rows = [(item.kernel, item.status, f"{item.seconds:.1f} s", str(item.path)) for item in runs]
    tables.print_table(("kernel", "status", "time", "executed notebook"), rows, empty="")
    for item in runs:
        if item.error is not None:
            typer.echo(f"{item.kernel}: {item.error}", err=True)
            if item.error.stderr:
                typer.echo(f"{item.kernel} said on stderr:\n{item.error.stderr}", err=True)


def _show_demo(result: Demo, clock: Any) -> None:
    tables.print_results(result.frame)
    for name, reason in result.missing.items():
        typer.echo(f"Without {name}: {reason}.")
    typer.echo(f"Done in {clock}. Notebooks and results are in {next(iter(result.files.values())).parent}:")
    for path in result.files.values():
        typer.echo(f"  {path.name}")
    typer.echo("Open JupyterLab and choose a kernel: jupyter lab   (if missing: pip install jupyterlab)")
