"""Every lesson and the report: valid, no outputs, stable ids, a neutral kernelspec, one cell of literal parameters."""

from __future__ import annotations

import ast
from collections.abc import Callable
from copy import deepcopy
from itertools import takewhile
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mambakernels.runs.report import TEMPLATE

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = [*sorted(FOLDER.glob("**/*.ipynb")), TEMPLATE]
LONGEST_CELL, LONGEST_CODE = 15, 12  # lines; the second of lessons
PICTURES = {"bars", "lines"}


def problems(notebook: Any, *, lesson: bool = True) -> list[str]:
    """Return what is wrong with a notebook, in sentences."""
    checks = (
        _kernelspec,
        _ids,
        _outputs,
        _lengths,
        _parameters,
        *((_short_code, _definitions, _texts) if lesson else ()),
    )
    found = [problem for check in checks for problem in check(notebook)]
    nbformat.validate(deepcopy(notebook))  # it repairs what it is given
    return found


def _kernelspec(notebook: Any) -> list[str]:
    expected = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return [] if notebook.metadata.get("kernelspec") == expected else ["the kernelspec is not the neutral python3"]


def _ids(notebook: Any) -> list[str]:
    ids = [cell.get("id") for cell in notebook.cells]
    return [] if None not in ids and len(set(ids)) == len(ids) else ["cell ids are missing or used twice"]


def _outputs(notebook: Any) -> list[str]:
    executed = [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count") is not None]
    return [f"cell {cell.id} has outputs or an execution count" for cell in executed]


def _lengths(notebook: Any) -> list[str]:
    long = [cell for cell in notebook.cells if len(cell.source.splitlines()) > LONGEST_CELL]
    return [f"cell {cell.id} has more than {LONGEST_CELL} lines" for cell in long]


def _short_code(notebook: Any) -> list[str]:
    long = [cell for cell in _code(notebook) if LONGEST_CODE < len(cell.source.splitlines()) <= LONGEST_CELL]
    return [f"cell {cell.id} has more than {LONGEST_CODE} lines of code" for cell in long]


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _parameters(notebook: Any) -> list[str]:
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1 or cells[0].cell_type != "code":
        return ["there is not exactly one code cell tagged parameters"]
    lines = [node for node in ast.parse(cells[0].source).body if not _is_literal_assignment(node)]
    return [f"line {node.lineno} of the parameters is no literal" for node in lines]


def _definitions(notebook: Any) -> list[str]:
    """Allow one cell of mere definitions before the first picture: something has to be seen soon."""
    before = takewhile(lambda cell: not _called(cell) & PICTURES, _code(notebook))
    mere = [cell.id for cell in before if _kinds(cell) - {ast.Import, ast.ImportFrom} == {ast.FunctionDef}]
    return [f"cells {', '.join(mere)} only define functions, before the first picture"] if len(mere) > 1 else []


def _texts(notebook: Any) -> list[str]:
    """Refuse code that is a text, and functions turned into texts: a lesson is read by people."""
    return [f"cell {cell.id} holds code as a text" for cell in _code(notebook) if _holds_code_as_text(cell)]


def _holds_code_as_text(cell: Any) -> bool:
    nodes = list(ast.walk(ast.parse(cell.source)))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return (
        "getsource" in cell.source or bool({"exec", "eval"} & _called(cell)) or any("import " in one for one in texts)
    )


def _kinds(cell: Any) -> set[type[ast.stmt]]:
    return {type(node) for node in ast.parse(cell.source).body}


def _called(cell: Any) -> set[str]:
    calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def _is_literal_assignment(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign) or not all(isinstance(target, ast.Name) for target in node.targets):
        return False
    try:
        ast.literal_eval(node.value)
    except ValueError:
        return False
    return True


def test_there_are_notebooks() -> None:
    assert FOLDER / "blas.ipynb" in NOTEBOOKS


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_lesson_is_well_made(file: Path) -> None:
    written = nbformat.read(file, as_version=nbformat.NO_CONVERT)
    assert (written.nbformat, written.nbformat_minor) == (4, 5)
    assert problems(written, lesson=file.name[0].isdigit()) == []


def _spoil_kernelspec(notebook: Any) -> None:
    notebook.metadata.kernelspec.name = "np-mkl"


def _spoil_ids(notebook: Any) -> None:
    notebook.cells[1].id = notebook.cells[0].id


def _spoil_count(notebook: Any) -> None:
    next(cell for cell in notebook.cells if cell.cell_type == "code").execution_count = 1


def _spoil_length(notebook: Any) -> None:
    notebook.cells[0].source += "\n" * LONGEST_CELL + "end"


def _spoil_code_length(notebook: Any) -> None:
    _code(notebook)[-1].source = "\n" * LONGEST_CODE + "end = 1"


def _spoil_definitions(notebook: Any) -> None:
    first = next(index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    for number in (1, 2):
        source = f"import numpy\n\ndef function{number}():\n    pass"
        notebook.cells.insert(first, nbformat.v4.new_code_cell(source, id=f"definition-{number}"))


def _spoil_texts(notebook: Any) -> None:
    _code(notebook)[-1].source += "\ncode = 'import numpy as np'"


def _spoil_sources(notebook: Any) -> None:
    _code(notebook)[-1].source += "\nfrom inspect import getsource"


def _spoil_tag(notebook: Any) -> None:
    for cell in notebook.cells:
        cell.metadata.pop("tags", None)


def _spoil_literal(notebook: Any) -> None:
    next(cell for cell in notebook.cells if cell.metadata.get("tags")).source += "\nrepeats = len(sizes)"


@pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId")
@pytest.mark.parametrize(
    "spoil",
    [
        _spoil_kernelspec,
        _spoil_ids,
        _spoil_count,
        _spoil_length,
        _spoil_code_length,
        _spoil_tag,
        _spoil_literal,
        _spoil_definitions,
        _spoil_texts,
        _spoil_sources,
    ],
)
def test_each_check_can_fail(spoil: Callable[[Any], None]) -> None:
    notebook = deepcopy(nbformat.read(FOLDER / "blas.ipynb", as_version=4))
    spoil(notebook)
    assert len(problems(notebook)) == 1
