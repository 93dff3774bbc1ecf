"""A record holds what a reader saw, output by output, whatever the notebook does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support.command_line import Call
from support.python_kernels import ARGV
from support.running_kernels import seconds_until

from mambakernels.runs import recorder
from mambakernels.runs.execute import run
from mambakernels.runs.notebooks import heading_above
from mambakernels.runs.records import read_run

pytestmark = pytest.mark.slow


def test_a_failure_is_the_one_that_the_reader_sees() -> None:
    shown = nbformat.v4.new_output("error", ename="ValueError", evalue="r", traceback=["Cell In[1]", "ValueError: r"])
    cell = nbformat.v4.new_code_cell(outputs=[shown])
    reply = {"ename": "NoneType", "evalue": "None", "traceback": ["of the shell"]}  # where an object's repr raises
    failure = recorder._raised(reply, cell)
    assert (str(failure), failure.traceback) == ("ValueError: r", "Cell In[1]\nValueError: r")
    assert str(recorder._raised(reply, nbformat.v4.new_code_cell())) == "NoneType: None"


def short(output: Any) -> Any:
    """Return a text as it is, a display as its plain text in a list, an error as its name in a tuple."""
    if output.output_type == "stream":
        return output.text
    return (output.ename,) if output.output_type == "error" else [output.data["text/plain"]]


IN_TURN = (
    "for n in range(3):\n    print('heading', n, flush=True)\n    display(n)",
    "import sys\nfor n in range(2):\n    print(n, flush=True)\n    print(n, file=sys.stderr, flush=True)",
)
IN_PLACE = (
    "print('a', flush=True); print('b', flush=True); shown = display('old', display_id=True); print('c')",
    "shown.update('new')",
    "from IPython.display import clear_output\nprint('gone'); clear_output(wait=True); print('kept')",
    "print('kept'); clear_output(wait=True)",
    "print('gone'); clear_output()",
)
LATE = """
import threading, time
def late():
    time.sleep(0.5)
    print('late', flush=True)
thread = threading.Thread(target=late); thread.start(); print('started')
"""
JOINED = "thread.join(); time.sleep(0.2); print('joined')"
BAR = "for n in (1, 50, 100): print(f'\\r{n} %', end='', flush=True)\nprint('\\ndone')"


def test_outputs_are_in_their_cells_in_the_order_in_which_they_came(install: Any, write: Any, output: Path) -> None:
    install("here")
    [result] = run(write(*IN_TURN, *IN_PLACE, LATE, JOINED, BAR), kernels="here", output=output)
    assert result.status == "ok", result.error
    outputs = [list(map(short, cell.outputs)) for cell in nbformat.read(result.path, as_version=4).cells[1:]]
    assert outputs[0] == ["heading 0\n", ["0"], "heading 1\n", ["1"], "heading 2\n", ["2"]]
    assert outputs[1] == ["0\n", "0\n", "1\n", "1\n"]
    # An output of an earlier cell is updated, and cleared, in place.
    assert outputs[2:7] == [["a\nb\n", ["'new'"], "c\n"], [], ["kept\n"], ["kept\n"], []]
    # What a thread prints later goes to the cell that started it.
    assert outputs[7:9] in ([["started\nlate\n"], ["joined\n"]], [["started\n"], ["late\njoined\n"]])
    # A progress bar leaves what is seen in the end.
    assert "".join(outputs[9][0]).replace("\r", "") == "100 %\ndone\n"
    assert len(outputs[9]) == 1


@pytest.mark.parametrize("count", [1_500, pytest.param(20_000, marks=pytest.mark.exhaustive)])  # zmq queues 1,000
@pytest.mark.parametrize("cell", ["display(n)", "print(n, flush=True)"])
def test_none_of_many_outputs_is_lost_in_silence(cell: str, count: int, install: Any, write: Any, output: Path) -> None:
    install("here")
    [result] = run(write(f"for n in range({count}): {cell}"), kernels="here", output=output)
    got = [short(one) for one in nbformat.read(result.path, as_version=4).cells[1].outputs]
    whole = [[str(n)] for n in range(count)] if "display" in cell else ["".join(f"{n}\n" for n in range(count))]
    # A kernel that no processor is free to read from drops messages: then the run has failed, and says so.
    assert (result.status, got) == ("ok", whole) or (result.error is not None and result.error.ename == "OutputLost")


@pytest.mark.parametrize("lost", ["idle", "everything"])
def test_the_last_messages_of_a_cell_are_missed(
    lost: str, install: Any, write: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("here")
    monkeypatch.setattr(recorder, "OUTPUT_SECONDS", {"idle": 300, "everything": 8}[lost])
    loses = f"""
        session = get_ipython().kernel.session
        send, lost = session.send, []
        def sends(stream, kind, content=None, parent=None, **more):
            ours = parent and parent["header"]["msg_type"] == "execute_request"
            if ours and kind == "status" and content["execution_state"] == "idle" or {lost == "everything"} and lost:
                lost.append(kind)
                return None
            return send(stream, kind, content, parent, **more)
        session.send = sends
    """
    begin = time.monotonic()
    [result] = run(write(textwrap.dedent(loses)), kernels="here", output=output)
    assert result.error is not None
    assert result.error.ename == {"idle": "OutputLost", "everything": "TimeoutError"}[lost]
    assert time.monotonic() - begin < 200


def test_what_cannot_be_encoded_is_recorded(install: Any, write: Any, output: Path) -> None:
    install("here")
    path = write("print('ü', chr(0))")
    content = json.loads(path.read_text("utf-8"))
    content["cells"][0]["source"] = "half of an emoji: \ud83d"
    path.write_text(json.dumps(content), "utf-8")
    [result] = run(path, kernels="here", output=output)
    assert result.status == "ok"
    executed = json.loads(result.path.read_bytes())
    assert "".join(executed["cells"][0]["source"]) == content["cells"][0]["source"]
    assert executed["cells"][1]["outputs"][0]["text"] == ["ü \0\n"]


def test_a_cell_may_raise_where_its_tag_says_so(install: Any, write: Any, output: Path) -> None:
    install("here")
    path = write("1/0", "2/0", "print('after')")
    content = json.loads(path.read_text("utf-8"))
    content["cells"][1]["metadata"]["tags"] = ["raises-exception"]
    content["cells"][2] |= {
        "metadata": {"tags": ["skip-execution"]},
        "execution_count": 7,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "as it was"}],
    }
    path.write_text(json.dumps(content), "utf-8")
    [result] = run(path, kernels="here", output=output)
    assert result.status == "ok"
    cells = nbformat.read(result.path, as_version=4).cells
    shown = [list(map(short, cell.outputs)) for cell in cells[1:]]
    assert shown == [
        [("ZeroDivisionError",)],
        ["as it was"],
        ["after\n"],
    ]
    assert (cells[2].execution_count, cells[3].execution_count) == (7, 2)


def test_what_an_earlier_run_left_is_dropped_before_anything_is_checked(install: Any, write: Any, output: Path) -> None:
    install("here")
    path = write()
    content = json.loads(path.read_text("utf-8"))
    content["cells"] += [
        {"cell_type": "code", "source": ["print(1)"], **left}
        for left in (
            {},
            {"execution_count": "*", "outputs": None},
            {"execution_count": 3, "outputs": [{"output_type": "nonsense"}, 7]},
            {"metadata": None, "outputs": [{"output_type": "stream", "text": 1}]},
            {"metadata": {"tags": None}, "id": 5},
        )
    ]
    path.write_text(json.dumps(content), "utf-8")
    [result] = run(path, kernels="here", output=output)
    assert result.status == "ok"
    executed = nbformat.read(result.path, as_version=4)
    nbformat.validate(executed)
    assert [[output.text for output in cell.outputs] for cell in executed.cells[1:]] == [["1\n"]] * 5


def test_a_kernelspec_that_cannot_be_started_fails_alone(install: Any, write: Any, output: Path) -> None:
    install("variables", env={"N": 1})
    install("words", argv=[sys.executable, "-m", "ipykernel_launcher", 5])
    install("here")
    *odd, here = run(write("print(1)"), kernels=["variables", "words", "here"], output=output)
    assert here.status == "ok"
    for one in odd:
        assert one.status == "failed"
        assert one.error is not None
        assert one.error.ename == "KernelNotStarted"
        assert read_run(one.path) == one


def test_a_wrapper_gets_its_words_and_no_others_and_sockets_that_it_can_reach(
    install: Any, write: Any, output: Path, tmp_path: Path
) -> None:
    """The stand-in for a container, into which the connection file is mounted and nothing else of this machine."""
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('[ $# = 5 ] && grep -q \'"transport": "tcp"\' "$5" && exec "$@"\nexit 9\n')
    install("wrapped", argv=["/bin/sh", str(wrapper), *ARGV])
    [result] = run(write("print(1)"), kernels="wrapped", output=output)
    assert result.error is None


def test_what_is_not_foreseen_fails_one_run(
    install: Any, write: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("first")
    install("second")
    calls: list[int] = []

    def fail_once(*_arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("not foreseen")

    monkeypatch.setattr("mambakernels.runs.session.Session.keep_widgets", fail_once)
    first, second = run(write("print(1)"), kernels=["first", "second"], output=output)
    assert (str(first.error), second.status) == ("RuntimeError: not foreseen", "ok")


def test_a_killed_runner_leaves_what_there_was(install: Any, write: Any, output: Path) -> None:
    install("here")
    notebook = write("print('first')", "import time\nprint('begun', flush=True); time.sleep(600)")
    code = "import sys; from mambakernels.runs.execute import run; run(sys.argv[1], kernels='here', output=sys.argv[2])"
    with subprocess.Popen([sys.executable, "-c", code, notebook, output]) as child:
        record = output / f"{notebook.stem}.here.ipynb"
        end = time.monotonic() + 60
        while not (record.exists() and r'"begun\n"' in record.read_text("utf-8")):  # the output, not the source
            assert time.monotonic() < end
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
    assert read_run(record).status == "running"
    texts = [cell.outputs[0].text for cell in nbformat.read(record, as_version=4).cells[1:]]
    assert texts == ["first\n", "begun\n"]
    assert list(output.glob("[!.]*.ipynb")) == [record]
    [again] = run(write("print('other')"), kernels="here", output=output)  # takes the claim of the killed runner
    assert (again.path, again.status) == (record, "ok")


@pytest.mark.parametrize(
    ("number", "option"),
    [
        (signal.SIGINT, "--json"),
        (signal.SIGTERM, "--quiet"),
        pytest.param(signal.SIGINT, "--quiet", marks=pytest.mark.exhaustive),
    ],
)
def test_a_signal_ends_with_what_is_finished(  # noqa: PLR0917 (fixtures)
    number: int, option: str, install: Any, write: Any, output: Path, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        install(name)
    mark = tmp_path / "mark"
    notebook = write(f"import os, time\nif os.path.exists({str(mark)!r}): time.sleep(600)\nopen({str(mark)!r}, 'w')")
    words = ["-m", "mambakernels", "run", str(notebook), "-k", "first", "-k", "second", "-o", str(output), option]
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as child:
        record = output / f"{notebook.stem}.second.ipynb"
        end = time.monotonic() + 60
        while not record.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        child.send_signal(number)
        printed, said = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert "1 of 2 runs finished." in printed + said
    assert (option == "--json") == printed.startswith("[")
    assert "first" in printed + said
    assert [read_run(output / f"{notebook.stem}.{name}.ipynb").status for name in ("first", "second")] == [
        "ok",
        "interrupted",
    ]


def test_a_failed_cell_is_shown_where_it_is_read_first(install: Any, write: Any, output: Path, cli: Call) -> None:
    install("here")
    notebook = write("print('said before'); display('shown before'); raise ValueError('no luck')")
    answer = cli("run", notebook, "-k", "here", "-o", output, "--html", "--quiet")
    assert answer.returncode == 1
    for part in ('cell 2 (In [1], under "A notebook")', "raise ValueError", "Traceback", "said before", "shown before"):
        assert part in answer.stderr
    page = (output / f"{notebook.stem}.here.html").read_text("utf-8")
    assert "no luck" in page
    [listed] = json.loads(cli("run", notebook, "-k", "here", "-o", output, "--json").stdout)
    error = listed["error"]
    assert (error["cell"], error["prompt"], error["heading"]) == (2, 1, "A notebook")
    assert error["source"] in answer.stderr
    assert error["output"] == "said before\n'shown before'"
    assert error["traceback"] in answer.stderr


def test_an_interrupted_run_says_in_which_cell(install: Any, write: Any, output: Path, tmp_path: Path) -> None:
    install("here")
    begun = tmp_path / "begun"
    cell = f"print('begun', flush=True); import time; open({str(begun)!r}, 'w').close(); time.sleep(600)"
    notebook = write("print('first')", cell)

    def stop(event: Any) -> None:
        if "cell 3" in event.detail:
            seconds_until(begun.exists, at_most=120)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(notebook, kernels="here", output=output, progress=stop)
    error = read_run(output / f"{notebook.stem}.here.ipynb").error
    assert error is not None
    assert str(error) == 'cell 3 (In [2], under "A notebook"): Interrupted: The run was interrupted.'
    assert (error.source.partition(";")[0], error.output) == ("print('begun', flush=True)", "begun")


def test_numbers_that_json_does_not_have_are_null(install: Any, write: Any, output: Path) -> None:
    """Papermill writes parameters like that, and JupyterLab cannot open the file."""
    install("here")
    path = write("print(1)")
    content = json.loads(path.read_text("utf-8"))
    content["metadata"]["papermill"] = {"parameters": {"x": float("nan"), "ys": [float("inf"), 1.5]}}
    path.write_text(json.dumps(content), "utf-8")
    [result] = run(path, kernels="here", output=output)
    executed = json.loads(result.path.read_bytes(), parse_constant=pytest.fail)
    assert executed["metadata"]["papermill"]["parameters"] == {"x": None, "ys": [None, 1.5]}


def test_a_comment_in_a_fenced_block_is_no_heading() -> None:
    text = "## Real\n```python\n# comment\n```\n~~~\n# open to the end"
    assert heading_above([{"cell_type": "markdown", "source": text}, {"cell_type": "code"}], 1) == "Real"


@pytest.mark.parametrize("text", ["Real\n===", "# One\n\n  Real  \n---\n\nx", "# Real #\n\n---\n- a\n---\n> b\n---"])
def test_a_heading_may_be_underlined(text: str) -> None:
    assert heading_above([{"cell_type": "markdown", "source": text}, {"cell_type": "code"}], 1) == "Real"
