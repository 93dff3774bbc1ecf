"""Thread counts, quotas, the user's own packages, and settings that do nothing or do harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.examination import ROOMY, change, look, mends, only, site, stays
from support.world import World

from mambakernels import kernels
from mambakernels.doctor import Machine
from mambakernels.kernels import registering

TIGHT = Machine(cores=8, quota=2.0)


def in_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have kernels registered as in a container with two of eight cores: a fake, as tests cannot set a quota."""
    monkeypatch.setattr(registering, "cpu_quota", lambda: TIGHT.quota)
    monkeypatch.setattr(registering, "available", lambda: TIGHT.cores)


def on_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have kernels registered as on the machine that the doctor is told of."""
    monkeypatch.setattr(registering, "cpu_quota", lambda: ROOMY.quota)
    monkeypatch.setattr(registering, "available", lambda: ROOMY.cores)


@pytest.fixture
def blis(world: World, monkeypatch: pytest.MonkeyPatch) -> kernels.KernelSpec:
    on_four_cores(monkeypatch)
    world.create("np-blis", "python", "ipykernel", "libblas=*=*blis")
    [spec] = kernels.list()
    return spec


def test_blis_on_one_thread(world: World, blis: kernels.KernelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(world).findings == ()
    change(blis.path, lambda document: document["env"].pop("BLIS_NUM_THREADS"))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert look(world).findings == ()
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert mends(world, "blis-threads").remedy == "mambakernels register np-blis --threads 4"
    assert world.variables("np-blis")["BLIS_NUM_THREADS"].isdecimal()


@pytest.mark.usefixtures("blis")
def test_blis_that_was_left_to_itself_is_not_changed(
    world: World,
) -> None:
    registering.register(world.read("np-blis"), threads=0)
    stays(world, "blis-threads")
    registering.register(world.read("np-blis"), env={"OMP_NUM_THREADS": "3"})
    assert look(world).findings == ()


def test_a_quota_below_the_cores(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create("np", "python", "ipykernel", "libblas=*=*openblas")
    assert look(world, machine=ROOMY).findings == ()
    in_a_container(monkeypatch)
    finding = mends(world, "cpu-quota", machine=TIGHT)
    assert "will use 8 threads" in finding.what
    assert world.variables("np")["OPENBLAS_NUM_THREADS"] == "2"


def test_a_limit_that_is_no_longer_right(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_container(monkeypatch)
    world.create("np", "python", "ipykernel", "libblas=*=*openblas")
    assert look(world, machine=TIGHT).findings == ()
    assert only(look(world, machine=Machine(cores=8, quota=1.0))).check == "cpu-quota"
    on_four_cores(monkeypatch)
    finding = mends(world, "limit-outdated")
    assert finding.severity == "note"
    assert "held to 2 threads (the CPU quota is 2 of 8 cores); now it would be 4" in finding.what
    assert "OPENBLAS_NUM_THREADS" not in world.variables("np")


def test_a_number_of_threads_that_was_asked_for_is_no_limit(world: World, blis: kernels.KernelSpec) -> None:
    registering.register(world.read(blis.environment), threads=1)
    assert look(world).findings == ()


def test_a_quota_below_what_was_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create("np", "python", "ipykernel", "libblas=*=*openblas", register=False)
    in_a_container(monkeypatch)
    registering.register(world.read("np"), threads=4)
    finding = stays(world, "cpu-quota", machine=TIGHT)
    assert "is told to use 4 threads" in finding.what
    assert finding.remedy == "mambakernels register np --threads 2"
    registering.register(world.read("np"), threads=2)
    assert look(world, machine=TIGHT).findings == ()


@pytest.mark.usefixtures("one")
def test_a_kernel_without_a_blas_has_no_threads_to_count(
    world: World,
) -> None:
    assert look(world, machine=TIGHT).findings == ()


def test_packages_of_the_user_in_place_of_the_environments(
    world: World, one: kernels.KernelSpec, tmp_path: Path
) -> None:
    own = site(one.prefix)
    theirs = tmp_path / "user" / "lib" / own.parent.name / "site-packages"
    for folder, name in ((own, "numpy-2.0"), (own, "Some.Thing-1"), (theirs, "numpy-1.0"), (theirs, "other-1")):
        (folder / f"{name}.dist-info").mkdir(parents=True)
    assert look(world).findings == ()
    change(one.path, lambda document: document["env"].pop("PYTHONNOUSERSITE"))
    finding = mends(world, "user-site")
    assert finding.what.endswith("the environment's: numpy.")
    registering.register(world.read("one"), env={"PYTHONNOUSERSITE": ""})
    assert stays(world, "user-site").remedy == "mambakernels register one"


@pytest.mark.parametrize("name", ["MKL_DEBUG_CPU_TYPE", "KMP_DUPLICATE_LIB_OK"])
@pytest.mark.usefixtures("one")
def test_settings_that_nobody_should_make(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registering.register(world.read("one"), env={name: "5", "OTHER": "a b"})
    finding = stays(world, "setting")
    assert (finding.severity, finding.kernel) == ("warning", "one")
    assert finding.remedy == "mambakernels register one --env 'OTHER=a b'"
    registering.register(
        world.read("one"), env={"MKL_DEBUG_CPU_TYPE": "5", "KMP_DUPLICATE_LIB_OK": "1", "OTHER": "a b"}
    )
    assert {item.remedy for item in look(world).findings} == {"mambakernels register one --env 'OTHER=a b'"}
    registering.register(world.read("one"))
    monkeypatch.setenv(name, "5")
    finding = only(look(world))
    assert (finding.kernel, finding.environment, finding.remedy) == (None, None, f"unset {name}")


@pytest.mark.parametrize(
    ("name", "found"), [("OPENBLAS_CORETYPE", False), ("MKL_CBWR", True), ("BLIS_ARCH_TYPE", True)]
)
def test_settings_of_another_library(
    world: World,
    name: str,
    found: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world.create("np", "python", "ipykernel", "libblas=*=*openblas")
    registering.register(world.read("np"), env={name: "x"}, threads=2)
    assert [finding.what.partition(" ")[0] for finding in look(world).findings] == [name] * found
    assert look(world).healthy
    registering.register(world.read("np"), threads=2)
    monkeypatch.setenv(name, "x")
    assert [finding.kernel for finding in look(world).findings] == [None] * found


def test_a_setting_of_the_environment(world: World, one: kernels.KernelSpec) -> None:
    (one.prefix / "etc" / "conda" / "env_vars.d" / "old.json").write_text('{"MKL_DEBUG_CPU_TYPE": "5"}')
    registering.register(world.read("one"))
    assert stays(world, "setting").remedy == "mambakernels register one --env MKL_DEBUG_CPU_TYPE="
    registering.register(world.read("one"), env={"MKL_DEBUG_CPU_TYPE": ""})
    assert look(world).findings == ()
