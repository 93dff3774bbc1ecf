"""Code of the user's own on real kernels: what is asserted is never how fast it was."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mambakernels.bench import comparing
from mambakernels.bench.cases import Settings
from mambakernels.bench.comparing import compare
from mambakernels.bench.measured import Measured
from mambakernels.errors import InvalidRequestError, KernelError, NotFoundError

pytestmark = pytest.mark.slow

Install = Callable[..., Path]

BUDGET = 120  # far more than needed: what ends these measurements is the number of rounds

WITHOUT_NUMPY = "import sys; sys.modules['numpy'] = None\n"
WRONG = "import numpy; right = numpy.matmul; numpy.matmul = lambda *given: right(*given) * 1.001\n"
GONE = {"program": "/nowhere/bin/python", "prefix": "/nowhere"}


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a comparison end after a few rounds, however little of its budget is gone."""
    monkeypatch.setattr(comparing, "Settings", partial(Settings, rounds=3, samples=1))


def matrices(n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, n)), rng.standard_normal((n, n))


def product(a: Any, b: Any) -> Any:
    return np.matmul(a, b)


def is_right(a: Any, b: Any, found: Any) -> bool:
    return np.allclose(found, a @ b)


def needs_a_package(*_: Any) -> Any:
    import no_such_package  # type: ignore[import-not-found]

    return no_such_package


def test_a_function_is_measured_in_turns_and_checked_and_kernels_that_cannot_are_left_out(
    install: Install, tmp_path: Path
) -> None:
    install("well")
    install("wrong", site=WRONG)
    install("bare", site=WITHOUT_NUMPY)
    install("gone", mark=GONE)
    install("r", language="R", argv=["/nowhere/R"])
    found = compare(
        product, kernels=["well", "wrong", "bare", "gone", "r"], setup=matrices, sizes=[16, 32], check=is_right,
        flops=lambda n: 2 * n**3, threads=[1], budget=BUDGET, save=tmp_path / "saved.json",
    )  # fmt: skip
    assert set(found.frame["kernel"]) == {"well", "wrong"}
    assert set(found.frame["operation"]) == {"product", "sort"}
    mine = found.table[~found.table["control"]].set_index(["kernel", "size"])
    assert mine["correct"].to_dict() == {(name, n): name == "well" for name in ("well", "wrong") for n in (16, 32)}
    assert (mine["gflops"] * mine["seconds"] * 1e9).round().tolist() == [2 * n**3 for _, n in mine.index]
    assert set(found.pairs[~found.pairs["control"]]["verdict"]) == {"wrong"}
    lines = "\n".join(found.measured.notes)
    assert "gone is left out: its environment is gone (/nowhere/bin/python)." in lines
    assert "r is left out: its language is R." in lines
    assert "bare is left out: ModuleNotFoundError: import of numpy" in lines
    assert Measured.load(tmp_path / "saved.json").settings == found.measured.settings
    json.dumps(found.as_dict(), allow_nan=False)


def test_several_pieces_of_text_are_measured_under_their_names(install: Install) -> None:
    install("well")
    texts = {"one": "a + a", "two": "b = a * 2\nb + a"}
    found = compare(texts, kernels="well", setup="import numpy as np\na = np.ones(9)", budget=BUDGET)
    assert set(found.frame["operation"]) == {"one", "two", "sort"}
    assert found.ok


def test_what_cannot_be_measured_is_said(install: Install) -> None:
    install("well")
    install("gone", mark=GONE)
    with pytest.raises(InvalidRequestError, match="lambda"):
        compare(lambda: 1, kernels="well")
    with pytest.raises(NotFoundError, match="no kernel never"):
        compare(product, kernels="never")
    with pytest.raises(KernelError, match=r"No kernel can be measured. gone is left out"):
        compare(product, kernels=["gone"])
    with pytest.raises(KernelError, match=r"No kernel could run the code.*ModuleNotFoundError.*no_such_package"):
        compare(needs_a_package, kernels="well", budget=BUDGET)


def test_a_budget_that_is_no_time_and_code_that_is_no_python_are_said() -> None:
    for budget in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InvalidRequestError, match="not a budget: a number of seconds, finite"):
            compare("1", kernels="none", budget=budget)
    with pytest.raises(InvalidRequestError, match="The code is not Python: invalid syntax, line 1") as caught:
        compare("a @", kernels="none")
    assert caught.value.where == "a @"
