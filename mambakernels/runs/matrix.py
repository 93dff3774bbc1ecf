"""The matrix of notebooks, kernels, parameters and repetitions, planned as tasks before anything runs."""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mambakernels.errors import InvalidRequestError, NotFoundError
from mambakernels.paths import PathLike, absolute
from mambakernels.runs.kernelspecs import Kernel, find_kernels, known_kernels
from mambakernels.runs.notebooks import Notebook, cells_sha256, find_notebooks
from mambakernels.runs.outputs import Place
from mambakernels.runs.parameters import Parameters, read_parameters
from mambakernels.runs.records import Identity
from mambakernels.runs.tasks import Limits, Task, record_names
from mambakernels.runs.typed import Typed, TypedValues
from mambakernels.runs.values import encode_value

Values = Mapping[str, Any]

_NAMES = frozenset({"kernel", "notebook"})  # what else a combination to leave out can name


@dataclass(frozen=True)
class Matrix:
    """Runs to make of notebooks, kernels and parameters.

    `notebooks` are files, folders or glob patterns, `kernels` names or patterns, or `all`. `parameters` holds values
    for every run, `grid` several for a name: every combination is a run. The names in one group of `zipped` take their
    values together, the first with the first. A run that has all the values of a mapping in `exclude` is left out;
    there texts are patterns, and `notebook` and `kernel` are names, too. Values may be `Typed`: each notebook's own
    parameter then says how they are read.
    """

    notebooks: Sequence[PathLike]
    kernels: Sequence[str]
    parameters: Values = field(default_factory=dict)
    grid: Mapping[str, TypedValues | Sequence[Any]] = field(default_factory=dict)
    zipped: Sequence[Sequence[str]] = ()
    exclude: Sequence[Values] = ()
    repeat: int = 1


def expand(matrix: Matrix, *, output: Place, folder: Path | None, limits: Limits) -> list[Task]:
    """Return the tasks of a matrix, kernels in turns: those of one repetition and combination follow each other.

    A parameter that one of several notebooks does not have is left out there; one that none has raises
    `InvalidRequestError`, as does a value that does not fit. `NotFoundError` if there is no such notebook or kernel.
    """
    if matrix.repeat < 1:
        raise InvalidRequestError(f"A notebook cannot run {matrix.repeat} times.", next_step="Give 1 or more.")
    notebooks = [(one, read_parameters(one)) for one in find_notebooks(matrix.notebooks)]
    kernels = find_kernels(matrix.kernels)
    _check_names(matrix, [known for _, known in notebooks])
    roots = [place for place in map(absolute, matrix.notebooks) if place.is_dir()]
    series = [list(_series(matrix, *one, kernels=kernels)) for one in notebooks]
    tasks: list[Task] = []
    taken: set[str] = set()
    for repeat, runs in itertools.product(range(1, matrix.repeat + 1), series):
        for run in runs:
            notebook, kernel = run.notebook, run.kernel
            identity = Identity(run.cells, run.values, kernel.fingerprint, kernel.packages, repeat)
            relative = _relative(notebook.path, roots)
            names = record_names(relative, kernel.name, swept=run.swept, given=run.given, identity=identity)
            names = tuple(name for name in names if name not in taken)
            taken.add(names[0])
            working = _existing(folder or notebook.path.parent)
            tasks.append(Task(notebook, kernel, run.given, identity, names, output, working, limits))
    return tasks


@dataclass(frozen=True)
class _Planned:
    """A run of a matrix without its repetitions: `swept` is the part of `given` that the grid sets."""

    notebook: Notebook
    kernel: Kernel
    cells: str
    swept: Values
    given: Values
    values: Values


def _series(matrix: Matrix, notebook: Notebook, known: Parameters, *, kernels: Sequence[Kernel]) -> Iterator[_Planned]:
    """Yield the runs of one notebook, kernels in turns."""
    cells = cells_sha256(notebook.content)
    fitting = _of_language(kernels, notebook, matrix.kernels)
    excluded = [_as_recorded(known, one) for one in matrix.exclude]
    for swept in _settable(matrix, known):
        given = {**_checked(known, matrix.parameters), **swept}
        values = encode_value(known.resolve(given))
        for kernel in fitting:
            named = {**values, "kernel": kernel.name, "notebook": notebook.path.name}
            if not any(_fits(named, one) for one in excluded):
                yield _Planned(notebook, kernel, cells, swept, given, values)


def _check_names(matrix: Matrix, known: Sequence[Parameters]) -> None:
    """Raise `InvalidRequestError` for a name that is no parameter of any notebook."""
    excluded = [name for one in matrix.exclude for name in one if name not in _NAMES]
    for name in dict.fromkeys([*matrix.parameters, *matrix.grid, *excluded]):
        if not any(parameters.has(name) for parameters in known):
            known[0].get(name)  # raises, with the names that it has


def _combinations(grid: Mapping[str, Sequence[Any]], zipped: Sequence[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Yield each combination of a grid, the last name varying fastest."""
    groups = {name: tuple(group) for group in zipped for name in group}
    axes = []
    for names in dict.fromkeys(groups.get(name, (name,)) for name in grid):
        missing = [name for name in names if name not in grid]
        if missing:
            raise InvalidRequestError(f"'{missing[0]}' has no values to zip.", next_step="Give it several with -g.")
        lengths = {len(grid[name]) for name in names}
        if 0 in lengths:
            empty = next(name for name in names if not grid[name])
            advice = "A range goes up from 1 or more, such as 1:8 or 100:500:100."
            raise InvalidRequestError(f"There is no value in the list or range for '{empty}'.", next_step=advice)
        if len(lengths) > 1:
            counts = ", ".join(f"{name} has {len(grid[name])}" for name in names)
            advice = "Give each the same number of values."
            raise InvalidRequestError(f"The values do not fit together: {counts}.", next_step=advice)
        columns = zip(*(grid[name] for name in names), strict=True)
        axes.append([dict(zip(names, values, strict=True)) for values in columns])
    for parts in itertools.product(*axes):
        yield {name: value for part in parts for name, value in part.items()}


def _settable(matrix: Matrix, known: Parameters) -> list[dict[str, Any]]:
    """Return the combinations of the parameters that a notebook has, each once and with checked values."""
    grid = {name: known.several(name, values) for name, values in matrix.grid.items()}
    checked = (_checked(known, combination) for combination in _combinations(grid, matrix.zipped))
    return list({json.dumps(encode_value(one), sort_keys=True): one for one in checked}.values())


def _checked(known: Parameters, values: Values) -> dict[str, Any]:
    there = {name: value for name, value in values.items() if known.has(name)}
    return {known.get(name).name: known.check(name, value) for name, value in there.items()}


def _of_language(kernels: Sequence[Kernel], notebook: Notebook, named: Sequence[str]) -> list[Kernel]:
    """Return the kernels of a notebook's language, and those that were named rather than matched by a pattern.

    `InvalidRequestError` if there is none.
    """
    exact = {name.lower() for name in named}
    languages = {notebook.language, ""}  # a kernelspec that names no language may be of this one
    fitting = [one for one in kernels if one.name in exact or one.language.lower() in languages]
    if not fitting:
        raise InvalidRequestError(
            f"No kernel of {', '.join(named)} runs {notebook.language}.",
            where=str(notebook.path),
            next_step=known_kernels(),
        )
    return fitting


def _as_recorded(known: Parameters, excluded: Values) -> dict[str, Any]:
    """Return the values of an excluded combination as those of a run are; a name that the notebook lacks stays."""
    read = {name: known.check(name, value) if known.has(name) else value for name, value in excluded.items()}
    texts = {name: value.text if isinstance(value, Typed) else value for name, value in read.items()}
    return {unicodedata.normalize("NFKC", name): encode_value(value) for name, value in texts.items()}


def _fits(values: Values, pattern: Values) -> bool:
    """Whether a run has all values of a combination."""
    return all(_is_like(values.get(name), wanted) for name, wanted in pattern.items())


def _is_like(value: Any, wanted: Any) -> bool:
    return fnmatchcase(value, wanted) if isinstance(value, str) and isinstance(wanted, str) else bool(value == wanted)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise NotFoundError("There is no such folder to run in.", where=str(folder))
    return folder


def _relative(path: Path, roots: Sequence[Path]) -> Path:
    """Return a notebook's path relative to the folder that was given; its file name if it was named itself."""
    root = next((root for root in roots if path.is_relative_to(root)), path.parent)
    return path.relative_to(root)
