from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from mambakernels.errors import InvalidRequestError
from mambakernels.runs.languages import LANGUAGES
from mambakernels.runs.notebooks import Notebook, read_notebook
from mambakernels.runs.parameters import Parameters, inject, parse_assignment, read_parameters

CELL = '''\
"""A docstring is no assignment."""
n = 3
x = 0.5  # a comment
deep = True
name: str = "abc"
sizes = [256, 512]
mixed = [1, "a"]
pair = (1, 2)
anything = None
table = {"a": [1]}
shift = -1
empty = []
'''


@pytest.fixture
def notebook(write: Any) -> Notebook:
    return read_notebook(write("print(n)", parameters=CELL))


@pytest.fixture
def parameters(notebook: Notebook) -> Parameters:
    return read_parameters(notebook)


def test_names_defaults_and_types_are_read_in_order(parameters: Parameters) -> None:
    assert [(one.name, one.default, one.kind) for one in parameters.known.values()] == [
        ("n", 3, "int"),
        ("x", 0.5, "float"),
        ("deep", True, "bool"),
        ("name", "abc", "str"),
        ("sizes", [256, 512], "list of int"),
        ("mixed", [1, "a"], "list of int or str"),
        ("pair", (1, 2), "tuple of int"),
        ("anything", None, "anything"),
        ("table", {"a": [1]}, "dict"),
        ("shift", -1, "int"),
        ("empty", [], "list"),
    ]


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("n", 4, 4),
        ("n", np.int64(4), 4),
        ("x", 2, 2.0),
        ("x", np.float32(0.25), 0.25),
        ("deep", False, False),
        ("sizes", (1, 2), [1, 2]),
        ("sizes", [], []),
        ("mixed", ["b", 2], ["b", 2]),
        ("pair", [3], (3,)),
        ("anything", [1, {"k": None}], [1, {"k": None}]),
        ("empty", ["a", 1], ["a", 1]),
        ("table", {"b": 1.5}, {"b": 1.5}),
    ],
)
def test_values_that_fit_come_out_in_the_defaults_type(
    name: str, given: Any, value: Any, parameters: Parameters
) -> None:
    checked = parameters.check(name, given)
    assert checked == value
    assert type(checked) is type(value)
    assert eval(repr(checked)) == value


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("n", 1.0), ("n", True), ("n", "3"), ("n", None), ("x", "0.5"), ("x", False), ("x", float("nan")), ("deep", 1),
        ("name", 3), ("sizes", 256), ("sizes", [1.5]), ("sizes", "256"), ("mixed", [None]), ("table", {1: 2}),
        ("anything", object()), ("anything", float("inf")), ("anything", {1, 2}), ("empty", [object()]),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(name: str, given: Any, parameters: Parameters) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parameters.check(name, given)
    assert f"'{name}'" in refusal.value.what
    assert refusal.value.where == parameters.notebook
    assert "n (int, default 3)" in str(refusal.value.next_step)


def test_unknown_names_are_refused(parameters: Parameters) -> None:
    with pytest.raises(InvalidRequestError, match="no parameter 'm'"):
        parameters.resolve({"n": 1, "m": 2})


def test_resolving_fills_in_the_defaults(parameters: Parameters) -> None:
    assert parameters.resolve({"x": 1})["x"] == 1.0
    assert parameters.resolve({})["sizes"] == [256, 512]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n=4", 4), ("n = 4 ", 4), ("x=1e-3", 0.001), ("x=2", 2.0), ("deep=false", False), ("deep=True", True),
        ("name=abc", "abc"), ("name=yes", "yes"), ("name=1", "1"), ("name='q r'", "'q r'"), ("name=a=b", "a=b"),
        ("name=", ""), ("name= ", " "), ("name=\t", "\t"), ("name=NO", "NO"), ("n=010", 10), ("anything=NO", "NO"),
        ("sizes=[256, 512]", [256, 512]), ("sizes=[256,512,]", [256, 512]), ("mixed=[a, 1]", ["a", 1]),
        ("anything=null", None), ("anything=~", None),
        ("anything=plain words", "plain words"), ("table={a: 1}", {"a": 1}), ("shift=-2", -2),
    ],
)  # fmt: skip
def test_assignments_are_parsed_by_the_parameters_type(text: str, value: Any, parameters: Parameters) -> None:
    assert parse_assignment(text, parameters) == (text.partition("=")[0].strip(), value)


@pytest.mark.parametrize(
    "text", ["n", "n=", "n=abc", "n=1.5", "m=1", "=1", "sizes=256", "sizes=[1", "deep=1", "table=[", ""]
)
def test_assignments_that_make_no_sense_are_refused(text: str, parameters: Parameters) -> None:
    with pytest.raises(InvalidRequestError, match=r"ipynb"):
        parse_assignment(text, parameters)


def test_injection_puts_one_cell_after_the_parameters(notebook: Notebook) -> None:
    before = copy.deepcopy(notebook.content)
    injected = inject(notebook.content, {"n": 7, "sizes": [1]})
    assert notebook.content == before
    assert injected["cells"][2]["metadata"] == {"tags": ["injected-parameters"]}
    assert injected["cells"][2]["source"] == "# Parameters\nn = 7\nsizes = [1]"
    assert injected["cells"][:2] + injected["cells"][3:] == before["cells"]
    assert {key: value for key, value in injected.items() if key != "cells"} == {
        key: value for key, value in before.items() if key != "cells"
    }
    nbformat.validate(injected)


def test_an_earlier_injection_is_replaced(notebook: Notebook) -> None:
    once = inject(notebook.content, {"n": 7})
    assert inject(once, {"n": 8}) == inject(notebook.content, {"n": 8})
    assert inject(once, {}) == notebook.content


def test_formats_without_ids_get_none(notebook: Notebook) -> None:
    old = {**notebook.content, "nbformat_minor": 4}
    assert "id" not in inject(old, {"n": 7})["cells"][2]


def test_a_notebook_without_the_cell_has_no_parameters(write: Any) -> None:
    parameters = read_parameters(read_notebook(write("n = 1")))
    assert parameters.resolve({}) == {}
    with pytest.raises(InvalidRequestError, match="no cell of it is tagged"):
        parameters.resolve({"n": 1})


@pytest.mark.parametrize(
    ("language", "source", "known"),
    [
        (
            "R",
            "n <- 1 # how many\nname = 'x'\nbig = 10L\non <- TRUE\nfile <- NULL\nxs <- c(1, 2)",
            "n name big on file xs",
        ),
        ("julia", 'n = 1\nname = "x"\non = true\nfile = nothing\nxs = [1, 2]', "n name on file xs"),
        ("bash", "n=1", ""),
    ],
)
def test_a_notebook_in_another_language(language: str, source: str, known: str, write: Any) -> None:
    path = write(parameters=source)
    content = json.loads(path.read_text("utf-8"))
    content["metadata"]["kernelspec"]["language"] = language
    path.write_text(json.dumps(content), "utf-8")
    parameters = read_parameters(read_notebook(path))
    assert list(parameters.known) == known.split()
    if known:
        assert parse_assignment("n=2", parameters) == ("n", 2)
        assert parse_assignment("name=NO", parameters) == ("name", "NO")


VALUES = {
    "text": 'it\'s "ü"\n$x \\ 😀',
    "on": True,
    "none": None,
    "xs": [1, 2],
    "mixed": [1, "a"],
    "deep": {"a b": [1.5]},
}


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "r",
            [
                'text = "it\'s \\"\\U000000fc\\"\\n$x \\\\ \\U0001f600"', "on = TRUE", "none = NULL", "xs = c(1, 2)",
                'mixed = list(1, "a")', 'deep = list("a b" = c(1.5))',
            ],
        ),
        (
            "julia",
            [
                'text = "it\'s \\"\\U000000fc\\"\\n\\$x \\\\ \\U0001f600"', "on = true", "none = nothing",
                "xs = [1, 2]", 'mixed = [1, "a"]', 'deep = Dict("a b" => [1.5])',
            ],
        ),
    ],
)  # fmt: skip
def test_values_are_written_as_literals_of_the_language(language: str, lines: list[str]) -> None:
    assert LANGUAGES[language].cell(VALUES).splitlines() == ["# Parameters", *lines]


@pytest.mark.parametrize(
    "line",
    ["import os", "n = 2 ** 3", "n = m = 1", "a, b = 1, 2", "n = {1, 2}", "n: int", "n = b'x'", "n = 1e999", "f(1)",
     "%matplotlib inline", "!ls", "n = {1: 'a'}"],
)  # fmt: skip
def test_what_is_no_literal_is_passed_over_and_refused_only_by_name(line: str, write: Any) -> None:
    parameters = read_parameters(read_notebook(write(parameters=f"{line}\nother = 1")))
    assert parse_assignment("other=2", parameters) == ("other", 2)
    assert parameters.resolve({"other": 2}) == {"other": 2}
    with pytest.raises(InvalidRequestError, match=r"'n'(.|\n)*Its parameters: other \(int, default 1\)\."):
        parse_assignment("n=1", parameters)


def test_names_are_compared_as_python_compares_them(write: Any) -> None:
    parameters = read_parameters(read_notebook(write(parameters="\u00b5 = 1.0")))  # the micro sign
    assert parse_assignment("\u00b5=2", parameters) == ("\u03bc", 2.0)  # the letter
    assert parameters.resolve({"\u00b5": 2}) == {"\u03bc": 2.0}


@pytest.mark.parametrize(
    "source",
    ["n =", "n = ("],
)
def test_a_parameters_cell_that_cannot_be_parsed_is_refused(source: str, write: Any) -> None:
    with pytest.raises(InvalidRequestError, match="`parameters` cell"):
        read_parameters(read_notebook(write(parameters=source)))


def test_two_parameters_cells_are_refused(write: Any) -> None:
    path: Path = write("n = 1", parameters="n = 1")
    content = nbformat.read(path, as_version=4)
    content.cells[2].metadata["tags"] = ["parameters"]
    nbformat.write(content, path)
    with pytest.raises(InvalidRequestError, match="Cells 2, 3 are all tagged"):
        read_parameters(read_notebook(path))
