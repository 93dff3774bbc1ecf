from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support.running_kernels import exists, seconds_until

from mambakernels.errors import InvalidRequestError, KernelError, NotFoundError, RunError, StorageError
from mambakernels.progress import Event
from mambakernels.runs.execute import run
from mambakernels.runs.kernelspecs import find_kernels
from mambakernels.runs.records import Run, read_run

pytestmark = pytest.mark.slow


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def test_runs_on_each_kernel_and_records_how(install: Any, write: Any, output: Path) -> None:
    install("first", metadata={"mambakernels": {"environment": "np-first"}}, env={"WHO": "first"})
    install("second", env={"WHO": "second"})
    notebook = write("import os\nprint(os.environ['WHO'], n, flag)", parameters="n = 1\nflag = True")
    before = notebook.read_bytes()

    runs = run(notebook, kernels=["second", "first"], parameters={"n": 7}, output=output)

    assert [(one.kernel, one.status, one.error) for one in runs] == [("second", "ok", None), ("first", "ok", None)]
    assert [one.path.name for one in runs] == ["näme with space.second.ipynb", "näme with space.first.ipynb"]
    assert notebook.read_bytes() == before
    executed = read(runs[1].path)
    nbformat.validate(executed)
    assert executed.cells[-1].outputs[0].text == "first 7 True\n"
    assert executed.metadata.kernelspec.name == "first"
    assert executed.metadata.language_info.name == "python"
    record = executed.metadata.mambakernels
    assert record.kernel.display_name == "Python on first"
    assert record.kernel.metadata == {"environment": "np-first"}
    assert record.parameters == {"n": 7, "flag": True}
    assert record.status == "ok"
    assert record.seconds > 0
    assert record.started.endswith("+00:00")
    assert read_run(runs[1].path) == runs[1]


def test_a_failing_cell_fails_only_its_run_and_keeps_what_was_done(install: Any, write: Any, output: Path) -> None:
    install("broken", env={"BREAK": "1"})
    install("sound")
    failing = (
        "import os, sys\nprint('to the cell', file=sys.stderr)\n"
        "os.write(int(os.environ.get('LOG', 2)), b'from C\\n')\n"
        "if 'BREAK' in os.environ:\n    raise ValueError('no <luck>')\nprint('fine')\nprint('more')"
    )
    notebook = write("print('done')", failing, "print('never')")

    broken, sound = run(notebook, kernels=["broken", "sound"], output=output)

    assert (broken.status, sound.status) == ("failed", "ok")
    error = broken.error
    assert error is not None
    assert (error.cell, error.ename, error.evalue) == (3, "ValueError", "no <luck>")
    assert error.place == 'cell 3 (In [2], under "A notebook")'
    assert error.source.splitlines()[0] == "import os, sys"
    assert error.source.endswith("print('more')")
    assert "Traceback" in error.traceback
    assert "\x1b" not in error.traceback
    assert "to the cell" in error.stderr
    assert "from C" in error.stderr
    executed = read(broken.path)
    assert executed.cells[1].outputs[0].text == "done\n"
    assert executed.cells[2].outputs[-1].output_type == "error"
    assert executed.cells[3].outputs == []
    assert executed.metadata.mambakernels.error.ename == "ValueError"
    assert read_run(broken.path) == broken


def test_a_crash_is_reported_with_what_the_process_wrote(install: Any, write: Any, output: Path) -> None:
    install("crashing")
    cell = "import faulthandler, ctypes\nfaulthandler.enable()\nctypes.string_at(0)"
    [dead] = run(write(cell), kernels="crashing", output=output)
    assert dead.error is not None
    assert "signal SIGSEGV" in dead.error.evalue
    assert "Segmentation fault" in dead.error.stderr


def test_a_kernel_whose_program_is_missing_is_a_failed_run(install: Any, write: Any, output: Path) -> None:
    install("absent", argv=["/no/such/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    install("present")
    absent, present = run(write("1 + 1"), kernels=["absent", "present"], output=output)
    assert absent.error is not None
    assert absent.error.cell is None
    assert absent.error.ename == "KernelNotStarted"
    assert "/no/such/python" in absent.error.evalue
    assert read(absent.path).metadata.mambakernels.status == "failed"
    assert present.status == "ok"


def test_a_kernel_that_ends_while_starting_is_a_failed_run(install: Any, write: Any, output: Path) -> None:
    install("stillborn", argv=[sys.executable, "-c", "raise SystemExit('this environment is broken')"])
    [dead] = run(write("1 + 1"), kernels="stillborn", output=output)
    assert dead.error is not None
    assert dead.error.ename == "KernelDied"
    assert "status 1" in dead.error.evalue
    assert dead.error.stderr == "this environment is broken"


def test_a_kernel_that_never_answers_is_given_up(install: Any, write: Any, output: Path) -> None:
    install("mute", argv=[sys.executable, "-c", "import time; time.sleep(600)"])
    [dead] = run(write("1 + 1"), kernels="mute", output=output, startup_timeout=0.5)
    assert dead.error is not None
    assert dead.error.ename == "KernelNotReady"


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_time_out_is_more_than_nothing(timeout: float, install: Any, write: Any, output: Path) -> None:
    install("here")
    with pytest.raises(InvalidRequestError, match="is not a time-out: a number of seconds, finite and more than 0"):
        run(write("1"), kernels="here", output=output, timeout=timeout)


def test_a_cell_that_takes_too_long_is_stopped(install: Any, write: Any, output: Path) -> None:
    install("slow")
    source = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    events: list[Event] = []
    [late] = run(write(source), kernels="slow", output=output, timeout=1.5, progress=events.append)
    assert late.error is not None
    assert (late.error.cell, late.error.ename) == (2, "TimeoutError")
    assert "näme with space.slow: cell 2 of 2 (A notebook)" in [event.detail for event in events]
    assert str(late.error).startswith('cell 2 (In [1], under "A notebook"): TimeoutError: ')
    assert "1.5 seconds" in late.error.evalue
    assert "time.sleep(600)" in late.error.traceback, "the traceback of an interruption says where it was"
    assert read(late.path).cells[1].outputs[0].text == "begun\n"


def test_unknown_kernels_are_refused_with_the_known_ones(
    install: Any, write: Any, output: Path, tmp_path: Path
) -> None:
    install("known")
    proof = tmp_path / "ran.txt"
    with pytest.raises(NotFoundError, match=r"no kernel nope(.|\n)*Known kernels: .*known"):
        run(write(f"open({str(proof)!r}, 'w')"), kernels=["known", "nope"], output=output)
    assert not proof.exists()
    assert not output.exists()


def test_no_kernel_at_all_is_refused(install: Any, write: Any, output: Path) -> None:
    install("known")
    with pytest.raises(InvalidRequestError, match="No kernel was named"):
        run(write("1"), kernels=[], output=output)


def test_a_broken_kernelspec_is_named(install: Any, write: Any, output: Path) -> None:
    (install("torn") / "kernel.json").write_text("{", encoding="utf-8")
    with pytest.raises(KernelError, match=r"'torn' cannot be read(.|\n)*kernel\.json"):
        run(write("1"), kernels="torn", output=output)


def test_null_in_a_kernelspec_is_taken_as_absent_and_what_no_kernelspec_has_is_said(install: Any) -> None:
    folder = install("odd")
    document = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
    (folder / "kernel.json").write_text(json.dumps({**document, "env": None, "metadata": None}), encoding="utf-8")
    [kernel] = find_kernels(["ODD"])
    assert (kernel.spec.env, kernel.ours, kernel.problem) == ({}, None, None)
    for wrong in ({"env": ["A=1"]}, {"interrupt_mode": "never"}, {"argv": None}):
        (folder / "kernel.json").write_text(json.dumps({**document, **wrong}), encoding="utf-8")
        with pytest.raises(KernelError, match=r"'odd' (cannot be read: The '|names no command)"):
            find_kernels(["odd"])


def test_of_what_a_pattern_matches_a_broken_kernelspec_fails_alone(install: Any, write: Any, output: Path) -> None:
    install("whole-two")
    (install("torn-two") / "kernel.json").write_text("{", encoding="utf-8")
    assert [kernel.problem is None for kernel in find_kernels(["*-two"])] == [False, True]
    [torn] = run(write("1"), kernels="t*-two", output=output)
    assert torn.error is not None
    assert torn.error.ename == "KernelNotStarted"
    assert "'torn-two' cannot be read" in torn.error.evalue


def test_a_kernel_is_the_one_on_disk_in_the_notebooks_folder_and_runs_its_exit_handlers(
    install: Any, write: Any, output: Path, tmp_path: Path
) -> None:
    install("python", env={"WHO": "the one on disk"})  # which jupyter_client would take for python3
    left = tmp_path / "left.txt"
    leave = f"import atexit, os, pathlib\natexit.register(pathlib.Path({str(left)!r}).touch)\n"
    notebook = write(f"{leave}print(os.environ.get('WHO'))\nprint(os.getcwd())")
    [done] = run(notebook, kernels="python", output=output)
    assert read(done.path).cells[1].outputs[0].text.splitlines() == ["the one on disk", str(notebook.parent)]
    assert left.exists()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, NotFoundError),
        ("no JSON", RunError),
        ("[]", RunError),
        ('{"nbformat": 4, "cells": 3}', RunError),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}', RunError),
        ('{"nbformat": 99}', RunError),
    ],
)
def test_what_is_no_notebook_is_refused(
    content: str | None, error: type[Exception], install: Any, output: Path, tmp_path: Path
) -> None:
    install("known")
    path = tmp_path / "bad.ipynb"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(error, match=r"bad\.ipynb"):
        run(path, kernels="known", output=output)
    assert not list(output.glob("*"))


def test_output_that_cannot_be_a_folder_is_refused(install: Any, write: Any, tmp_path: Path) -> None:
    install("known")
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        with pytest.raises(StorageError):
            run(write("1"), kernels="known", output=tmp_path / place)


def test_a_missing_working_folder_is_refused(install: Any, write: Any, output: Path, tmp_path: Path) -> None:
    install("known")
    with pytest.raises(NotFoundError, match="nowhere"):
        run(write("1"), kernels="known", output=output, folder=tmp_path / "nowhere")


def test_progress_counts_the_cells_of_all_runs(install: Any, write: Any, output: Path) -> None:
    install("one")
    install("two")
    events: list[Event] = []
    run(write("1", "", "2"), kernels=["one", "two"], output=output, progress=events.append)
    planned = events.pop(0)
    assert (planned.step, planned.total) == ("plan", 2)
    for name in ("one", "two"):
        mine = [event for event in events if event.item == f"näme with space.{name}"]
        said = [event.detail.partition(f"{name}: ")[2].partition(" in ")[0] for event in mine]
        assert said == ["starting", "cell 2 of 4 (A notebook)", "cell 4 of 4 (A notebook)", "ok"]
        assert [event.outcome for event in mine] == ["", "", "", "ok"]
    done = [event.done for event in events]
    assert (done, done[-1]) == (sorted(done), 4)
    assert {(event.step, event.total) for event in events} == {("run", 4)}


def test_an_exception_while_running_shuts_the_kernel_down(
    install: Any, write: Any, output: Path, tmp_path: Path
) -> None:
    install("known")
    pid = tmp_path / "pid"
    notebook = write(f"import os; open({str(pid)!r}, 'w').write(str(os.getpid()))", "import time; time.sleep(600)")

    def stop(event: Event) -> None:
        if "cell 3" in event.detail:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(notebook, kernels="known", output=output, progress=stop)
    kernel = int(pid.read_text())
    seconds_until(lambda: not exists(kernel), at_most=60)
    [record] = output.glob("*.ipynb")
    kept = read_run(record)
    assert (kept.status, str(kept.error).endswith("Interrupted: The run was interrupted.")) == ("interrupted", True)


def test_ctrl_c_shuts_the_kernel_down(install: Any, write: Any, output: Path, tmp_path: Path) -> None:
    install("known")
    pid = tmp_path / "pid"
    notebook = write(f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    code = (
        "import sys; from mambakernels.runs.execute import run; run(sys.argv[1], kernels='known', output=sys.argv[2])"
    )
    with subprocess.Popen([sys.executable, "-c", code, notebook, output], stderr=subprocess.PIPE, text=True) as child:
        seconds_until(lambda: pid.exists() and pid.read_text() != "", at_most=60)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert child.returncode != 0
    kernel = int(pid.read_text())
    seconds_until(lambda: not exists(kernel), at_most=60)
    [record] = output.glob("*.ipynb")
    kept = read_run(record)
    assert (kept.status, str(kept.error).endswith("Interrupted: The run was interrupted.")) == ("interrupted", True)


def test_resuming_leaves_out_what_is_current_and_runs_what_changed_or_failed(
    install: Any, write: Any, output: Path
) -> None:
    install("known")
    notebook = write("1 / n", parameters="n = 1")
    [first] = run(notebook, kernels="known", output=output)
    events: list[Event] = []
    [same] = run(notebook, kernels="known", output=output, progress=events.append)
    assert same == first
    assert [(event.item, event.detail) for event in events[1:]] == [
        ("näme with space.known", "näme with space.known: already done")
    ]

    [failed] = run(notebook, kernels="known", output=output, parameters={"n": 0})
    [again] = run(notebook, kernels="known", output=output, parameters={"n": 0})
    assert failed.status == again.status == "failed"
    assert again.started > failed.started
    assert again.path == failed.path != first.path

    install("known", env={"SOMETHING": "else"})
    [other_kernel] = run(notebook, kernels="known", output=output)
    assert other_kernel.started > again.started
    assert other_kernel.path == first.path

    write("1 / n + 0", parameters="n = 1")
    [other_notebook] = run(notebook, kernels="known", output=output)
    assert other_notebook.started > other_kernel.started


def test_a_file_of_the_users_is_never_replaced_not_even_from_inside_a_running_event_loop(
    install: Any, write: Any, output: Path
) -> None:
    install("known")
    notebook = write("1", name="a.ipynb")
    output.mkdir()
    (output / "a.known.ipynb").write_text("mine", encoding="utf-8")

    async def cell() -> Run:
        return run(notebook, kernels="known", output=output)[0]

    done = asyncio.run(cell())
    assert done.status == "ok"
    assert (output / "a.known.ipynb").read_text(encoding="utf-8") == "mine"
    assert done.path.name.startswith("a.known.")
    assert done.path.name != "a.known.ipynb"


def test_an_unknown_parameter_is_refused_before_a_kernel_starts(install: Any, write: Any, output: Path) -> None:
    install("known")
    with pytest.raises(InvalidRequestError, match=r"no parameter 'm'(.|\n)*n \(int, default 1\)"):
        run(write("1", parameters="n = 1"), kernels="known", output=output, parameters={"m": 2})
    assert not output.exists()


def test_fields_of_other_tools_and_missing_ids_do_no_harm_and_old_outputs_do_not_survive(
    install: Any, write: Any, output: Path
) -> None:
    install("known")
    notebook = write("print('fine')", "raise ValueError", "2")
    content = json.loads(notebook.read_text(encoding="utf-8"))
    content["cells"][1]["another tools field"] = 1
    del content["cells"][0]["id"], content["cells"][1]["id"]
    content["cells"][3]["outputs"] = [nbformat.v4.new_output("stream", text="stale")]
    notebook.write_text(json.dumps(content), encoding="utf-8")
    [done] = run(notebook, kernels="known", output=output)
    text = done.path.read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    assert cells[1]["outputs"][0]["text"] == ["fine\n"]
    assert cells[1]["another tools field"] == 1
    assert cells[0]["id"] != cells[1]["id"]
    assert "stale" not in text


def test_a_notebook_of_format_3_is_run(install: Any, output: Path, tmp_path: Path) -> None:
    install("known")
    cell = {"cell_type": "code", "language": "python", "input": "print('old')", "outputs": [], "metadata": {}}
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [{"cells": [cell], "metadata": {}}],
    }
    (tmp_path / "old.ipynb").write_text(json.dumps(old), encoding="utf-8")
    [done] = run(tmp_path / "old.ipynb", kernels="known", output=output)
    assert read(done.path).cells[0].outputs[0].text == "old\n"


def test_a_run_can_be_asked_to_raise(install: Any, write: Any, output: Path) -> None:
    install("here")
    (well,) = run(write("1"), kernels="here", output=output)
    assert well.check() is well
    (failed,) = run(write("raise ValueError('no luck')", name="unlucky.ipynb"), kernels="here", output=output)
    with pytest.raises(
        RunError, match=r'unlucky\.ipynb failed in here: cell 2 \(In \[1\], under "A notebook"\): ValueError: no luck\.'
    ) as caught:
        failed.check()
    assert caught.value.where == str(failed.path)
