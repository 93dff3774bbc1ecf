"""The log of a run, which grows as it goes on, and the limit of its memory."""

from __future__ import annotations

import re
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from mambakernels.runs.execute import run


def test_a_log_has_all_that_was_printed_and_how_it_ended(install: Any, write: Any, output: Path) -> None:
    install("one")
    cells = (
        "import os, sys\nprint('no end of line', end='')",
        "print('to stderr ü', file=sys.stderr)\nos.write(int(os.environ.get('LOG', 2)), b'from C\\n')",
        "def fail():\n    raise ValueError('bad luck')\nfail()",
    )
    run(write(*cells, name="study.ipynb"), kernels="one", output=output)
    text = re.sub(r"\[\d\d:\d\d:\d\d\]", "[time]", (output / "logs" / "study.one.log").read_text("utf-8"))
    first, *lines = text.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \S+ [-+]\d{4} .*study\.ipynb on one, attempt 1", first)
    assert lines[:4] == [
        "[time] cell 2 of 4 (A notebook)", "no end of line", "[time] cell 3 of 4 (A notebook)", "to stderr ü",
    ]  # fmt: skip
    assert "from C" in text
    assert "----> 3 fail()" in text
    assert lines[-1].startswith("[time] failed: cell 4 (In [3]")
    assert lines[-1].endswith("ValueError: bad luck")


def test_a_log_can_be_followed_and_counts_attempts(install: Any, write: Any, output: Path, tmp_path: Path) -> None:
    install("one")
    mark = tmp_path / "mark"
    cell = f"import os, pathlib, time\nmark = pathlib.Path({str(mark)!r})\nprint('begun', flush=True)\n"
    cell += "while not mark.exists(): time.sleep(0.05)\nif mark.read_text(): mark.write_text(''); os._exit(3)"
    notebook, log = write(cell, name="study.ipynb"), output / "logs" / "study.one.log"
    runs = Thread(target=run, args=(notebook,), kwargs={"kernels": "one", "output": output, "retries": 1})
    runs.start()
    end = time.monotonic() + 60
    while not (log.exists() and "begun" in log.read_text("utf-8")):
        assert time.monotonic() < end
        time.sleep(0.05)
    mark.write_text("die")
    runs.join()
    text = log.read_text("utf-8")
    assert [line.partition("attempt ")[2] for line in text.splitlines() if "attempt" in line] == ["1", "2"]
    assert "KernelDied: The kernel ended with status 3." in text
    assert text.endswith("] ok\n")
    run(notebook, kernels="one", output=output, force=True)
    assert log.read_text("utf-8").count("attempt") == 1


@pytest.mark.parametrize("where", ["kernel", "child"])
def test_a_run_that_takes_too_much_memory_fails_and_says_how_much(
    where: str, install: Any, write: Any, output: Path
) -> None:
    install("one")
    take = "import time; held = b'x' * (400 << 20); time.sleep(600)"
    cell = take if where == "kernel" else f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {take!r}])"
    begin = time.monotonic()
    [failed] = run(write(cell), kernels="one", output=output, memory="300M")
    assert time.monotonic() - begin < 300
    assert failed.error is not None
    assert (failed.error.ename, failed.error.cell) == ("MemoryLimit", 2)
    assert re.fullmatch(r"The run's processes held [\d.]+[MG] of memory, and may hold 300M\.", failed.error.evalue)


def test_a_run_within_its_memory_is_well(install: Any, write: Any, output: Path) -> None:
    install("one")
    [well] = run(write("held = b'x' * (400 << 20)"), kernels="one", output=output, memory="2G")
    assert well.status == "ok"
