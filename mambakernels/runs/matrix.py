"""The matrix of notebooks, kernels, parameters and repetitions, planned as tasks before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mambakernels.errors import InvalidRequestError, NotFoundError
from mambakernels.paths import PathLike
from mambakernels.runs.kernelspecs import Kernel, find_kernels, known_kernels
from mambakernels.runs.notebooks import Notebook, cells_sha256, find_notebooks
from mambakernels.runs.outputs import Place
from mambakernels.runs.parameters import Parameters, read_parameters
from mambakernels.runs.records import Identity
from mambakernels.runs.tasks import Limits, Task, record_names
from mambakernels.runs.values import encode_value

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Matrix:
    """Runs to make of notebooks, kernels and parameters.

    `notebooks` are files, folders or glob patterns, `kernels` names or patterns, or `all`. `parameters` holds values
    for every run, `grid` several for a name: every combination is a run. The names in one group of `zipped` take their
    values together, the first with the first. A run that has all the values of a mapping in `exclude` is left out;
    there `notebook` and `kernel` are patterns.
    """

    notebooks: Sequence[PathLike]
    kernels: Sequence[str]
    parameters: Values = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    zipped: Sequence[Sequence[str]] = ()
    exclude: Sequence[Values] = ()
    repeat: int = 1


def plan(matrix: Matrix, *, output: Place, folder: Path | None, limits: Limits) -> list[Task]:
    """Return the tasks of a matrix, kernels in turns: those of one repetition and combination follow each other.

    A parameter that one of several notebooks does not have is left out there; one that none has raises
    `InvalidRequestError`, as does a value that does not fit. `NotFoundError` if there is no such notebook or kernel.
    """
    if matrix.repeat < 1:
        raise InvalidRequestError(f"A notebook cannot run {matrix.repeat} times.", next_step="Give 1 or more.")
    notebooks = [(one, read_parameters(one)) for one in find_notebooks(matrix.notebooks)]
    kernels = find_kernels(matrix.kernels)
    for name in dict.fromkeys([*matrix.parameters, *matrix.grid]):
        if not any(known.has(name) for _, known in notebooks):
            notebooks[0][1].get(name)  # raises, with the names that it has
    roots = [place for place in map(_absolute, matrix.notebooks) if place.is_dir()]
    combinations = list(_combinations(matrix.grid, matrix.zipped))
    tasks: list[Task] = []
    taken: set[str] = set()
    for repeat, (notebook, known) in itertools.product(range(1, matrix.repeat + 1), notebooks):
        working = _existing(folder or notebook.path.parent)
        fitting = _of_language(kernels, notebook, matrix.kernels)
        cells, relative = cells_sha256(notebook.content), _relative(notebook.path, roots)
        for swept, kernel in itertools.product(_settable(combinations, known), fitting):
            given = _checked(known, {**matrix.parameters, **swept})
            values = encode_value(known.resolve(given))
            if _is_excluded(matrix.exclude, notebook, kernel, values):
                continue
            identity = Identity(cells, values, kernel.fingerprint, kernel.packages, repeat)
            names = record_names(relative, kernel.name, swept=swept, given=given, identity=identity)
            names = tuple(name for name in names if name not in taken)
            taken.add(names[0])
            tasks.append(Task(notebook, kernel, given, identity, names, output, working, limits))
    return tasks


def _combinations(grid: Mapping[str, Sequence[Any]], zipped: Sequence[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Yield each combination of a grid, the last name varying fastest."""
    groups = {name: tuple(group) for group in zipped for name in group}
    axes = []
    for names in dict.fromkeys(groups.get(name, (name,)) for name in grid):
        missing = [name for name in names if name not in grid]
        if missing:
            raise InvalidRequestError(f"'{missing[0]}' has no values to zip.", next_step="Give it several with -g.")
        lengths = {len(grid[name]) for name in names}
        if len(lengths) > 1 or 0 in lengths:
            counts = ", ".join(f"{name} has {len(grid[name])}" for name in names)
            raise InvalidRequestError(f"The values do not fit together: {counts}.", next_step="Give as many of each.")
        columns = zip(*(grid[name] for name in names), strict=True)
        axes.append([dict(zip(names, values, strict=True)) for values in columns])
    for parts in itertools.product(*axes):
        yield {name: value for part in parts for name, value in part.items()}


def _settable(combinations: Sequence[Values], known: Parameters) -> list[dict[str, Any]]:
    """Return the combinations of the parameters that a notebook has, each once and with checked values."""
    own = [_checked(known, combination) for combination in combinations]
    encoded = [encode_value(values) for values in own]  # where NaN is equal to itself
    return [values for number, values in enumerate(own) if encoded[number] not in encoded[:number]]


def _checked(known: Parameters, values: Values) -> dict[str, Any]:
    there = {name: value for name, value in values.items() if known.has(name)}
    return {known.get(name).name: known.check(name, value) for name, value in there.items()}


def _of_language(kernels: Sequence[Kernel], notebook: Notebook, named: Sequence[str]) -> list[Kernel]:
    """Return the kernels of a notebook's language, and those that were named rather than matched by a pattern.

    `InvalidRequestError` if there is none.
    """
    fitting = [one for one in kernels if one.name in named or one.language.lower() == notebook.language]
    if not fitting:
        raise InvalidRequestError(
            f"No kernel of {', '.join(named)} runs {notebook.language}.",
            where=str(notebook.path),
            next_step=known_kernels(),
        )
    return fitting


def _is_excluded(exclude: Iterable[Values], notebook: Notebook, kernel: Kernel, values: Values) -> bool:
    known = {**values, "kernel": kernel.name, "notebook": notebook.path.name}
    return any(all(_fits(known.get(name), value) for name, value in one.items()) for one in exclude)


def _fits(value: Any, wanted: Any) -> bool:
    return fnmatchcase(value, wanted) if isinstance(value, str) and isinstance(wanted, str) else bool(value == wanted)


def _absolute(path: PathLike) -> Path:
    return Path(path).expanduser().absolute()


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise NotFoundError("There is no such folder to run in.", where=str(folder))
    return folder


def _relative(path: Path, roots: Sequence[Path]) -> Path:
    """Return a notebook's path relative to the folder that was given; its file name if it was named itself."""
    root = next((root for root in roots if path.is_relative_to(root)), path.parent)
    return path.relative_to(root)
