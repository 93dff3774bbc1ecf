from __future__ import annotations

import copy
import enum
import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from mambakernels.errors import InvalidRequestError
from mambakernels.runs.languages import LANGUAGES, NOT_LITERAL
from mambakernels.runs.notebooks import Notebook, read_notebook
from mambakernels.runs.parameters import Parameters, inject, read_parameters
from mambakernels.runs.typed import typed_parameters

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
floats = [0.5]
'''


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


class Colour(str, enum.Enum):
    RED = "red"


def typed(text: str, parameters: Parameters) -> tuple[str, Any]:
    """Return the name and the value of a `name=value` text, as a notebook takes them."""
    [(name, value)] = typed_parameters([text]).items()
    return parameters.get(name).name, parameters.check(name, value)


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
        ("floats", [0.5], "list of float"),
    ]


@pytest.mark.parametrize(
    ("cell", "default"),
    [
        ("if x:\n    %matplotlib inline\nn = 3", 3),
        ("files = !ls \\\n  -l\nhere = %pwd\nlen?\nn = 3", 3),
        ("%%time\nn = 3", 3),
        ('n = """\n%d items\n!now\n"""', "\n%d items\n!now\n"),
        ("m = n = 3", 3),
        ("m, n = 1, 'b'", "b"),
        ("n = 3\nif n:\n    n = 4", 3),
        ("n: float = 2", 2.0),
        ("n: str = None", None),
        ("n: int = 'a'", "a"),
    ],
)
def test_ipythons_lines_and_every_kind_of_assignment_are_read(write: Any, cell: str, default: Any) -> None:
    found = read_parameters(read_notebook(write(parameters=cell))).get("n").default
    assert (found, type(found)) == (default, type(default))


@pytest.mark.parametrize(
    ("declaration", "text", "value"),
    [
        ("n: str = None", "n=010", "010"),
        ("n: 'str | None' = None", "n=3.10", "3.10"),
        ("n: Optional[float] = None", "n=2", 2.0),
        ("n: float = 2", "n=2.5", 2.5),
        ("n: list[str] = []", "n=['1']", ["1"]),
    ],
)
def test_an_annotation_sets_the_type(write: Any, declaration: str, text: str, value: Any) -> None:
    parameters = read_parameters(read_notebook(write(parameters=declaration)))
    found = typed(text, parameters)[1]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["a #b", "|", "&x y", "-", "---", "- a", "title: x", "!x", "> x", "a, b"])
def test_a_text_for_anything_arrives_as_typed(text: str, parameters: Parameters) -> None:
    assert typed(f"anything={text}", parameters) == ("anything", text)


def test_a_name_that_is_no_literal_is_refused_as_that(write: Any) -> None:
    parameters = read_parameters(read_notebook(write(parameters="with open('a') as n:\n    pass")))
    with pytest.raises(InvalidRequestError, match=r"its default is not a literal(.|\n)*assigns no literal"):
        parameters.check("n", 1)
    with pytest.raises(InvalidRequestError, match="int was expected, not None"):
        read_parameters(read_notebook(write(parameters="n = 1"))).check("n", None)


@pytest.mark.parametrize(
    ("language", "line", "default"),
    [
        ("r", r's <- r"(a\b)"', NOT_LITERAL), ("r", "s <- 'a;b';", "a;b"), ("r", "s <- 3; t <- 4", NOT_LITERAL),
        ("julia", "s = 'c'", NOT_LITERAL), ("julia", r's = L"\alpha"', NOT_LITERAL), ("julia", 's = "$x"', NOT_LITERAL),
        ("julia", r's = "\$x"', "$x"), ("julia", "s = 5;  # five", 5),
    ],
)  # fmt: skip
def test_texts_of_r_and_julia_with_rules_of_their_own_are_no_literals(language: str, line: str, default: Any) -> None:
    assert dict(LANGUAGES[language].assignments(line)) == {"s": default}


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
        ("anything", np.float64(1.5), 1.5),
        ("anything", np.bool_(1), True),
        ("anything", np.str_("a"), "a"),
        ("anything", {"a": np.array([[1, 2]])}, {"a": [[1, 2]]}),
        ("sizes", np.array([1, 2]), [1, 2]),
        ("sizes", pd.Series([1, 2]), [1, 2]),
        ("x", float("inf"), float("inf")),
        ("name", Colour.RED, "red"),
    ],
)
def test_values_that_fit_come_out_in_the_defaults_type(
    name: str, given: Any, value: Any, parameters: Parameters
) -> None:
    checked = parameters.check(name, given)
    assert checked == value
    assert type(checked) is type(value)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("n", 1.0), ("n", True), ("n", "3"), ("n", None), ("x", "0.5"), ("x", False), ("deep", 1),
        ("name", 3), ("sizes", 256), ("sizes", [1.5]), ("sizes", "256"), ("mixed", [None]), ("table", {1: 2}),
        ("anything", object()), ("anything", {1, 2}), ("empty", [object()]), ("x", 2**53 + 1), ("x", 10**400),
        pytest.param("n", 10**5000, id="long"), ("name", b"x"), ("anything", bytearray(b"x")),
        ("anything", {"$numberDouble": "NaN"}),
        ("anything", pd.Timestamp("2026-01-01")), ("anything", pd.Series([pd.Timestamp("2026-01-01")])),
        ("anything", np.datetime64("2026-01-01", "ns")), ("anything", ENDLESS),
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
        ("x=inf", float("inf")), ("x=-.inf", -float("inf")), ("x=1e999", float("inf")), ("anything=.inf", float("inf")),
        ("anything=inf", "inf"), ("floats=[1, -inf]", [1.0, -float("inf")]),
        ("anything=plain words", "plain words"), ("table={a: 1}", {"a": 1}), ("shift=-2", -2),
    ],
)  # fmt: skip
def test_assignments_are_parsed_by_the_parameters_type(text: str, value: Any, parameters: Parameters) -> None:
    assert typed(text, parameters) == (text.partition("=")[0].strip(), value)


@pytest.mark.parametrize(
    "text", ["n", "n=", "n=abc", "n=1.5", "m=1", "=1", "sizes=256", "sizes=[1", "deep=1", "table=[", ""]
)
def test_assignments_that_make_no_sense_are_refused(text: str, parameters: Parameters) -> None:
    with pytest.raises(InvalidRequestError, match=r"ipynb|name=value"):
        typed(text, parameters)


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
    assert inject(once, {}) == once


def test_formats_without_ids_get_none(notebook: Notebook) -> None:
    old = {**notebook.content, "nbformat_minor": 4}
    assert "id" not in inject(old, {"n": 7})["cells"][2]


@pytest.mark.parametrize(
    ("sources", "error"),
    [
        (["print(n)"], None),
        (["n = int(n)"], None),
        (["if 'n' not in dir():\n    n = 1"], None),
        (["def f():\n    return n", "n = 1"], None),
        (["%timeit n"], None),
        (["%%time\nprint(n"], None),
        (["# n is a number", "n = 1"], "assigns 'n' before"),
        (["%matplotlib inline\nn: int = 1", "print(n)"], "assigns 'n' before"),
        (["a, n = 1, 2"], "assigns 'n' before"),
        (["%%bash\nn=1"], "assigns 'n' before"),
        (["print(m)", "x.n = 1"], "no cell of it is tagged"),
        ([], "no cell of it is tagged"),
    ],
)
def test_a_notebook_without_the_cell_takes_values_for_names_that_it_reads(
    sources: list[str], error: str | None, write: Any
) -> None:
    notebook = read_notebook(write(*sources))
    parameters = read_parameters(notebook)
    assert parameters.resolve({}) == {}
    if error is not None:
        with pytest.raises(InvalidRequestError, match=error):
            parameters.resolve({"n": 1})
        return
    assert parameters.resolve({"n": 1}) == {"n": 1}
    assert typed("n=[1, a]", parameters) == ("n", [1, "a"])
    assert inject(notebook.content, {"n": 1})["cells"][0]["source"] == "# Parameters\nn = 1"


@pytest.mark.parametrize("name", ["n = 1; import os", "n\n", "class", "", "n.a", "1n"])
def test_a_name_cannot_run_code(name: str, write: Any) -> None:
    parameters = read_parameters(read_notebook(write(f"{name}\nprint(class, n)")))
    with pytest.raises(InvalidRequestError, match="no parameter"):
        parameters.resolve({name: 1})


@pytest.mark.parametrize(
    ("language", "source", "error"),
    [("R", "cat(n)", None), ("R", "n <- 1\ncat(n)", "assigns"), ("julia", "n == 1", None), ("bash", "echo $n", "none")],
)
def test_other_languages_do_so_by_line(language: str, source: str, error: str | None, write: Any) -> None:
    path = write(source)
    content = json.loads(path.read_text("utf-8"))
    content["metadata"]["kernelspec"]["language"] = language
    path.write_text(json.dumps(content), "utf-8")
    parameters = read_parameters(read_notebook(path))
    if error is None:
        assert parameters.resolve({"n": 1}) == {"n": 1}
        return
    with pytest.raises(InvalidRequestError, match=error):
        parameters.resolve({"n": 1})


@pytest.mark.parametrize(
    ("language", "source", "known"),
    [
        (
            "R",
            "n <- 1 # how many\nname = 'x'\nbig = 10L\non <- TRUE\nfile <- NULL\nxs <- c(1, -2)\nx <- -Inf\nq = 'a#b'",
            "n name big on file xs x q",
        ),
        ("julia", 'n = 1\nname = "x"\non = true\nfile = nothing\nxs = [1, -2]\nx = -Inf', "n name on file xs x"),
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
        assert typed("n=2", parameters) == ("n", 2)
        assert typed("name=NO", parameters) == ("name", "NO")
        assert typed("xs=[3]", parameters) == ("xs", [3])
        defaults = parameters.resolve({})
        assert {name: defaults[name] for name in ("n", "on", "file", "xs", "x")} == {
            "n": 1, "on": True, "file": None, "xs": [1, -2], "x": -float("inf"),
        }  # fmt: skip
        assert defaults.get("q", "a#b") == "a#b"


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
                "xs = [1, 2]", 'mixed = Any[1, "a"]', 'deep = Dict("a b" => [1.5])',
            ],
        ),
    ],
)  # fmt: skip
def test_values_are_written_as_literals_of_the_language(language: str, lines: list[str]) -> None:
    assert LANGUAGES[language].cell(VALUES).splitlines() == ["# Parameters", *lines]


@pytest.mark.parametrize(
    "line",
    ["import os", "n = 2 ** 3", "n = m = f()", "a, n = f()", "n = {1, 2}", "n: int", "n = b'x'", "n = float('x')",
     "f(1)", "%matplotlib inline", "!ls", "n = {1: 'a'}"],
)  # fmt: skip
def test_what_is_no_literal_is_passed_over_and_refused_only_by_name(line: str, write: Any) -> None:
    parameters = read_parameters(read_notebook(write(parameters=f"{line}\nother = 1")))
    assert typed("other=2", parameters) == ("other", 2)
    assert parameters.resolve({"other": 2}) == {"other": 2}
    with pytest.raises(InvalidRequestError, match=r"'n'(.|\n)*Its parameters: other \(int, default 1\)\."):
        typed("n=1", parameters)


def test_names_are_compared_as_python_compares_them(write: Any) -> None:
    parameters = read_parameters(read_notebook(write(parameters="\u00b5 = 1.0")))  # the micro sign
    assert typed("\u00b5=2", parameters) == ("\u03bc", 2.0)  # the letter
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
