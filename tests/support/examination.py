"""What the tests of the doctor share: examining a world, and writing into its kernelspecs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.files import snapshot
from support.world import World

from mambakernels.doctor import Examination, Finding, doctor
from mambakernels.environments import MANIFEST
from mambakernels.kernels.blas import Processors
from mambakernels.paths import Root

ROOMY = Processors(cores=4, quota=None)


def examine(world: World, *names: str, processors: Processors = ROOMY, **options: Any) -> Examination:
    return doctor(*names, root=Root(world.root), engine=world.engine, processors=processors, **options)


def only(found: Examination) -> Finding:
    """The finding, of which there is one."""
    [finding] = found.findings
    assert finding.text
    assert finding.why
    assert finding.remedy
    return finding


def repaired(world: World, rule: str, **options: Any) -> Finding:
    """One thing is found, is repaired, and nothing is found after that."""
    finding = only(examine(world, **options))
    assert (finding.rule, finding.fixable) == (rule, True)
    after = examine(world, fix=True, **options)
    assert [item.error for item in after.repairs] == [None]
    assert after.findings == ()
    assert after.healthy
    return finding


def left_alone(world: World, rule: str, **options: Any) -> Finding:
    """One thing is found, is not safe to repair without asking, and `fix` changes nothing."""
    before = snapshot(world.path)
    finding = only(examine(world, **options))
    assert (finding.rule, finding.fixable) == (rule, False)
    after = examine(world, fix=True, **options)
    assert after.findings == (finding,)
    assert after.repairs == ()
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
