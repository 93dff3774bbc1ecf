"""What is typed on a command line or in a matrix.toml, as each notebook's parameters read it; plans and their files."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import mambakernels
from mambakernels.errors import InvalidRequestError, NotFoundError
from mambakernels.runs.matrix import Matrix, expand
from mambakernels.runs.matrix_toml import _KINDS, _File, read_matrix
from mambakernels.runs.tasks import Limits, Task
from mambakernels.runs.typed import TypedValues, typed_exclusions, typed_grid, typed_parameters


def tasks(output: Path, *notebooks: Path, **options: Any) -> list[Task]:
    return expand(Matrix(notebooks, ["one"], **options), output=output, folder=None, limits=Limits())


@pytest.mark.parametrize(
    ("text", "default", "values"),
    [
        ("1,2", 0, [1, 2]), ("256:1024:log2", 0, [256, 512, 1024]), ("1,100:500:200", 0, [1, 100, 300, 500]),
        ("1,2.5", 0.0, [1, 2.5]), ("a,b", "", ["a", "b"]), ("1:2:3,x", "", ["1:2:3", "x"]),
        ("'a,b',c", "", ["a,b", "c"]), ("it's,\"", "", ["it's", '"']), ("a, b", "", ["a", " b"]),
        ("[1,2],[3]", [0], [[1, 2], [3]]), ("true,False", True, [True, False]), ("1:4,x", None, [1, 2, 4, "x"]),
        ("{a: 1, b: 2},{a: 3}", {}, [{"a": 1, "b": 2}, {"a": 3}]),
    ],
)  # fmt: skip
def test_several_values_are_read_by_the_type_of_the_default(text: str, default: Any, values: list[Any]) -> None:
    assert list(TypedValues(text).read(default)) == values


def test_a_range_of_far_too_many_values_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="more than 100,000 values"):
        TypedValues("1:1000000000:1").read(0)


@pytest.mark.parametrize("text", ["n", "=1", "", " = 1"])
def test_what_sets_nothing_is_refused(text: str) -> None:
    for read in (typed_parameters, typed_grid, typed_exclusions):
        with pytest.raises(InvalidRequestError, match=r"does not set a parameter(.|\n)*name=value"):
            read([text])


def test_each_notebook_reads_what_was_typed_in_its_own_type(install: Any, write: Any, output: Path) -> None:
    install("one")
    number, text = write("n", parameters="n = 1", name="a.ipynb"), write("n", parameters="n = ''", name="b.ipynb")
    found = tasks(output, number, text, parameters=typed_parameters(["n=007"]))
    assert [task.given for task in found] == [{"n": 7}, {"n": "007"}]
    found = tasks(output, number, text, grid=typed_grid(["n=1:4:log2", "n=8"]))
    assert [task.given["n"] for task in found] == [1, 2, 4, 8, "1:4:log2", "8"]


def test_combinations_are_left_out_by_values_and_patterns(install: Any, write: Any, output: Path) -> None:
    install("one")
    notebook = write("n", parameters="n = 1.0\nword = ''", name="a.ipynb")
    other = write("1", name="without.ipynb")
    grid = typed_grid(["n=1,2", "word=ab,ac,x"])

    def left(*exclusions: str) -> list[tuple[Any, ...]]:
        found = tasks(output, notebook, other, grid=grid, exclude=typed_exclusions(exclusions))
        return [tuple(task.given.values()) for task in found]

    assert left("n=1,word=a*", "word=x") == [(2.0, "ab"), (2.0, "ac"), ()]
    assert left("kernel=o*,notebook=a.*", "n=1") == [()]
    assert left("notebook=without*,n=1") == [*left("word=nothing")]
    with pytest.raises(InvalidRequestError, match="no parameter 'm'"):
        left("m=1")
    with pytest.raises(InvalidRequestError, match="'big' does not fit the parameter 'n'"):
        left("n=big")


def test_the_comment_on_its_line_says_what_a_parameter_is(write: Any) -> None:
    cell = "n = 512  # the size\nword = 'a # b'  # no, this\nxs = [  # several\n 1]\nm: int = 2 # typed\nodd = 2 ** 3"
    found = mambakernels.parameters(write(parameters=cell))
    assert [(one.name, one.kind, one.help, one.is_settable) for one in found] == [
        ("n", "int", "the size", True), ("word", "str", "no, this", True), ("xs", "list of int", "several", True),
        ("m", "int", "typed", True), ("odd", "object", "", False),
    ]  # fmt: skip


def test_a_plan_says_what_is_done_and_how_long_the_rest_takes(install: Any, write: Any, output: Path) -> None:
    install("one")
    install("two")
    notebook = write("1 / n", parameters="n = 1")
    asked: dict[str, Any] = {"kernels": ["one", "two"], "grid": {"n": [0, 1]}, "output": output}
    fresh = mambakernels.plan(notebook, **asked)
    assert {one.state for one in fresh.runs} == {"new"}
    assert (fresh.seconds, fresh.unknown) == (None, 4)
    assert not output.exists()
    runs = mambakernels.run(notebook, kernels="one", grid={"n": [0, 1]}, output=output)
    planned = mambakernels.plan(notebook, **asked)
    assert [(one.label.rpartition("space.")[2], one.state, one.runs) for one in planned.runs] == [
        ("one.n=0", "failed", True), ("two.n=0", "new", True), ("one.n=1", "done", False), ("two.n=1", "new", True),
    ]  # fmt: skip
    took = runs[1].seconds
    assert [one.estimate for one in planned.to_run] == [took, None, None]
    assert (planned.seconds, planned.unknown) == (took, 2)
    again = mambakernels.plan(notebook, **asked | {"kernels": "one"}, force=True, jobs=2)
    assert (len(again.to_run), again.seconds) == (2, took)
    assert [one.state for one in mambakernels.plan(notebook, **asked, failed=True).to_run] == ["failed"]
    write("1 / n + 0", parameters="n = 1")
    assert [one.state for one in mambakernels.plan(notebook, **asked).runs] == ["failed", "new", "changed", "new"]


def test_a_matrix_in_a_file_is_what_run_is_called_with(install: Any, write: Any) -> None:
    install("one")
    notebook = write("n", parameters="n = 1\nword = ''", name="a.ipynb")
    file = notebook.parent / "sub" / "matrix.toml"
    file.parent.mkdir()
    file.write_text(
        'notebooks = "../a.ipynb"\nkernels = ["o*"]\noutput = "../out"\ntimeout = "10m"\nzipped = [["n", "word"]]\n'
        'exclude = [{ n = 2 }]\nrepeat = 1\n[grid]\nn = "1:4:log2"\nword = ["a", "b", "c"]\n[parameters]\n'
    )
    given = read_matrix(file)
    planned = mambakernels.plan(**{name: value for name, value in given.items() if name != "timeout"})
    assert [one.label for one in planned.runs] == ["a.one.n=1,word=a", "a.one.n=4,word=c"]
    assert [one.path.parent.resolve() for one in planned.runs] == [(notebook.parent / "out").resolve()] * 2
    assert given["timeout"] == "10m"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("kernel = 'x'", r"no key 'kernel'(.|\n)*matrix\.toml(.|\n)*Did you mean 'kernels'"),
        ("jobs = 'two'", r"jobs is 'two', and should be a whole number"),
        ("zipped = ['n', 'm']", r"zipped is \['n', 'm'\], and should be a list of lists of names"),
        ("grid = 3", "grid is 3, and should be a table"),
        ("jobs = ", "This is not TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_key(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "matrix.toml"
    file.write_text(content)
    with pytest.raises(InvalidRequestError, match=said):
        read_matrix(file)


def test_a_file_that_is_missing_is_shown_as_it_could_be(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no such file(.|\n)*notebooks = "):
        read_matrix(tmp_path / "matrix.toml")


def test_the_keys_of_a_file_are_the_keywords_of_run() -> None:
    keywords = set(inspect.signature(mambakernels.run).parameters) - {"on_run", "progress", "force", "failed"}
    assert set(_File.__struct_fields__) == set(_KINDS) == keywords
