"""Hard values arrive equal in a notebook, cannot run code, and leave a record that every reader of JSON can read."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mambakernels.errors import InvalidRequestError
from mambakernels.runs.execute import run
from mambakernels.runs.languages import LANGUAGES
from mambakernels.runs.parameters import Parameter, Parameters, inject
from mambakernels.runs.records import read_run
from mambakernels.runs.values import decode_value, encode_value

CODE = '\'"""\\\n\r`id` $(id) ${HOME} {n} #\u2028\x85\0\ud83d😀'
HARD: dict[str, Any] = {
    "text": CODE,
    "nan": math.nan,
    "inf": math.inf,
    "minus": [-math.inf, -0.0, 1e-320, 1.7976931348623157e308],
    "none": None,
    "many": list(range(10_000)),
    "nested": {CODE: {"'": [{}, [], [[]], {"": None}]}},
    "long": 10**4000,
    "bools": [True, False, 1, 0],
}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
ANYTHING = Parameters("study.ipynb", {"value": Parameter("value", None)})


def exactly(value: Any) -> str:
    """Return a value as a text that tells NaN, -0.0, 1, 1.0 and True apart."""
    return repr(value)


def assigned(source: str) -> Any:
    """Return what a Python cell assigns to `value`; it may call `float` and nothing else."""
    scope: dict[str, Any] = {"__builtins__": {"float": float}}
    exec(compile(source, "cell", "exec"), scope)
    return scope["value"]


@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(VALUES)
@example(HARD)
@example([HARD])
def test_any_value_arrives_equal_in_python_and_in_its_record(value: Any) -> None:
    checked = ANYTHING.resolve({"value": value})
    assert exactly(checked["value"]) == exactly(value)
    content = {
        "nbformat_minor": 5,
        "cells": [{"cell_type": "code", "source": "", "metadata": {"tags": ["parameters"]}}],
    }
    source = inject(content, checked)["cells"][1]["source"]
    assert exactly(assigned(source)) == exactly(value)
    recorded = json.dumps(encode_value(checked), allow_nan=False)
    assert exactly(decode_value(json.loads(recorded))["value"]) == exactly(value)


def test_tuples_arrive_as_tuples() -> None:
    pairs = Parameters("study.ipynb", {"value": Parameter("value", (1.5, "a"))})
    for value in ((), (math.nan,), ("b", 2.5, "c")):
        checked = pairs.resolve({"value": value})
        assert exactly(assigned(LANGUAGES["python"].cell(checked))) == exactly(value)


def test_hard_values_arrive_in_a_kernel_and_make_no_difference_to_what_is_recorded(
    install: Any, write: Any, output: Path
) -> None:
    install("here")
    names = list(HARD)
    shown = (
        f"import hashlib\nwhole = repr([{', '.join(names)}]).encode('utf-8', 'surrogatepass')\n"
        "print(hashlib.sha256(whole).hexdigest())"
    )
    path = write(shown, parameters="\n".join(f"{name} = None" for name in names))
    [result] = run(path, kernels="here", parameters=HARD, output=output)
    assert result.status == "ok", result.error
    wanted = hashlib.sha256(repr(list(HARD.values())).encode("utf-8", "surrogatepass")).hexdigest()
    executed = nbformat.read(result.path, as_version=4)
    assert executed.cells[-1].outputs[0].text.strip() == wanted
    strict = json.loads(result.path.read_text("utf-8"), parse_constant=pytest.fail)
    assert strict["metadata"]["mambakernels"]["parameters"]["inf"] == {"$numberDouble": "Infinity"}
    read = read_run(result.path).parameters
    assert {name: exactly(value) for name, value in read.items()} == {name: exactly(v) for name, v in HARD.items()}
    [again] = run(path, kernels="here", parameters=HARD, output=output)
    assert again.started == result.started, "the same parameters are the same run, also where one is not a number"


# Reads what R has got: one line for each value, in its order; `%a` writes a number exactly, and texts are in UTF-8.
READ_BACK = """
text <- function(x) paste(charToRaw(enc2utf8(x)), collapse = "")
said <- function(x) {
  if (is.null(x)) cat("null\\n")
  else if (length(x) == 1 && !is.list(x) && is.logical(x)) cat("bool", x, "\\n")
  else if (length(x) == 1 && !is.list(x) && is.numeric(x)) cat("number", sprintf("%a", x), "\\n")
  else if (length(x) == 1 && !is.list(x)) cat("text", text(x), "\\n")
  else {
    cat("list", length(x), if (!is.null(names(x))) vapply(names(x), text, ""), "\\n", sep = " ")
    for (element in as.list(unname(x))) said(element)
  }
}
"""
R_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
R_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | R_TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(R_TEXTS, inner, max_size=4),
    max_leaves=8,
)


def in_r(value: Any) -> list[str]:
    """Return the lines that `READ_BACK` writes for a value that arrived as it is; R has no scalars, only vectors."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | int | float):
        value = value[0]
    match value:
        case None:
            return ["null"]
        case bool():
            return [f"bool {str(value).upper()}"]
        case int() | float():
            return [f"number {float(value)!r}"]
        case str():
            return [f"text {value.encode().hex()}".strip()]
        case list():
            return [f"list {len(value)}", *(line for item in value for line in in_r(item))]
    names = "".join(f" {name.encode().hex()}" for name in value)
    return [f"list {len(value)}{names}".strip(), *(line for item in value.values() for line in in_r(item))]


def from_r(line: str) -> str:
    """Return a line of `READ_BACK` with its number as Python writes it."""
    kind, _, rest = line.strip().partition(" ")
    if kind != "number":
        return line.strip()
    return f"number {float(rest) if rest in ('NaN', 'Inf', '-Inf') else float.fromhex(rest)!r}"


@settings(derandomize=True, max_examples=2, deadline=None, database=None)
@given(st.lists(R_VALUES, min_size=40, max_size=60))
@example(
    [{"text": CODE.replace("\0", "").replace("\ud83d", ""), "many": list(range(10_000)), "NULL": 1, "": {"": [1]}}]
)
@example([190.7137618547372, 5e-324, 2**53, -0.0, math.nan, -math.inf, [1, 2.5], [True, 1], {"ü" * 300: "\U0010ffff"}])
def test_any_value_that_r_has_arrives_equal_there(values: list[Any]) -> None:
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("This machine lacks R with IRkernel: apt-get install r-cran-irkernel.")
    sources = (LANGUAGES["r"].cell({"value": value}) for value in values)
    program = READ_BACK + "".join(f"{source}\nsaid(value)\n" for source in sources)
    answer = subprocess.run([rscript, "--vanilla", "-"], input=program, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    got = list(map(from_r, answer.stdout.splitlines()))
    assert got == [line for value in values for line in in_r(value)]


@pytest.mark.parametrize("value", ["a\0b", "half \ud83d", 2**53 + 1, {"\0": 1}, [10**400]])
def test_what_r_does_not_have_is_refused(value: Any) -> None:
    parameters = Parameters("study.ipynb", {"value": Parameter("value", None)}, "r")
    with pytest.raises(InvalidRequestError, match="does not fit the parameter 'value'"):
        parameters.resolve({"value": value})
