from __future__ import annotations

import msgspec
import pytest

from mambakernels.bench.cases import Case, Settings, all_cases, read_counts, read_sizes
from mambakernels.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("256", (256,)),
        ("64, 100,64", (64, 100)),
        ("256:4096:log2", (256, 512, 1024, 2048, 4096)),
        ("256:4096", (256, 512, 1024, 2048, 4096)),
        ("100:1000:log2", (100, 200, 400, 800)),
        ("100:500:200", (100, 300, 500)),
        ("8,16:64:log2", (8, 16, 32, 64)),
    ],
)
def test_sizes_are_read(text: str, sizes: tuple[int, ...]) -> None:
    assert read_sizes(text) == sizes


@pytest.mark.parametrize(
    "text", ["", "big", "256:log2", "0", "-4", "512:256:log2", "1:1000000:1", "1:9:0", "0:64:log2"]
)
def test_what_are_no_sizes_is_said(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not a list of sizes"):
        read_sizes(text)


def test_numbers_are_taken_as_they_are() -> None:
    assert read_sizes([64, 128]) == (64, 128)
    assert read_counts([1, 2]) == read_counts("1,2") == (1, 2)
    assert read_counts("") == read_counts(()) == ()
    assert read_counts("0,1") == (0, 1)
    with pytest.raises(InvalidRequestError):
        read_sizes([64, True])
    with pytest.raises(InvalidRequestError):
        read_sizes([1.5])  # type: ignore[list-item]


@pytest.mark.parametrize("text", ["two", "1,-2", "1.5", "1,9999"])
def test_what_are_no_numbers_of_threads_is_said(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="not a list of thread counts"):
        read_counts(text)


def test_controls_join_what_was_asked_for() -> None:
    cases = all_cases(["gemm", "fft"], [64, 128], ["float64", "float32"])
    assert [case for case in cases if case.operation == "gemm"][:2] == [
        Case("gemm", "float64", 64),
        Case("gemm", "float64", 128),
    ]
    assert {case.operation for case in cases if case.control} == {"fft", "exp", "sort"}
    assert len([case for case in cases if case.operation == "fft"]) == 4


@pytest.mark.parametrize(
    ("operations", "dtypes", "words"),
    [(["gem"], ["float64"], "Unknown operation: gem"), ([], ["float64"], "No operation"), (["gemm"], ["int8"], "int8")],
)
def test_what_is_not_known_is_said(operations: list[str], dtypes: list[str], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words) as caught:
        all_cases(operations, [64], dtypes)
    assert caught.value.next_step


def test_settings_survive_being_written_down() -> None:
    settings = Settings(("a", "b"), all_cases(["svd"], [64], ["float64"]), (1, 2), budget=3.5, seed=9)
    assert msgspec.convert(msgspec.to_builtins(settings), Settings) == settings
