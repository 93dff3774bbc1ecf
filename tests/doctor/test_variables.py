"""Thread counts, quotas, the user's own packages, and settings that do nothing or do harm."""

from __future__ import annotations

import pytest
from support.examination import ROOMY, change, examine, left_alone, only, repaired, site
from support.world import Made, World

from mambakernels import kernels
from mambakernels.kernels import registration
from mambakernels.kernels.blas import Processors

TIGHT = Processors(cores=8, quota=2.0)


def in_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have kernels registered as in a container with two of eight cores: a fake, as tests cannot set a quota."""
    monkeypatch.setattr(Processors, "here", lambda: TIGHT)


def on_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have kernels registered as on the machine that the doctor is told of."""
    monkeypatch.setattr(Processors, "here", lambda: ROOMY)


@pytest.fixture
def blis(made: Made, monkeypatch: pytest.MonkeyPatch) -> kernels.KernelSpec:
    on_four_cores(monkeypatch)
    return made("np-blis", "libblas=*=*blis")


@pytest.fixture
def openblas(made: Made) -> kernels.KernelSpec:
    return made("np", "libblas=*=*openblas")


def test_blis_on_one_thread(world: World, blis: kernels.KernelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examine(world).findings == ()
    change(blis.path, lambda document: document["env"].pop("BLIS_NUM_THREADS"))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert examine(world).findings == ()
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert repaired(world, "blis-threads").remedy == "mambakernels register np-blis --threads 4"
    assert world.variables("np-blis")["BLIS_NUM_THREADS"].isdecimal()


@pytest.mark.usefixtures("blis")
def test_blis_that_was_left_to_itself_is_not_changed(
    world: World,
) -> None:
    registration.register_kernels(world.read("np-blis"), threads=0)
    left_alone(world, "blis-threads")
    registration.register_kernels(world.read("np-blis"), env={"OMP_NUM_THREADS": "3"})
    assert examine(world).findings == ()


@pytest.mark.usefixtures("openblas")
def test_a_quota_below_the_cores(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    registration.register_kernels(world.read("np"))
    assert examine(world, processors=ROOMY).findings == ()
    in_a_container(monkeypatch)
    finding = repaired(world, "cpu-quota", processors=TIGHT)
    assert "will use 8 threads" in finding.text
    assert world.variables("np")["OPENBLAS_NUM_THREADS"] == "2"


@pytest.mark.usefixtures("openblas")
def test_a_limit_that_is_no_longer_right(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_container(monkeypatch)
    registration.register_kernels(world.read("np"))
    assert examine(world, processors=TIGHT).findings == ()
    assert only(examine(world, processors=Processors(cores=8, quota=1.0))).rule == "cpu-quota"
    on_four_cores(monkeypatch)
    finding = repaired(world, "limit-outdated")
    assert finding.severity == "note"
    assert "limited to 2 threads (the CPU quota is 2 of 8 cores); now it would be 4" in finding.text
    assert "OPENBLAS_NUM_THREADS" not in world.variables("np")


def test_a_number_of_threads_that_was_asked_for_is_no_limit(world: World, blis: kernels.KernelSpec) -> None:
    registration.register_kernels(world.read(blis.environment), threads=1)
    assert examine(world).findings == ()


@pytest.mark.usefixtures("openblas")
def test_a_quota_below_what_was_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_container(monkeypatch)
    registration.register_kernels(world.read("np"), threads=4)
    finding = left_alone(world, "cpu-quota", processors=TIGHT)
    assert "is set to use 4 threads" in finding.text
    assert finding.remedy == "mambakernels register np --threads 2"
    registration.register_kernels(world.read("np"), threads=2)
    assert examine(world, processors=TIGHT).findings == ()


@pytest.mark.usefixtures("one")
def test_a_kernel_without_a_blas_has_no_threads_to_count(
    world: World,
) -> None:
    assert examine(world, processors=TIGHT).findings == ()


def test_packages_of_the_user_in_place_of_the_environments(world: World, one: kernels.KernelSpec) -> None:
    own = site(one.prefix)
    theirs = world.path / "user" / "lib" / own.parent.name / "site-packages"
    for folder, name in ((own, "numpy-2.0"), (own, "Some.Thing-1"), (theirs, "numpy-1.0"), (theirs, "other-1")):
        (folder / f"{name}.dist-info").mkdir(parents=True)
    assert examine(world).findings == ()
    change(one.path, lambda document: document["env"].pop("PYTHONNOUSERSITE"))
    finding = repaired(world, "user-site")
    assert finding.text.endswith("the environment's: numpy.")
    registration.register_kernels(world.read("one"), env={"PYTHONNOUSERSITE": ""})
    assert left_alone(world, "user-site").remedy == "mambakernels register one"


@pytest.mark.parametrize("name", ["MKL_DEBUG_CPU_TYPE", "KMP_DUPLICATE_LIB_OK"])
@pytest.mark.usefixtures("one")
def test_settings_that_nobody_should_make(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registration.register_kernels(world.read("one"), env={name: "5", "OTHER": "a b"})
    finding = left_alone(world, "setting")
    assert (finding.severity, finding.kernel) == ("warning", "one")
    assert finding.remedy == "mambakernels register one --env 'OTHER=a b'"
    registration.register_kernels(
        world.read("one"), env={"MKL_DEBUG_CPU_TYPE": "5", "KMP_DUPLICATE_LIB_OK": "1", "OTHER": "a b"}
    )
    assert {item.remedy for item in examine(world).findings} == {"mambakernels register one --env 'OTHER=a b'"}
    registration.register_kernels(world.read("one"))
    monkeypatch.setenv(name, "5")
    finding = only(examine(world))
    assert (finding.kernel, finding.environment, finding.remedy) == (None, None, f"unset {name}")


@pytest.mark.usefixtures("openblas")
@pytest.mark.parametrize(
    ("name", "found"), [("OPENBLAS_CORETYPE", False), ("MKL_CBWR", True), ("BLIS_ARCH_TYPE", True)]
)
def test_settings_of_another_library(
    world: World,
    name: str,
    found: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registration.register_kernels(world.read("np"), env={name: "x"}, threads=2)
    assert [finding.text.partition(" ")[0] for finding in examine(world).findings] == [name] * found
    assert examine(world).healthy
    registration.register_kernels(world.read("np"), threads=2)
    monkeypatch.setenv(name, "x")
    assert [finding.kernel for finding in examine(world).findings] == [None] * found


def test_a_setting_of_the_environment(world: World, one: kernels.KernelSpec) -> None:
    (one.prefix / "etc" / "conda" / "env_vars.d" / "old.json").write_text('{"MKL_DEBUG_CPU_TYPE": "5"}')
    registration.register_kernels(world.read("one"))
    assert left_alone(world, "setting").remedy == "mambakernels register one --env MKL_DEBUG_CPU_TYPE="
    registration.register_kernels(world.read("one"), env={"MKL_DEBUG_CPU_TYPE": ""})
    assert examine(world).findings == ()
