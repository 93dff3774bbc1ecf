"""Durations, amounts of memory, ranges and lists, as people type them."""

from __future__ import annotations

import pytest

from mambakernels.errors import InvalidRequestError
from mambakernels.system.quantities import duration_in_words, memory_in_words, read_duration, read_memory
from mambakernels.system.ranges import read_range, split_list


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(90, 90), (0.5, 0.5), ("90", 90), ("45s", 45), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400),
     ("1 h 30 m", 5400), ("1d", 86400)],
)  # fmt: skip
def test_durations_are_read(given: float | str, seconds: float) -> None:
    assert read_duration(given) == seconds


@pytest.mark.parametrize("given", [0, -1, "0", "", "soon", "10 minutes", "m10", "nan", "inf", "10m5"])
def test_what_is_not_a_duration_is_refused(given: float | str) -> None:
    with pytest.raises(InvalidRequestError, match=r"not a time-out(.|\n)*1h30m"):
        read_duration(given)
    with pytest.raises(InvalidRequestError, match=r"not a budget(.|\n)*the default"):
        read_duration(given, "budget")


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.21, "3.2 s"), (59.97, "1 min 0 s"), (119.7, "2 min 0 s"), (130, "2 min 10 s"),
                           (3599.8, "1 h 0 min"), (3900, "1 h 5 min")],
)  # fmt: skip
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


def test_memory_is_read_and_shown_in_powers_of_1024() -> None:
    assert [read_memory(given) for given in ("4G", "1.5g", "500MiB", "2 KB", 7)] == [
        4 * 1024**3, 1024**3 * 3 // 2, 500 * 1024**2, 2048, 7,
    ]  # fmt: skip
    assert [memory_in_words(read_memory(text)) for text in ("4G", "1.5G", "500M", "2T")] == ["4G", "1.5G", "500M", "2T"]
    for given in ("4", "", "G", "0G", "much", 0):
        with pytest.raises(InvalidRequestError, match="not an amount of memory"):
            read_memory(given)


def test_a_range_is_not_made_before_it_is_counted() -> None:
    assert len(read_range("1:1000000000:1") or ()) == 10**9
    assert read_range("1:2:3:4") is read_range("a:b") is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a,b", ["a", "b"]), ("[1,2],[3]", ["[1,2]", "[3]"]), ("'a,b', c", ["'a,b'", " c"]), ("it's,so", ["it's", "so"]),
     ('["a,]",1],2', ['["a,]",1]', "2"]), ("", [""]), ("a,,b", ["a", "", "b"]), (r"'\',a',b", [r"'\',a'", "b"]),
     ("{a: 1, b: 2}", ["{a: 1, b: 2}"]), ("a],b", ["a]", "b"])],
)  # fmt: skip
def test_lists_are_split_at_their_own_commas(text: str, parts: list[str]) -> None:
    assert split_list(text) == parts
