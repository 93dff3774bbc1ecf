"""Kernels that are started: what does not, and why; what runs in those that do."""

from __future__ import annotations

import json

import pytest
from support.blas import BLAS, blas_spec
from support.examination import examine, only, site
from support.world import World

from mambakernels import kernels
from mambakernels.doctor import doctor
from mambakernels.environments import MANIFEST, create_environment
from mambakernels.kernels import registration
from mambakernels.paths import Root
from mambakernels.progress import Event


@pytest.mark.usefixtures("one")
def test_kernels_that_start(
    world: World,
) -> None:
    registration.register_kernels(world.read("one"), variant="other", env={"A": "b"})
    events: list[Event] = []
    found = examine(world, start=True, progress=events.append)
    assert (found.findings, found.kernels, found.started) == ((), 2, True)
    assert [(event.step, event.total) for event in events] == [("starting", 2)] * 2


def test_a_kernel_that_dies_says_why(world: World, one: kernels.KernelSpec) -> None:
    one.program.unlink()
    one.program.write_text("#!/bin/sh\necho 'libz.so.1: cannot open shared object' >&2\nexit 3\n")
    one.program.chmod(0o755)
    assert examine(world).findings == ()
    finding = only(examine(world, "one"))
    assert (finding.rule, finding.severity, finding.kernel) == ("start", "error", "one")
    assert "status 3" in finding.text
    assert "libz.so.1: cannot open shared object" in finding.why
    assert finding.remedy == "mambakernels verify one --repair"


def test_a_kernel_that_hangs(world: World, one: kernels.KernelSpec) -> None:
    one.program.unlink()
    one.program.write_text("#!/bin/sh\nexec sleep 600\n")
    one.program.chmod(0o755)
    assert "did not answer within 1 seconds" in only(examine(world, start=True, timeout=1)).text


def test_a_stand_in_that_answers_is_a_kernel_that_does_not_start(world: World, one: kernels.KernelSpec) -> None:
    (site(one.prefix) / "comm.py").write_text("raise RuntimeError('half an update')")
    (site(one.prefix) / "traitlets.py").write_text("raise RuntimeError('half an update')")
    assert examine(world).findings == ()
    finding = only(examine(world, start=True))
    assert finding.rule == "start"
    assert finding.text.startswith(
        "It does not start: KernelError: The kernel of the environment 'one' cannot be started"
    )
    assert "half an update" in finding.why


def test_a_numpy_that_cannot_be_imported(world: World, one: kernels.KernelSpec) -> None:
    (site(one.prefix) / "numpy.py").write_text("raise ImportError('libmkl_rt.so.2 is not there')")
    finding = only(examine(world, start=True))
    assert "NumPy cannot be imported in it: ImportError: libmkl_rt.so.2 is not there" in finding.text


@pytest.mark.slow
def test_the_library_that_really_runs(borrowed_root: Root) -> None:
    """A kernel tells which BLAS it runs on; the manifest of one is made to say another."""
    made = {name: create_environment(blas_spec(name), root=borrowed_root) for name in BLAS}
    for environment in made.values():
        registration.register_kernels(environment)
    found = doctor(root=borrowed_root, start=True).findings
    assert [finding for finding in found if finding.severity != "note"] == []
    openblas = made["openblas"]
    manifest = openblas.prefix / MANIFEST
    content = json.loads(manifest.read_bytes())
    content["specs"] = ["python", "numpy", "libblas=*=*netlib"]
    manifest.write_text(json.dumps(content))
    found = doctor(openblas.name, root=borrowed_root).findings
    assert {finding.rule for finding in found} == {"blas"}
    assert any("NumPy runs on openblas" in finding.text for finding in found)
