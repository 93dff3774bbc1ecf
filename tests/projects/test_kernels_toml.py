"""A project's kernels.toml: read as it is meant, or refused with the place and what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from mambakernels import errors, paths
from mambakernels.environments import EnvironmentSpec
from mambakernels.projects import kernels_toml
from mambakernels.projects.kernels_toml import DeclaredKernel

WHOLE = """
root = "resources/mm"
channels = ["conda-forge", "./mine"]
engine = "rattler"

[environments.Plain]
specs = ["python", " numpy "]

[environments.other]
specs = ["r-base", "r-irkernel"]
channels = ["https://example.org/channel"]
engine = "micromamba"
pip = ["./here"]
variables = { A = "x y", B = 4, C = 1.5 }
kernel = false

[kernels.plain-two]
environment = "Plain"
display_name = "Plain, two"
env = { THREADS = 2 }
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "kernels.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_everything_a_file_can_say(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    file = write(tmp_path, WHOLE)
    found = kernels_toml.read(tmp_path)
    assert found == kernels_toml.read(file)
    assert found.root == tmp_path / "resources" / "mm"
    assert found.environments == (
        EnvironmentSpec(
            "Plain",
            ("python", "numpy", "ipykernel"),
            ("conda-forge", str(tmp_path / "mine")),
            "rattler",
            folder=tmp_path,
            declared_in=str(file),
        ),
        EnvironmentSpec(
            "other",
            ("r-base", "r-irkernel", "pip"),
            ("https://example.org/channel",),
            "micromamba",
            ("./here",),
            {"A": "x y", "B": "4", "C": "1.5"},
            folder=tmp_path,
            declared_in=str(file),
        ),
    )
    assert found.kernels == (
        DeclaredKernel("Plain", "Plain"),
        DeclaredKernel("plain-two", "Plain", "Plain, two", {"THREADS": "2"}),
    )


def test_a_kernel_called_as_its_environment_says_more_of_that_ones_own(tmp_path: Path) -> None:
    file = write(tmp_path, '[environments.a]\nspecs = ["python"]\n[kernels.a]\nenv = { X = "1" }')
    assert kernels_toml.read(file).kernels == (DeclaredKernel("a", "a", None, {"X": "1"}),)


def test_an_environment_file_is_read_from_beside_it_and_completed(tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text(
        "name: elsewhere\nchannels: [wheels]\ndependencies: [python, {pip: [a]}]\nvariables: {A: 1, B: 2}\n"
    )
    file = write(
        tmp_path,
        'channels = ["conda-forge"]\n[environments.x]\nfile = "environment.yml"\npip = ["b"]\nvariables = { B = "3" }',
    )
    (spec,) = kernels_toml.read(file).environments
    assert (spec.name, spec.channels, spec.pip) == ("x", ("wheels",), ("a", "b"))
    assert spec.specs == ("python", "pip", "ipykernel")
    assert spec.variables == {"A": "1", "B": "3"}


def test_channels_may_be_called_by_any_name(tmp_path: Path) -> None:
    (spec,) = kernels_toml.read(
        write(tmp_path, "channels = ['bioconda', 'conda-forge/label/rc']\n" + GOOD)
    ).environments
    assert spec.channels == ("bioconda", "conda-forge/label/rc")


def test_without_channels_anywhere_it_is_auto(tmp_path: Path) -> None:
    (spec,) = kernels_toml.read(write(tmp_path, '[environments.x]\nspecs = ["python"]')).environments
    assert (spec.channels, spec.engine) == (("auto",), "auto")


GOOD = '[environments.good]\nspecs = ["python"]\n'


@pytest.mark.parametrize(
    ("text", "where", "messages"),
    [
        ("", "kernels.toml", ["declares no environment", "[environments.analysis]"]),
        ("a = b", "kernels.toml", ["not TOML", "line 1"]),
        (GOOD + GOOD, "kernels.toml", ["not TOML", "line 3"]),
        ("chanels = []\n" + GOOD, "kernels.toml", ["no key 'chanels'", "Did you mean 'channels'?", "environments"]),
        ("channels = 'auto'\n" + GOOD, "kernels.toml", ["channels is 'auto'", "should be a list of strings"]),
        ("channels = []\n" + GOOD, "kernels.toml", ["channels is empty", "conda-forge"]),
        ("channels = ['conda-forg']\n" + GOOD, "kernels.toml", ["no channel 'conda-forg'", "Did you mean"]),
        ("engine = 'mamba'\n" + GOOD, "kernels.toml", ["engine cannot be 'mamba'", "micromamba"]),
        ("root = 5\n" + GOOD, "kernels.toml", ["root is 5", "should be a string"]),
        ("environments = 5", "kernels.toml", ["environments is 5", "should be a table"]),
        ("environments.x = 5", "kernels.toml", ["environments.x must be a table", "[environments.x]"]),
        ("[environments.'a b']\nspecs = ['python']", "[environments.a b]", ["cannot be an environment's name"]),
        ("[environments.x]", "[environments.x]", ["says nothing", "specs, file, locked"]),
        ("[environments.x]\nspecs=['python']\nfile='y'", "[environments.x]", ["says specs and file"]),
        ("[environments.x]\nspec=['python']", "[environments.x]", ["no key 'spec'", "Did you mean 'specs'?"]),
        ("[environments.x]\nspecs='python'", "[environments.x]", ["specs is 'python'", "list of strings"]),
        ("[environments.x]\nspecs=['']", "[environments.x]", ["specs is ['']"]),
        ("[environments.x]\nspecs=[]", "[environments.x]", ["at least one match spec"]),
        ("[environments.x]\nspecs=['a[']", "[environments.x]", ["'a[' is not a valid match spec", "libblas=*=*mkl"]),
        ("[environments.x]\nlocked='kernels.yml'", "[environments.x]", ["kernels.yml is not a lockfile"]),
        (GOOD + "kernel='no'", "[environments.good]", ["kernel is 'no'", "true or false"]),
        (GOOD + "variables={A=true}", "[environments.good]", ["variables is {'A': True}", 'NAME = "value"']),
        (GOOD + "variables={PATH='x'}", "[environments.good]", ["cannot set 'PATH'"]),
        (GOOD + "variables={'A=B'='x'}", "[environments.good]", ["cannot set 'A=B'"]),
        (GOOD + "[kernels.v]", "[kernels.v]", ["does not name its environment", "good"]),
        (GOOD + "[kernels.v]\nenvironment='god'", "[kernels.v]", ["no environment 'god'", "Did you mean 'good'?"]),
        (GOOD + "[kernels.v]\nenvironment='good'\nspeed=4", "[kernels.v]", ["no key 'speed'", "display_name"]),
        (GOOD + "[kernels.v]\nenvironment='good'\nthreads=-1", "[kernels.v]", ["threads is -1", "at least 0"]),
        (GOOD + "[kernels.v]\nenvironment='good'\ndisplay_name='{x}'", "[kernels.v]", ["no field 'x'", "{blas}"]),
        (GOOD + "[kernels.'-v']\nenvironment='good'", "[kernels.-v]", ["cannot be a kernel's name"]),
        (GOOD + "[kernels.GOOD]\nenvironment='good'", "kernels.toml", ["Two kernels", "Jupyter ignores case"]),
        (GOOD + "kernel=false\n[kernels.good]", "[environments.good]", ["kernel is false", "[kernels.good]"]),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(
    tmp_path: Path, text: str, where: str, messages: list[str]
) -> None:
    file = write(tmp_path, text)
    (tmp_path / "kernels.yml").write_text("dependencies: [python]")
    with pytest.raises(errors.InvalidRequestError) as caught:
        kernels_toml.read(file)
    assert str(caught.value.where).startswith(str(file))
    assert str(caught.value.where).endswith(where)
    for message in messages:
        assert message in str(caught.value)


def test_no_file_is_told_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFoundError, match=r"\[environments.analysis\]"):
        kernels_toml.read(tmp_path)


@pytest.mark.parametrize("key", ["file", "locked"])
def test_a_file_that_is_not_there_is_told_with_who_names_it(tmp_path: Path, key: str) -> None:
    file = write(tmp_path, f"[environments.x]\n{key} = 'x.lock'")
    with pytest.raises(errors.NotFoundError) as caught:
        kernels_toml.read(file)
    assert caught.value.where == str(tmp_path / "x.lock")
    assert f"named in {file}, [environments.x], {key}" in str(caught.value)


def test_the_example_in_the_advice_can_be_read(tmp_path: Path) -> None:
    assert kernels_toml.read(write(tmp_path, kernels_toml._EXAMPLE)).environments[0].name == "analysis"


def test_the_lessons_own_file_is_the_demos_environments() -> None:
    found = kernels_toml.read(paths.notebooks())
    assert {spec.name for spec in found.environments} == {"np-openblas", "np-mkl", "np-blis", "np-netlib"}
    assert [kernel.name for kernel in found.kernels if not kernel.default] == ["np-openblas-haswell"]
