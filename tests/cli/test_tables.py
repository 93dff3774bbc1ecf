"""Tables in a pipe and on a narrow terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mambakernels.bench.published import measurements
from mambakernels.cli import tables

MEASURED = Path(__file__).parents[1] / "data" / "measured"


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(("name", "path"), [("a", "/x" * 200), ("[b]", "y")])
    lines = capsys.readouterr().out.splitlines()
    assert any("/x" * 200 in line for line in lines)
    assert any(line.strip().startswith("[b]") for line in lines)
    tables.print_table(("name",), [], empty="There is none.")
    assert capsys.readouterr().out == "There is none.\n"


@pytest.mark.parametrize("width", ["60", "80", "200"])
def test_on_a_terminal_nothing_is_cut(
    width: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = measurements(MEASURED)
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    tables.print_results(frame)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in shown
    assert all(len(line) <= int(width) for line in shown.splitlines())
    folded = "".join(shown.split())
    for kernel in set(frame["kernel"]):
        assert kernel in folded
    assert "GFLOP/s" in folded
