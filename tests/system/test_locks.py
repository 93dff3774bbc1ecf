"""The package cache: any number of users at once, and nobody while it is emptied."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mambakernels import environments
from mambakernels.paths import Root
from mambakernels.progress import Event
from mambakernels.system import locks

USE = (
    "import sys, time; from pathlib import Path; from mambakernels.system.locks import using_packages;"
    "from mambakernels.paths import Root\n"
    "with using_packages(Root(Path(sys.argv[1]))): print('using', flush=True); time.sleep(600)"
)


@contextmanager
def a_user(root: Root) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the package cache until it is killed."""
    with subprocess.Popen([sys.executable, "-c", USE, str(root.path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "using\n"
        try:
            yield child
        finally:
            child.kill()


def test_many_use_it_at_once(empty_root: Root) -> None:
    events: list[Event] = []
    with a_user(empty_root), a_user(empty_root), locks.using_packages(empty_root, progress=events.append):
        assert len(list(empty_root.locks.glob("in-use-*.lock"))) == 3
    assert events == []


def test_it_is_emptied_when_the_last_user_has_gone_however_that_ended(empty_root: Root) -> None:
    (empty_root.packages / "some").mkdir(parents=True)
    (empty_root.packages / "some" / "file").write_bytes(b"x" * 1000)
    said: list[Event] = []
    with a_user(empty_root) as user:
        cleaning = threading.Thread(target=lambda: environments.clean_root(empty_root, progress=said.append))
        cleaning.start()
        while not said:
            time.sleep(0.01)
        assert said == [Event("wait", "another process is using the package cache")]
        assert empty_root.packages.exists()
        user.kill()
        cleaning.join(120)
    assert not cleaning.is_alive()
    assert not empty_root.packages.exists()
    assert list(empty_root.locks.glob("in-use-*")) == []


def test_clean_says_what_it_frees_and_leaves_what_is_in_use(empty_root: Root, tmp_path: Path) -> None:
    (empty_root.packages / "p").mkdir(parents=True)
    (empty_root.packages / "p" / "own").write_bytes(b"x" * 1000)
    (empty_root.packages / "p" / "shared").write_bytes(b"x" * 500)
    (tmp_path / "elsewhere").hardlink_to(empty_root.packages / "p" / "shared")
    (empty_root.environments / ".np.0123abcd").mkdir(parents=True)
    (empty_root.environments / ".put-back.0123abcd.old").mkdir()
    (empty_root.environments / ".somebodys").mkdir()
    (empty_root.trash / "gone.0123abcd").mkdir(parents=True)
    planned = environments.clean_root(empty_root, dry_run=True)
    assert {item.path.name: item.size for item in planned} == {
        "pkgs": 1000,
        ".trash": 0,
        ".np.0123abcd": 0,
        ".put-back.0123abcd.old": 0,
    }
    assert empty_root.packages.exists()
    assert environments.clean_root(empty_root) == planned
    assert sorted(path.name for path in empty_root.environments.iterdir()) == [".somebodys", "put-back"]
    assert not empty_root.packages.exists()
    assert not empty_root.trash.exists()


MEASURE = (
    "import sys, time; from pathlib import Path; from mambakernels.system.locks import measuring;"
    "from mambakernels.paths import Root\n"
    "with measuring(Root(Path(sys.argv[1]))): print('measuring', flush=True); time.sleep(float(sys.argv[2]))"
)


def test_measurements_wait_for_each_other_but_not_for_a_part_of_themselves(empty_root: Root) -> None:
    words = [sys.executable, "-c", MEASURE, str(empty_root.path)]
    events: list[Event] = []
    with subprocess.Popen([*words, "600"], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "measuring\n"

        def wait(event: Event) -> None:
            events.append(event)
            other.kill()

        with locks.measuring(empty_root, progress=wait):
            part = subprocess.run([*words, "0"], capture_output=True, text=True, check=True, timeout=120)
    assert part.stdout == "measuring\n"
    assert [(event.step, event.detail) for event in events] == [("wait", "another measurement is going on")]
    assert locks._MEASURING not in os.environ
