"""Kernels of other languages: R and xeus for real, and of those that cannot be had here what their packages ship."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from support.kernelspecs import Make, add_program
from support.running_kernels import Kernel, running

import mambakernels
from mambakernels import environments, kernels
from mambakernels.environments import Environment
from mambakernels.kernels.registration import register_kernels as register
from mambakernels.paths import Root
from mambakernels.runs.execute import run

WAIT_SECONDS = 60
# As conda-forge's r-base ships it in activate.d.
ACTIVATE_R = 'export RSTUDIO_WHICH_R="$CONDA_PREFIX/bin/R"\nunset R_LIBS_USER\n'


@dataclass(frozen=True)
class Fake:
    """A kernelspec as a package ships it, `@PREFIX@` being the environment's, and what of it is to be written.

    It stands for a kernel whose package cannot be had on a machine without conda-forge; its program only exists.
    """

    spec: str
    document: dict[str, Any]
    words: list[str]
    shown: str
    packages: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)


FILE = "{connection_file}"
FAKES = {
    "IJulia": Fake(
        spec="julia-1.10",
        document={
            "argv": [
                "@PREFIX@/bin/julia", "-i", "--color=yes", "--project=@.",
                "-e", "import IJulia; IJulia.run_kernel()", FILE,
            ],
            "display_name": "Julia 1.10",
            "language": "julia",
            "env": {},
            "interrupt_mode": "signal",
        },
        words=[
            "@PREFIX@/bin/julia", "-i", "--color=yes", "--project=@.", "-e", "import IJulia; IJulia.run_kernel()", FILE,
        ],
        packages={"julia": "1.10.4"},
        shown="x · Julia 1.10.4",
    ),
    "xeus-cpp": Fake(
        spec="xcpp20",
        document={
            "display_name": "C++20",
            "env": {"PATH": "${PATH}", "LD_LIBRARY_PATH": "${LD_LIBRARY_PATH}:@PREFIX@/lib"},
            "argv": ["@PREFIX@/bin/xcpp", "-f", FILE, "-std=c++20"],
            "language": "cpp",
            "metadata": {"debugger": False},
        },
        words=["@PREFIX@/bin/xcpp", "-f", FILE, "-std=c++20"],
        env={"PATH": "@PREFIX@/bin:${PATH}", "LD_LIBRARY_PATH": "${LD_LIBRARY_PATH}:@PREFIX@/lib"},
        shown="",
    ),
    "xeus-cling": Fake(
        spec="xcpp17",
        document={
            "display_name": "C++17",
            "argv": ["@PREFIX@/bin/xcpp", "-f", FILE, "-I", "@PREFIX@/include", "-std=c++17"],
            "language": "C++17",
        },
        words=["@PREFIX@/bin/xcpp", "-f", FILE, "-I", "@PREFIX@/include", "-std=c++17"],
        shown="x · C++17",
    ),
    "xeus-r": Fake(
        spec="xr",
        document={
            "display_name": "R 4.3 (xr)",
            "argv": ["@PREFIX@/bin/xr", "-f", FILE],
            "language": "R",
            "metadata": {"debugger": False},
            "env": {"R_HOME": "@PREFIX@/lib/R", "LD_LIBRARY_PATH": "@PREFIX@/lib/R/lib"},
        },
        words=["@PREFIX@/bin/xr", "-f", FILE],
        packages={"r-base": "4.3.3"},
        env={"R_HOME": "@PREFIX@/lib/R", "LD_LIBRARY_PATH": "@PREFIX@/lib/R/lib"},
        shown="x · R 4.3.3",
    ),
    "xeus-octave": Fake(
        spec="xoctave",
        document={
            "display_name": "Octave (xoctave)",
            "argv": ["@PREFIX@/bin/xoctave", "-f", FILE],
            "language": "Octave",
            "kernel_protocol_version": "5.6.0",
            "metadata": {"debugger": False},
        },
        words=["@PREFIX@/bin/xoctave", "-f", FILE],
        packages={"octave": "9.2.0"},
        shown="x · Octave 9.2.0",
    ),
    "octave_kernel": Fake(
        spec="octave",
        document={
            "argv": ["python", "-m", "octave_kernel", "-f", FILE],
            "display_name": "Octave",
            "mimetype": "text/x-octave",
            "language": "octave",
            "name": "octave",
        },
        words=["@PREFIX@/bin/python", "@KERNELSPEC@/start.py", "-m", "octave_kernel", "-f", FILE],
        packages={"octave": "9.2.0", "python": "3.12.4"},
        shown="x · Octave 9.2.0",
    ),
    "bash_kernel": Fake(
        spec="bash",
        document={
            "argv": ["@PREFIX@/bin/python", "-m", "bash_kernel", "-f", FILE],
            "codemirror_mode": "shell",
            "display_name": "Bash",
            "env": {"PS1": "$"},
            "language": "bash",
        },
        words=["@PREFIX@/bin/python", "@KERNELSPEC@/start.py", "-m", "bash_kernel", "-f", FILE],
        env={"PS1": "$"},
        shown="x · Bash",
    ),
    "deno": Fake(
        spec="deno",
        document={
            "argv": ["deno", "jupyter", "--kernel", "--conn", FILE],
            "display_name": "Deno",
            "language": "typescript",
        },
        words=["@PREFIX@/bin/deno", "jupyter", "--kernel", "--conn", FILE],
        shown="",
    ),
}  # fmt: skip


def filled(value: Any, prefix: Path, kernelspec: Path | None = None) -> Any:
    """Write an environment's own places for the placeholders of a `Fake`."""
    text = json.dumps(value).replace("@PREFIX@", str(prefix)).replace("@KERNELSPEC@", str(kernelspec))
    return json.loads(text)


# bash_kernel's kernelspec has a key that Jupyter does not know; what others wrote is passed on as it is.
@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
@pytest.mark.parametrize("name", FAKES)
def test_what_other_packages_ship_is_started_activated(make: Make, jupyter: Path, name: str) -> None:
    fake = FAKES[name]
    prefix = make("x", kernels={}).prefix
    add_program(prefix, Path(fake.words[0]).name)
    environment = make("x", {fake.spec: filled(fake.document, prefix)}, fake.packages)
    (spec,) = register(environment)
    assert (spec.name, spec.path) == (f"x-{fake.spec}", jupyter / f"x-{fake.spec}")
    assert list(spec.argv[4:]) == filled(fake.words, prefix, spec.path)
    assert spec.program == Path(filled(fake.words[0], prefix))
    assert spec.display_name == (fake.shown or spec.display_name)
    seen = KernelSpecManager(ensure_native_kernel=False, kernel_dirs=[str(jupyter)]).get_kernel_spec(spec.name)
    assert {**seen.env, **filled(fake.env, prefix)} == seen.env
    assert seen.env["CONDA_PREFIX"] == str(prefix)
    assert (seen.language, seen.interrupt_mode) == (fake.document["language"], "signal")
    written = json.loads((spec.path / "kernel.json").read_text("utf-8"))
    untouched = fake.document.keys() - {"argv", "display_name", "env", "metadata"}
    assert {key: written[key] for key in untouched} == {key: fake.document[key] for key in untouched}
    assert written["metadata"].items() >= fake.document.get("metadata", {}).items()


@pytest.fixture(scope="session")
def irkernel() -> Path:
    """The kernelspec that IRkernel brings."""
    rscript = shutil.which("Rscript")
    argv = [str(rscript), "--vanilla", "-e", 'cat(system.file("kernelspec", package = "IRkernel"))']
    found = subprocess.run(argv, check=True, capture_output=True, text=True).stdout if rscript else ""
    if not found:
        pytest.skip("This machine lacks R with IRkernel: apt-get install r-cran-irkernel.")
    return Path(found)


@pytest.fixture
def stats(irkernel: Path, jupyter: Path, tmp_path: Path) -> Environment:
    """An environment with a real R, laid out as conda-forge's r-base and r-irkernel are, that another program made."""
    prefix = tmp_path / "é" / "envs" / "stats"
    for folder in ("bin", "conda-meta", "etc/conda/activate.d"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "bin" / "R").symlink_to(str(shutil.which("R")))
    shutil.copytree(irkernel, prefix / "share" / "jupyter" / "kernels" / "ir")
    (prefix / "etc" / "conda" / "activate.d" / "activate-r-base.sh").write_text(ACTIVATE_R)
    (prefix / "conda-meta" / "history").write_text("")
    for name, version in (("r-base", "4.2.2"), ("r-irkernel", "1.3.2")):
        record = {"name": name, "version": version, "build": "0", "subdir": "linux-64", "url": f"file:///{name}.conda"}
        (prefix / "conda-meta" / f"{name}-{version}-0.json").write_text(json.dumps(record))
    assert not jupyter.exists()
    return environments.get(prefix, Root(tmp_path / "root"))


def printed(kernel: Kernel, code: str) -> str:
    """Return what code prints; it must succeed."""
    reply = kernel.run(code, seconds=WAIT_SECONDS)
    assert reply.ename is None, reply
    return reply.said.strip()


def errors(kernel: Kernel, code: str) -> str:
    """Return the error that code ends in."""
    said: list[str] = []

    def hook(message: Any) -> None:
        if message["msg_type"] == "error":
            said.append("\n".join([message["content"]["evalue"], *message["content"]["traceback"]]))

    kernel.client.execute_interactive(code, timeout=WAIT_SECONDS, output_hook=hook)
    return "\n".join(said)


def interrupted(kernel: Kernel, code: str) -> str:
    """Interrupt code once it has printed something; return its status."""
    cell = kernel.begin(code)
    kernel.manager.interrupt_kernel()
    # Starting may have left answers of its own behind.
    while (reply := kernel.client.get_shell_msg(timeout=WAIT_SECONDS))["parent_header"]["msg_id"] != cell:
        pass
    # Until it is idle, IRkernel aborts what is sent next.
    while kernel.client.get_iopub_msg(timeout=WAIT_SECONDS)["content"].get("execution_state") != "idle":
        pass
    return str(reply["content"]["status"])


def test_r_says_what_it_is_and_runs_activated(stats: Environment) -> None:
    (spec,) = register(stats)
    assert (spec.name, spec.display_name, spec.language) == ("stats-ir", "stats · R 4.2.2", "R")
    assert spec.program == stats.prefix / "bin" / "R"
    files = {"kernel.js", "kernel.json", "logo-64x64.png", "logo-svg.svg", "start.sh"}
    assert files <= {file.name for file in spec.path.iterdir()}
    with running(spec.name) as kernel:
        asked = 'c(Sys.getenv(c("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "RSTUDIO_WHICH_R")), Sys.which("R"))'
        r, prefix = str(stats.prefix / "bin" / "R"), str(stats.prefix)
        assert printed(kernel, f'cat({asked}, sep = "\\n")').splitlines() == [prefix, "stats", r, r]
        assert "oh no" in errors(kernel, 'stop("oh no")')
        # The process that Jupyter started is R itself by now.
        assert printed(kernel, "cat(Sys.getpid())") == str(kernel.pid)


def test_parameters_arrive_in_r_as_they_were_given(stats: Environment, tmp_path: Path) -> None:
    (spec,) = register(stats)
    values: dict[str, Any] = {
        "text": "it's \"ü\"\n$x \\ 😀 `id`", "on": True, "n": 7, "x": 0.1,
        "xs": list(range(10_000)), "deep": {"a b": [1.5, "z"]},
    }  # fmt: skip
    declared = 'text <- ""\non <- FALSE\nn <- 1\nx <- 1.5\nxs <- NULL\ndeep <- NULL'
    shown = 'cat(text, on, n, x, length(xs), xs[10000], deep[["a b"]][[2]], sep = "|")'
    cells = [
        nbformat.v4.new_code_cell(declared, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(shown),
    ]
    kernelspec = {"name": "ir", "display_name": "R", "language": "R"}
    source = tmp_path / "study.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), source)
    (result,) = run(source, kernels=spec.name, parameters=values, output=tmp_path / "out")
    assert result.error is None, result.error
    assert dict(result.parameters) == values
    executed = nbformat.read(result.path, as_version=4)
    assert executed.cells[2].outputs[0].text == f"{values['text']}|TRUE|7|0.1|10000|9999|z"


def test_r_can_be_interrupted_restarted_and_shut_down(stats: Environment) -> None:
    (spec,) = register(stats)
    with running(spec.name) as kernel:
        for forever in ("Sys.sleep(600)", "while (TRUE) 1"):
            assert interrupted(kernel, f'x <- 1; cat("begun\\n"); {forever}') == "abort"
        assert printed(kernel, "cat(x)") == "1"
        before = printed(kernel, "cat(Sys.getpid())")
        kernel.manager.restart_kernel()
        kernel.client.wait_for_ready(timeout=WAIT_SECONDS)
        after, there = printed(kernel, 'cat(Sys.getpid(), exists("x"))').split()
        assert after != before
        assert there == "FALSE"
        kernel.manager.shutdown_kernel()
        assert not Path("/proc", after).exists()


def test_r_that_is_gone_is_told_in_the_notebook(stats: Environment) -> None:
    (spec,) = register(stats)
    (stats.prefix / "bin" / "R").unlink()
    with running(spec.name) as kernel:
        assert str(stats.prefix / "bin" / "R") in errors(kernel, "1 + 1")


def test_an_environment_whose_only_kernel_is_not_python_keeps_one_kernelspec(stats: Environment) -> None:
    (spec,) = register(stats)
    assert [again.name for again in kernels.refresh(stats)] == ["stats-ir"]
    assert kernels.list() == [spec]
    register(stats, name="myr", variant="fast")
    kernels.refresh(stats)
    assert {listed.name for listed in kernels.list()} == {"stats-ir", "myr"}


def test_a_kernelspec_in_a_wheel_reaches_the_environment_and_jupyter(borrowed_root: Root, jupyter: Path) -> None:
    """xeus-python: a kernel in C++ that brings two kernelspecs as data files, and no ipykernel."""
    mambakernels.create("xeus", ["python", "xeus-python"], channel="wheels", root=borrowed_root.path)
    found = {spec.name: spec for spec in kernels.list(jupyter=jupyter.parent)}
    assert found.keys() == {"xeus-xpython", "xeus-xpython-raw"}
    assert len({spec.display_name for spec in found.values()}) == len(found)
    python = str(borrowed_root.environments / "xeus" / "bin" / "python")
    assert {spec.program.parent for spec in found.values()} == {Path(python).parent}
    with running("xeus-xpython") as kernel:
        code = "import os, sys; print(os.environ['CONDA_PREFIX'], sys.executable)"
        prefix, executable = printed(kernel, code).split(" /")
        assert f"{prefix}/bin/python" == python
        assert f"/{executable}".startswith(python)
        kernel.manager.shutdown_kernel()
