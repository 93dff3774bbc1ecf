"""Kernels whose target is gone, whose kernelspec is damaged, and whose environment has changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.examination import change, examine, left_alone, only, repaired, site
from support.files import snapshot
from support.world import World

from mambakernels import kernels
from mambakernels.environments import MANIFEST
from mambakernels.errors import KernelError, NotFoundError
from mambakernels.kernels import registration


@pytest.mark.usefixtures("one")
def test_a_kernel_that_is_well_is_not_found_fault_with(
    world: World,
) -> None:
    found = examine(world)
    assert found.findings == ()
    assert (found.kernels, found.healthy, found.started) == (1, True, False)


def test_without_any_kernel_nothing_is_found(world: World) -> None:
    assert (examine(world).findings, examine(world).kernels) == ((), 0)


def test_an_environment_that_is_gone(world: World, one: kernels.KernelSpec) -> None:
    registration.register_kernels(
        world.read("one"), variant="fast", display_name="My {kernel}", env={"A": "$a b"}, threads=2
    )
    kernels.unregister("one")
    one.prefix.rename(one.prefix.with_name("two"))
    finding = left_alone(world, "prefix-gone")  # it may be moved, or on a disk that is not there now
    assert (finding.severity, finding.kernel, finding.remedy) == ("error", "one-fast", "mambakernels prune")
    asked = "--variant fast --display-name 'My {kernel}' --threads 2 --env 'A=$a b'"
    assert finding.why.endswith(f"If it was moved: mambakernels register NEW_PATH {asked}")


def test_a_program_that_is_gone(world: World, one: kernels.KernelSpec) -> None:
    one.program.unlink()
    finding = repaired(world, "program-gone")
    assert finding.remedy == "mambakernels verify one --repair"
    assert one.program.exists()


def test_a_program_that_is_gone_where_others_made_the_environment(world: World, one: kernels.KernelSpec) -> None:
    (one.prefix / MANIFEST).unlink()
    assert examine(world).findings == ()
    one.program.unlink()
    assert left_alone(world, "program-gone").remedy == f"mambakernels unregister one --jupyter {one.path.parents[1]}"


def test_activation_that_has_changed(world: World, one: kernels.KernelSpec) -> None:
    (one.prefix / "etc" / "conda" / "activate.d" / "later.sh").write_text("export LATER=yes\n")
    finding = repaired(world, "drift")
    assert finding.severity == "warning"
    assert finding.remedy == "mambakernels register one"
    assert world.variables("one")["LATER"] == "yes"


def test_activation_that_has_changed_where_others_made_the_environment(world: World, one: kernels.KernelSpec) -> None:
    (one.prefix / MANIFEST).unlink()
    (one.prefix / "etc" / "conda" / "activate.d" / "later.sh").write_text("export LATER=yes\n")
    repaired(world, "drift")
    assert world.variables("one")["LATER"] == "yes"


def test_activation_that_fails_is_told_and_leaves_the_kernel(world: World, one: kernels.KernelSpec) -> None:
    (one.prefix / "etc" / "conda" / "activate.d" / "later.sh").write_text("exit 3\n")
    before = (one.path / "kernel.json").read_bytes()
    after = examine(world, fix=True)
    assert only(after).rule == "drift"
    assert not after.healthy
    [tried] = after.repairs
    assert "later.sh" in str(tried.error)
    assert {finding.rule for finding in examine(world, start=True).findings} == {"drift", "activation"}
    assert (one.path / "kernel.json").read_bytes() == before


def test_activation_that_cannot_be_read(world: World, one: kernels.KernelSpec) -> None:
    (one.prefix / "etc" / "conda" / "env_vars.d" / "gone.json").symlink_to("nowhere")
    finding = only(examine(world))
    assert (finding.rule, finding.severity) == ("activation", "error")
    assert "cannot be read" in finding.text


def test_a_stand_in_that_is_gone(world: World, one: kernels.KernelSpec) -> None:
    change(one.path, lambda document: document["metadata"]["mambakernels"].update(stand_in="/nowhere/bin/python"))
    assert "/nowhere/bin/python" in repaired(world, "stand-in-gone").text


@pytest.mark.parametrize("file", ["start.sh", "start.py"])
def test_a_launcher_that_is_gone(world: World, one: kernels.KernelSpec, file: str) -> None:
    (one.path / file).unlink()
    assert repaired(world, "launcher-gone").severity == "error"


@pytest.mark.parametrize("env", [[], {"OMP_NUM_THREADS": 4}, None])
def test_variables_that_jupyter_does_not_take(world: World, one: kernels.KernelSpec, env: object) -> None:
    change(one.path, lambda document: document.update(env=env))
    finding = left_alone(world, "kernelspec", start=True)
    assert (finding.severity, finding.remedy) == ("error", "mambakernels register one")
    registration.register_kernels(world.read("one"))
    assert examine(world).findings == ()


def test_a_kernelspec_that_cannot_be_read(world: World, one: kernels.KernelSpec) -> None:
    (one.path / "kernel.json").write_text('{ "argv":')
    finding = left_alone(world, "damaged")
    assert (finding.severity, finding.kernel, finding.path) == ("error", "one", one.path)
    assert finding.remedy == f"rm -r {one.path}"
    assert examine(world, "one").findings == (finding,)
    with pytest.raises(KernelError, match="damaged") as caught:
        registration.register_kernels(world.read("one"))
    assert finding.remedy in str(caught.value.next_step)
    (one.path / "kernel.json").unlink()
    assert only(examine(world)) == finding
    shutil.rmtree(one.path)
    registration.register_kernels(world.read("one"))
    assert examine(world).findings == ()


def test_a_copy_is_its_makers(world: World, one: kernels.KernelSpec) -> None:
    mine = one.path.with_name("mine")
    shutil.copytree(one.path, mine)
    change(mine, lambda document: document.update(display_name="Mine {a}"))
    finding = left_alone(world, "copied")
    assert (finding.severity, finding.kernel) == ("note", "mine")
    assert finding.remedy == "mambakernels register one --kernel mine --display-name 'Mine {{a}}'"
    shutil.rmtree(one.path)
    before = snapshot(mine)
    after = examine(world, fix=True)
    assert [(item.rule, item.fixable) for item in after.findings] == [("copied", False), ("launcher-gone", False)]
    assert snapshot(mine) == before
    registration.register_kernels(world.read("one"), name="mine", display_name="Mine {{a}}")
    assert examine(world).findings == ()


def test_a_projects_kernel_is_registered_by_its_file(world: World, one: kernels.KernelSpec) -> None:
    file = str(world.path / "a project" / "kernels.toml")
    registration.register_kernels(world.read("one"), declared_in=file)
    (one.prefix / "etc" / "conda" / "activate.d" / "later.sh").write_text("export LATER=yes\n")
    assert only(examine(world)).remedy == f"mambakernels sync '{file}'"
    registration.register_kernels(world.read("one"), declared_in=file, env={"MKL_DEBUG_CPU_TYPE": "5"})
    assert only(examine(world)).remedy == f"\"${{EDITOR:-vi}}\" '{file}' && mambakernels sync '{file}'"
    registration.register_kernels(world.read("one"), declared_in=file)
    (one.path / "start.sh").unlink()  # of which sync knows nothing
    unregister = f"mambakernels unregister one --jupyter {one.jupyter}"
    assert repaired(world, "launcher-gone").remedy == f"{unregister} && mambakernels sync '{file}'"
    [spec] = kernels.list()
    assert spec.declared_in == file


def test_all_kernels_of_an_environment_are_mended(world: World, one: kernels.KernelSpec) -> None:
    registration.register_kernels(world.read("one"), variant="fast", env={"FAST": "yes"})
    (one.prefix / "etc" / "conda" / "activate.d" / "later.sh").write_text("export LATER=yes\n")
    assert [finding.rule for finding in examine(world).findings] == ["drift", "drift"]
    after = examine(world, fix=True)
    assert after.healthy
    [mended] = after.repairs
    assert len(mended.findings) == 2
    assert world.variables("one-fast")["FAST"] == world.variables("one-fast")["LATER"] == "yes"


def test_names_choose_kernels_and_environments(world: World, one: kernels.KernelSpec) -> None:
    shutil.rmtree(one.prefix)
    world.create("two", "python", "ipykernel")
    assert [finding.kernel for finding in examine(world, "one").findings] == ["one"]
    found = examine(world, "two")
    assert (found.findings, found.kernels, found.started) == ((), 1, True)
    with pytest.raises(NotFoundError, match="'three'") as caught:
        examine(world, "three")
    assert caught.value.next_step == "Kernels: one, two. Environments: one, two."
    assert examine(world, "one", fix=True).kernels == 1


def test_an_environment_of_another_root_is_mended_there(world: World) -> None:
    other = World(world.path / "other", world.channel, world.engine)
    other.create("far", "python", "ipykernel")
    [spec] = kernels.list()
    spec.program.unlink()
    finding = repaired(world, "program-gone")
    assert f"--root '{other.root}'" in finding.remedy


def test_a_file_that_ipykernel_needs(world: World, one: kernels.KernelSpec) -> None:
    lost = site(one.prefix) / "leaf" / "__init__.py"  # ipykernel needs stem, and that leaf
    lost.unlink()
    finding = repaired(world, "ipykernel-broken")
    assert (finding.severity, finding.kernel, finding.environment, finding.path) == ("error", None, "one", one.prefix)
    assert "leaf/__init__.py" in finding.text
    assert lost.exists()


def test_the_module_that_is_run(world: World, one: kernels.KernelSpec) -> None:
    (site(one.prefix) / "installed.pth").unlink()
    assert "the module ipykernel_launcher" in repaired(world, "ipykernel-broken").text


def test_a_module_of_no_package_that_is_known(world: World, one: kernels.KernelSpec) -> None:
    def run_nothing(document: dict[str, Any]) -> None:
        document["argv"] = ["nothing" if word == "ipykernel_launcher" else word for word in document["argv"]]

    change(one.path, run_nothing)
    finding = left_alone(world, "ipykernel-missing")
    assert "the module nothing" in finding.text
    assert finding.remedy == "mambakernels register one"


def test_a_package_that_ipykernel_needs(world: World, one: kernels.KernelSpec) -> None:
    [record] = (one.prefix / "conda-meta").glob("leaf-*.json")
    record.unlink()
    assert "the package leaf" in repaired(world, "ipykernel-broken").text


def without_ipykernel(world: World) -> Path:
    """Make an environment that never had a conda package ipykernel, with the kernelspec of one; return its prefix."""
    prefix = world.create("bare", "python", "stem", register=False).prefix
    for pattern in ("conda-meta/ipykernel-*.json", "lib/*/site-packages/installed.pth"):
        [file] = prefix.glob(pattern)
        file.unlink()

    def forget(manifest: dict[str, Any]) -> None:
        manifest["packages"] = [item for item in manifest["packages"] if item["name"] != "ipykernel"]
        manifest["specs"] = ["python", "stem"]

    change(prefix, forget)
    registration.register_kernels(world.read("bare"))
    return prefix


def test_an_ipykernel_that_pip_installed(world: World) -> None:
    prefix = without_ipykernel(world)
    packages = {
        "ipykernel": ("Needed-One>=1",),
        "needed_one": ("absent ; extra == 'docs'", "absent ; sys_platform == 'x'"),
    }
    for name, requires in packages.items():
        (site(prefix) / f"{name}.py").write_text("")
        info = site(prefix) / f"{name}-1.0.dist-info"
        info.mkdir()
        lines = [f"Name: {name}", *(f"Requires-Dist: {item}" for item in requires), "", "Requires-Dist: in the text"]
        (info / "METADATA").write_text("\n".join(lines))
        (info / "RECORD").write_text(f"{name}.py,sha256=x,0\n{name}-1.0.dist-info/METADATA,,\n")
    (site(prefix) / "ipykernel_launcher.py").write_text("")
    assert examine(world).findings == ()
    (site(prefix) / "needed_one.py").unlink()
    assert "needed_one.py" in only(examine(world)).text
    shutil.rmtree(site(prefix) / "needed_one-1.0.dist-info")
    finding = only(examine(world))
    assert "the package needed-one" in finding.text
    assert finding.remedy == "mambakernels install bare ipykernel"


def test_an_ipykernel_that_is_not_there_at_all(world: World) -> None:
    prefix = without_ipykernel(world)
    shutil.rmtree(prefix / "share" / "jupyter")  # it would be taken for a file of the user's
    (site(prefix) / "forge_kernel.py").unlink()
    finding = repaired(world, "ipykernel-missing")
    assert finding.remedy == "mambakernels install bare ipykernel"
    assert list((prefix / "conda-meta").glob("ipykernel-*.json"))
