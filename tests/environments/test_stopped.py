"""An interruption between the moment an environment appears and the moment its kernel does: nothing is left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import pytest
from support.world import World

import mambakernels
from mambakernels import environments, kernels
from mambakernels.environments import linker
from mambakernels.kernels import registration
from mambakernels.paths import Root
from mambakernels.progress import Event
from mambakernels.system import locks, process


def _stop(*_arguments: Any, **_options: Any) -> NoReturn:
    """Stand for a stop that arrives at this moment."""
    raise process.Stopped


class _Stopping:
    """A `closing` that stops once the engine is closed; the environment is in its place by then."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __enter__(self) -> Any:
        return self._engine

    def __exit__(self, *_: object) -> None:
        self._engine.close()
        raise process.Stopped


@pytest.mark.parametrize(
    ("module", "name", "fake"),
    [(registration, "capture", _stop), (registration._Registration, "write", _stop), (linker, "closing", _Stopping)],
)
def test_nothing_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, fake: Callable[..., Any]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, name, fake)
        with pytest.raises(process.Stopped):
            world.create("late")
    assert mambakernels.list(root=world.root) == []
    assert kernels.list(root=world.root) == []
    assert world.hidden() == []
    assert world.create("late").name == "late"
    assert [spec.name for spec in kernels.list(root=world.root)] == ["late"]


def test_an_environment_that_was_there_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.create("early", register=False)
    monkeypatch.setattr(registration, "capture", _stop)
    with pytest.raises(process.Stopped):
        world.create("early")
    assert mambakernels.list(root=world.root) == [made]


def test_who_waits_for_a_lock_can_be_stopped(empty_root: Root) -> None:
    group, events = process.Group(), threading.Event()
    spec = environments.EnvironmentSpec("held", ("python",), ("wheels",), "rattler")

    def wait() -> None:
        def seen(event: Event) -> None:
            if event.step == "wait":
                events.set()

        with suppress(process.Stopped), group.joined():
            environments.create_environment(spec, root=empty_root, progress=seen)

    with locks.locked(empty_root, "env-held"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert events.wait(60)
        group.stop()
        waiting.join(60)
        assert not waiting.is_alive()
    assert mambakernels.list(root=empty_root) == []


def test_the_size_counts_what_only_this_environment_has(world: World) -> None:
    made = world.create("sized")
    used = made.disk_usage()
    shared = sum(
        path.lstat().st_size for path in made.prefix.rglob("*") if path.lstat().st_nlink > 1 and path.is_file()
    )
    assert used.total - used.own == shared
    assert used.own > 0
    (made.prefix / "mine").write_bytes(b"x" * 1000)
    assert made.disk_usage().own == used.own + 1000
    described = mambakernels.describe("sized", root=world.root)
    assert (described["size"], described["own_size"]) == (used.total + 1000, used.own + 1000)
