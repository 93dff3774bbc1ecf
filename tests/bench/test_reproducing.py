"""A comparison as a notebook: valid, and with the call that leads to the same settings."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from support.measurements import GEMM, kernel, measured, visits

from mambakernels.bench import cases
from mambakernels.bench.cases import Settings, all_cases
from mambakernels.bench.reproducing import as_notebook, request_of


@pytest.mark.parametrize("threads", [(), (1, 2)])
@pytest.mark.parametrize("operations", [("gemm", "svd"), ("fft",), ("gemm", "fft")])
def test_a_request_leads_to_the_same_settings(operations: tuple[str, ...], threads: tuple[int, ...]) -> None:
    settings = Settings(("a", "b"), all_cases(operations, [32, 64], ["float64"]), threads=threads, budget=5.0, seed=3)
    request = request_of(settings)
    again = all_cases(request["operations"], cases.read_sizes(request["sizes"]), request["dtypes"])
    assert set(again) == set(settings.cases)
    assert tuple(request.get("threads", ())) == threads
    assert (request["kernels"], request["budget"], request["seed"]) == (["a", "b"], 5.0, 3)


def test_the_notebook_is_valid_and_its_call_is_the_request() -> None:
    one = kernel("a")
    found = measured([one], list(visits(one, GEMM, [0.001])))
    notebook = nbformat.reads(as_notebook(found), as_version=4)
    nbformat.validate(notebook)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for source in sources:
        compile(source, "cell", "exec")
    calls: list[dict[str, Any]] = []
    stand_in = type("mambakernels", (), {"bench": staticmethod(lambda **given: calls.append(given))})
    exec(sources[0].replace("import mambakernels", ""), {"mambakernels": stand_in})
    assert calls == [request_of(found.settings) | {"save": "comparison.parquet"}]
