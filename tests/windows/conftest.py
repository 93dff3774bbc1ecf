"""What the try-out shares: a channel with a real CPython in it, and environments made from it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.platform != "win32":
    collect_ignore_glob = ["test_*.py"]
else:
    from support import windows_machine as machine

    from mambakernels.environments import Environment, get
    from mambakernels.paths import Root

    # As Jupyter's servers do; with the default one, the tests' own clients of kernels warn.
    asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    Cli = Callable[..., subprocess.CompletedProcess[bytes]]

    @pytest.fixture(scope="module", autouse=True)
    def _nothing_is_left() -> Iterator[None]:
        """No process that a module's tests have started, of whatever kind, is there after them."""
        before = machine.running()
        yield
        assert machine.left_over(before) == []

    @pytest.fixture(scope="session", name="place")
    def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder with signs that cmd.exe minds; all are ASCII, as Wine's cmd.exe reads no batch file in UTF-8."""
        return tmp_path_factory.mktemp("R&D (it's)")

    @pytest.fixture(scope="session", name="root")
    def _root(place: Path) -> Root:
        return Root(place / "root")

    @pytest.fixture(scope="session", name="channel")
    def _channel(place: Path) -> str:
        machine.make_channel(place / "channel")
        return (place / "channel").as_uri()

    @pytest.fixture(scope="session", name="cli")
    def _cli(root: Root) -> Cli:
        """The installed program, with standard output and error in pipes."""

        def call(*words: str | Path, shell: bool = False, **variables: str) -> subprocess.CompletedProcess[bytes]:
            program = Path(sys.prefix, "Scripts", "mambakernels.exe")
            command = subprocess.list2cmdline([str(program), *map(str, words)])
            return subprocess.run(
                ["cmd.exe", "/d", "/c", command] if shell else command,
                env={**os.environ, "MAMBAKERNELS_ROOT": str(root.path), **variables},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=300,
            )

        return call

    @pytest.fixture(scope="session", name="first")
    def _first(root: Root, channel: str, cli: Cli) -> Environment:
        """An environment made on the command line, registered as a kernel; no test changes it."""
        made = cli("create", "first", "python=3.11.*", "ipykernel", "tool", "--channel", channel, "--engine", "rattler")
        assert made.returncode == 0, made.stderr.decode()
        return get("first", root)

    @pytest.fixture(scope="session", name="second")
    def _second(root: Root, first: Environment, cli: Cli) -> Environment:
        """A clone of the first."""
        made = cli("clone", first.name, "second", "--engine", "rattler")
        assert made.returncode == 0, made.stderr.decode()
        return get("second", root)
