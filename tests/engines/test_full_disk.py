"""A disk that is full, or takes no files that large: each engine says so, and names the environment's own place."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.conda_packages import File, Package, write_channel
from support.engines import needs_micromamba
from support.small_disk import mounting

from mambakernels import errors, paths
from mambakernels.engines import micromamba

# Makes an environment of `big` in a folder, with one engine; prints the error's kind, place and words.
_CREATE = """
import os, resource, sys
from pathlib import Path
from mambakernels import errors, paths
from mambakernels.engines import Request, micromamba, rattler
place, channel, name, largest = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
engine = rattler.Rattler() if name == "rattler" else micromamba.Micromamba(Path(os.environ["MAMBA_EXE"]))
if largest:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
envs = place / "envs"
envs.mkdir()
try:
    request = Request(("big",), (channel,), paths.subdir())
    engine.create(request, envs / ".mine.bc44bdd4", final=envs / "mine", cache=place / "pkgs")
except errors.MambakernelsError as error:
    print(type(error).__name__, error.where, error.what, error.next_step, sep="\\n")
"""


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A channel with a package of 8 MB that nothing compresses."""
    folder = tmp_path_factory.mktemp("channel")
    files: dict[str, File] = {
        f"share/big/{number}": File(random.Random(number).randbytes(2 << 20)) for number in range(4)
    }
    write_channel([Package("big", subdir=paths.subdir(), files=files)], folder)
    return folder.as_uri()


def create(*words: str | Path, before: Sequence[str] = ()) -> list[str]:
    command = [*before, sys.executable, "-c", _CREATE, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()


@pytest.mark.parametrize(
    ("engine", "megabytes"),
    [
        ("rattler", 4),
        pytest.param("micromamba", 4, marks=needs_micromamba),
        pytest.param("micromamba", 12, marks=needs_micromamba),
    ],
)
def test_a_full_disk_is_said(tmp_path: Path, channel: str, engine: str, megabytes: int) -> None:
    """A file system of a few megabytes, seen by the process alone; into the larger one the archive fits."""
    kind, where, what, advice = create(tmp_path, channel, engine, "0", before=mounting(tmp_path, megabytes))
    assert kind == "StorageError"
    assert where == str(tmp_path / "envs" / "mine" if engine == "rattler" else tmp_path)
    assert "No space left" in what or "MB are free" in what
    assert "Free some space there" in advice
    assert ".mine." not in what + where + advice


def test_a_limit_on_files_is_an_error_of_storage(tmp_path: Path, channel: str) -> None:
    kind, where, what, advice = create(tmp_path, channel, "rattler", "1000000")
    assert (kind, where, what) == ("StorageError", str(tmp_path / "envs" / "mine"), "File too large.")
    assert "ulimit" in advice


_SAID = "error    libmamba Could not solve for environment specs\n    └─ big =* * does not exist\n"


@pytest.mark.parametrize(
    ("said", "free", "kind"),
    [
        (_SAID, 5 << 30, errors.SolveError),
        (_SAID, 1000, errors.StorageError),
        (f"warning  libmamba Failed writing\n{_SAID}", 5 << 30, errors.StorageError),
        ("error    libmamba Error when extracting package\n", 9 << 20, errors.StorageError),
        ("error    libmamba Error when extracting package\n", 5 << 30, errors.EngineError),
        ("critical libmamba Download error (23) Failed writing [http://x/y]\n", 5 << 30, errors.StorageError),
        ("critical libmamba Download error (6) [http://x/y]\n", 9 << 20, errors.ChannelError),
        ('error    Error parsing MatchSpec "a[".\n', 0, errors.InvalidRequestError),
    ],
)
def test_what_micromamba_says_is_judged_by_the_space_that_is_left(
    said: str, free: int, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The free space is a fake, asked for in one place."""
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(micromamba.shutil, "disk_usage", lambda _place: usage)

    @paths.storage_errors
    def failing(root: Path) -> None:
        raise micromamba._failure(said, root / "pkgs")

    with pytest.raises(kind) as caught:
        failing(tmp_path / "root")
    error = caught.value
    assert type(error) is kind
    if kind is errors.StorageError:
        assert error.where == str(tmp_path / "root")
        assert "--root" in str(error.next_step)
        assert micromamba._explain(said).what in error.what
