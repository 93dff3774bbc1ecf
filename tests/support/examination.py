"""What the tests of the doctor share: examining a world, and writing into its kernelspecs."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.world import World

from mambakernels.doctor import Examination, Finding, Machine, doctor
from mambakernels.environments import MANIFEST
from mambakernels.paths import Root

ROOMY = Machine(cores=4, quota=None)


def look(world: World, *names: str, machine: Machine = ROOMY, **options: Any) -> Examination:
    return doctor(*names, root=Root(world.root), engine=world.engine, machine=machine, **options)


def only(found: Examination) -> Finding:
    """The finding, of which there is one."""
    [finding] = found.findings
    assert finding.what
    assert finding.why
    assert finding.remedy
    return finding


def mends(world: World, check: str, **options: Any) -> Finding:
    """One thing is found, is mended, and nothing is found after that."""
    finding = only(look(world, **options))
    assert (finding.check, finding.fixable) == (check, True)
    after = look(world, fix=True, **options)
    assert [item.error for item in after.mended] == [None]
    assert after.findings == ()
    assert after.healthy
    return finding


def stays(world: World, check: str, **options: Any) -> Finding:
    """One thing is found, cannot be mended unasked, and mending changes nothing."""
    before = snapshot(world.path)
    finding = only(look(world, **options))
    assert (finding.check, finding.fixable) == (check, False)
    after = look(world, fix=True, **options)
    assert after.findings == (finding,)
    assert after.mended == ()
    assert snapshot(world.path) == before
    return finding


def change(folder: Path, how: Callable[[dict[str, Any]], object]) -> None:
    """Change a `kernel.json`, or a manifest."""
    file = next(file for file in (folder / "kernel.json", folder / MANIFEST) if file.exists())
    content = json.loads(file.read_text("utf-8"))
    how(content)
    file.write_text(json.dumps(content), "utf-8")


def site(prefix: Path) -> Path:
    return next(prefix.glob("lib/python3*/site-packages"))


def snapshot(folder: Path) -> dict[str, Any]:
    """Return everything there is in a folder, by path, with content, rights and times."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        link = str(path.readlink()) if path.is_symlink() else None
        found[str(path.relative_to(folder))] = (content, link, status.st_mode, status.st_mtime_ns, status.st_ino)
    return found
