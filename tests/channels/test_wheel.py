"""One wheel as a package: its dependencies as conda writes them, its files where a prefix has them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mambakernels import errors
from mambakernels.channels import build, interpreter, wheel, wheel_names, wheels
from mambakernels.channels.conda_packages import Recipe
from mambakernels.channels.wheel import Wheel
from mambakernels.paths import Root
from mambakernels.progress import Event

METADATA = """Metadata-Version: 2.1
Name: {name}
Version: 1.2.3+local.1
Summary: A wheel for tests
License-Expression: MIT
{requires}
"""


def make(folder: Path, name: str, *requires: str, files: dict[str, str] | None = None) -> Wheel:
    """Write a small but whole wheel."""
    path = folder / f"{name}-1.2.3+local.1-py3-none-any.whl"
    info = f"{name}-1.2.3+local.1.dist-info"
    metadata = METADATA.format(name=name, requires="\n".join(f"Requires-Dist: {item}" for item in requires))
    members = {
        f"{name}.py": "def main():\n    import sys; print('hello from', sys.executable)\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\nsay-hello = {name}:main\n",
        f"{info}/LICENSE": "Do what you like.\n",
        f"{name}-1.2.3+local.1.data/scripts/old-style": "#!python\nprint('old style')\n",
        f"{name}-1.2.3+local.1.data/data/share/{name}/data.txt": "data\n",
        **(files or {}),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"]))
    return Wheel(path)


def test_requirements_become_match_specs(tmp_path: Path) -> None:
    other = make(tmp_path, "other", 'inner>=2; extra == "more"', 'never; extra == "else"')
    item = make(
        tmp_path,
        "item",
        "numpy>=1.26,!=2.0.*",
        "python-dateutil==2.9.0",
        "torch~=2.1",
        'windows-only; sys_platform == "win32"',
        "other[more]",
    )
    recipe = wheel.recipe(item, {"other": other}, "linux-64")
    assert recipe.depends == (
        f"python {interpreter.MINOR}.*",
        "numpy !=2.0.*,>=1.26",
        "python-dateutil ==2.9.0",
        "pytorch ~=2.1",
        "other",
        "inner >=2",
    )
    assert (recipe.version, recipe.license, recipe.build_prefix) == ("1.2.3_local.1", "MIT", interpreter.TAG)


def test_files_go_where_a_prefix_has_them_and_scripts_run_wherever_it_is(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix with späces"
    wheel.stage(make(tmp_path, "item"), prefix)
    assert (prefix / interpreter.SITE_PACKAGES / "item.py").exists()
    assert (prefix / "share" / "item" / "data.txt").read_text() == "data\n"
    python = prefix / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{prefix / interpreter.SITE_PACKAGES}" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    moved = tmp_path / "another place"
    said = subprocess.run([prefix / "bin" / "say-hello"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("hello from")
    prefix.rename(moved)
    said = subprocess.run([moved / "bin" / "old-style"], capture_output=True, text=True, check=True)
    assert said.stdout == "old style\n"


def test_a_link_to_a_script_finds_its_python(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    wheel.stage(make(tmp_path, "item"), prefix)
    (prefix / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "linked").symlink_to(prefix / "bin" / "old-style")
    assert subprocess.run([tmp_path / "linked"], capture_output=True, text=True, check=True).stdout == "old style\n"


def test_licence_texts_are_taken_along(tmp_path: Path) -> None:
    (text,) = wheel.licence_files(make(tmp_path, "item"), tmp_path / "licences")
    assert text.read_text() == "Do what you like.\n"


def test_a_broken_wheel_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken-1-py3-none-any.whl"
    path.write_bytes(b"PK\x03\x04 this is no archive")
    with pytest.raises(errors.ChannelError, match="cannot be unpacked") as caught:
        wheel.stage(Wheel(path), tmp_path / "prefix")
    assert caught.value.where == path.name


@pytest.mark.parametrize(
    ("spec", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy>=1.26,<2", "numpy>=1.26,<2"),
        ("numpy 1.26.*", "numpy==1.26.*"),
        ("pytorch>=2", "torch>=2"),
        ("matplotlib-base", "matplotlib"),
        ("numpy=*=*_mkl", "numpy"),
        ("numpy 1.26|1.25", "numpy"),
    ],
)
def test_match_specs_become_requirements(spec: str, requirement: str) -> None:
    assert wheel_names.pip_requirement(spec) == requirement


@pytest.mark.parametrize(("count", "said"), [(0, []), (1, ["1 package"]), (2, ["2 packages"])])
def test_progress_says_how_many_packages_are_compiled(tmp_path: Path, count: int, said: list[str]) -> None:
    seen: list[Event] = []
    working = build.Build(Root(tmp_path), tmp_path, wheels.State("", ""), seen.append)
    recipe = Recipe(name="a", version="1", subdir="noarch", depends=(), license="", summary="")
    staged = [build.Staged("1 a x", recipe, tmp_path / str(number)) for number in range(count)]
    for item in staged:
        item.files.mkdir()
        (item.files / "a.py").write_text("a = 1\n")
    build._compile(working, staged)
    assert [event.detail for event in seen] == said
    assert len(list(tmp_path.rglob("*.pyc"))) == count


@pytest.mark.parametrize("spec", ["hello world", "numpy==new", "_openmp_mutex"])
def test_a_spec_that_no_wheel_can_match_is_refused(spec: str) -> None:
    with pytest.raises(errors.InvalidRequestError, match="No wheel can match") as caught:
        wheels.WheelsRequest.of(["python=*=*_cpython", spec])
    assert repr(spec) in caught.value.what
    assert "begins with a letter or digit" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("wheel_name", "conda"), [("torch", "pytorch"), ("Ruamel.YAML", "ruamel-yaml"), ("dask", "dask")]
)
def test_names_are_conda_forges(wheel_name: str, conda: str) -> None:
    assert wheel_names.conda_name(wheel_name) == conda
    assert wheel_names.wheel_name(conda) in {wheel_name.lower(), "ruamel-yaml"}
