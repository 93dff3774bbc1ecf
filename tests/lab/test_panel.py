"""The panel without a browser: what it says of changes, its lines of Python, and what appears where no panel can."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.running_kernels import make_environment, seconds_until

import mambakernels
from mambakernels import errors
from mambakernels.environments import staging
from mambakernels.kernels import registration
from mambakernels.lab import overview
from mambakernels.lab.calls import BackgroundCall, Call, CallOutcome, lines_about
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress
from mambakernels.system import process

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
pytest.importorskip("anywidget", reason="anywidget is not installed")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    """A root with two environments, one of them with a kernel and a variant of it."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    place = Root(tmp_path / "root")
    for name in ("one", "two"):
        add(place, name)
    registration.register_kernels(mambakernels.get("one", root=place))
    registration.register_kernels(mambakernels.get("one", root=place), variant="x", threads=2)
    return place


class _Named:
    """Stands for the engine that a manifest names."""

    name, version = "rattler", "0"


def add(root: Root, name: str) -> None:
    made = make_environment(root.path, name)
    staging.write_manifest(made.prefix, made, _Named())  # type: ignore[arg-type]


def test_what_changed_is_said_in_words(root: Root) -> None:
    before, stamps = overview.look(root), overview.stamps(root)
    assert {entry.name: [kernel.name for kernel in entry.kernels] for entry in before.entries.values()} == {
        "one": ["one", "one-x"],
        "two": [],
    }
    assert overview.stamps(root) == stamps
    add(root, "three")
    assert overview.stamps(root) != stamps
    mambakernels.remove("two", root=root)
    mambakernels.kernels.unregister("one-x", root=root)
    mambakernels.kernels.register("one", variant="y", root=root)
    mambakernels.kernels.register("one", threads=1, root=root)
    after = overview.look(root)
    assert sorted(after.changes_since(before)) == [
        "the kernel one was changed",
        "the kernel one-x was removed",
        "the kernel one-y was registered",
        "three was added",
        "two was removed",
    ]
    assert after.changes_since(after) == []


def test_an_environment_that_is_gone_keeps_its_row_and_a_foreign_one_has_one(root: Root) -> None:
    foreign = make_environment(root.path.parent / "elsewhere", "theirs")
    mambakernels.kernels.register(foreign.prefix, root=root)
    shutil.rmtree(mambakernels.get("one", root=root).prefix)
    states = {entry.name: (entry.state, entry.argument) for entry in overview.look(root).entries.values()}
    assert states == {
        "one": ("is gone", str(root.environments / "one")),
        "theirs": ("ready", str(foreign.prefix)),
        "two": ("no kernel", "two"),
    }


def test_a_call_is_the_line_that_it_shows(root: Root) -> None:
    call = Call("kernels.register", ("two",), {"variant": "it's", "env": {"A": "1"}, "root": str(root.path)})
    [spec] = eval(str(call), {"mambakernels": mambakernels})
    assert call(lambda _event: None) == [spec]
    assert (spec.name, spec.variables) == ("two-it-s", {"A": "1"})


def test_it_watches_as_long_as_it_is_shown(root: Root) -> None:
    def watchers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "mambakernels.lab"]

    panel = mambakernels.lab.manager(root.path).panel
    assert panel is not None
    assert watchers() == []
    for kind in ("shown", "shown", "hidden", "hidden", "shown"):
        panel.table._handle_custom_msg({"kind": kind}, [])
    seconds_until(lambda: all(row["findings"] != "…" != row["size"] for row in panel.table.rows), at_most=100)
    assert len(watchers()) == 1
    add(root, "late")
    seconds_until(lambda: "late was added" in panel.table.news, at_most=100)
    panel.table._handle_custom_msg({"kind": "hidden"}, [])
    seconds_until(lambda: watchers() == [], at_most=100)


def test_each_page_shows_its_line_and_a_mistake_is_explained(root: Root) -> None:
    panel = mambakernels.lab.manager(root.path).panel
    assert panel is not None
    create, kernels, doctor, remove = panel.forms
    given = f"root={str(root.path)!r}"
    specs = ["python", "numpy", "libblas=*=*openblas", "threadpoolctl", "ipykernel"]
    assert panel.activity.code == f"mambakernels.create('np-openblas', {specs!r}, {given})"
    create.preset.value = ""
    create.file.value = "environment.yml"
    assert panel.activity.code == f"mambakernels.create('', file='environment.yml', {given})"
    create.engine.value = "rattler"
    assert panel.activity.code == f"mambakernels.create('', file='environment.yml', engine='rattler', {given})"
    panel.box.children[1].selected_index = 1
    kernels.variant.value, kernels.threads.value = "z", 1
    assert panel.activity.code == f"mambakernels.kernels.register('one', variant='z', threads=1, {given})"
    kernels.shown_as.value = "Mine on {blas}"
    named = "display_name='Mine on {blas}', variant='z', threads=1"
    assert panel.activity.code == f"mambakernels.kernels.register('one', {named}, {given})"
    kernels.variables.value = "A=1 B"
    assert panel.activity.code == "'B' is not NAME=VALUE. For example: OPENBLAS_CORETYPE=Haswell"
    panel.act(kernels.action)
    assert (panel.job, panel.activity.kind) == (None, "error")
    panel.box.children[1].selected_index = 2
    assert panel.activity.code == f"mambakernels.doctor('one', {given})"
    panel.box.children[1].selected_index = 3
    assert panel.activity.code == f"mambakernels.remove('one', {given})"
    assert all(ast.parse(str(form.action().call)) for form in (create, doctor, remove))


def test_one_thing_at_a_time_and_it_can_be_stopped() -> None:
    events: list[Event] = []
    ended: list[CallOutcome] = []
    begun, over = threading.Event(), threading.Event()

    def work(_progress: Progress) -> None:
        begun.set()
        process.stream([sys.executable, "-c", "import time; time.sleep(600)"])
        raise AssertionError

    job = BackgroundCall(work, progress=events.append, ended=lambda outcome: (ended.append(outcome), over.set()))  # type: ignore[arg-type]
    assert begun.wait(60)
    job.stop()
    assert over.wait(60)
    assert job.wait(60)
    assert [outcome.stopped for outcome in ended] == [True]


def test_what_goes_on_ends_with_the_process() -> None:
    code = """
import sys, threading
from mambakernels.lab.calls import BackgroundCall
from mambakernels.system import process
child = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
begun = threading.Event()
work = lambda progress: process.stream(child, on_line=lambda line: (print(line, flush=True), begun.set()))
BackgroundCall(work, progress=print, ended=lambda outcome: print("stopped:", outcome.stopped, flush=True))
begun.wait()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    pid, said = ended.stdout.splitlines()
    assert said == "stopped: True"
    assert not Path(f"/proc/{pid}").exists()


def test_an_error_is_told_in_three_lines_and_a_fault_is_called_one() -> None:
    known = errors.EngineError("It failed.", where="/there", next_step="Do this.")
    assert lines_about(known) == ("It failed.", "/there", "Do this.")
    assert lines_about(KeyError("x"))[0] == "KeyError: 'x'"


def test_without_widgets_the_text_says_what_to_use(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mambakernels.lab.manager(root)._repr_mimebundle_().keys() == {
        "text/plain",
        "application/vnd.jupyter.widget-view+json",
    }
    monkeypatch.setitem(sys.modules, "mambakernels.lab.panel", None)
    found = mambakernels.lab.manager(root)
    assert found._repr_mimebundle_() == {"text/plain": str(found)}
    assert 'pip install "mambakernels[lab]"' in str(found)


@pytest.mark.slow
def test_in_a_console_the_text_says_what_to_use(root: Root) -> None:
    """`jupyter console`, with a kernel that has the widgets, and a terminal that has none."""
    pytest.importorskip("jupyter_console", reason="jupyter_console is not installed")
    code = "import mambakernels; mambakernels.lab.manager()\nquit\n"
    shown = subprocess.run(
        [sys.executable, "-m", "jupyter_console", "--simple-prompt"],
        input=code,
        env={**os.environ, "MAMBAKERNELS_ROOT": str(root.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    assert f"Environments in {root.path}: one, two." in shown
    assert "The panel needs a front end with widgets" in shown
    assert "mambakernels list | create | register | remove | doctor" in shown
