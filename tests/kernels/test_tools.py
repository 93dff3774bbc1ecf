"""Registered kernels through the tools that people use, each started as its users start it.

Every tool runs the same cells, and what those print has to come from the environment and not from the tool's Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert.preprocessors import ExecutePreprocessor
from support.jupyter_servers import Server, jupyter_server
from support.python_kernels import without_what_is_slow
from support.running_kernels import make_environment
from support.terminal import Terminal, terminal

from mambakernels.environments import Environment
from mambakernels.kernels import KernelSpec, unregister
from mambakernels.kernels.registration import register_kernels as register

pytestmark = pytest.mark.slow

SCRIPTS = Path(sysconfig.get_path("scripts"))
VALUE = "it's $HOME"
CELLS = [
    "import os, sys\nprint('prefix=' + sys.prefix)",
    "!echo python=$(which python)",
    "!echo pip=$(which pip)",
    "print('variable=' + os.environ['OF_ENVIRONMENT'])",
]
# A byte that is not UTF-8 travels in kernel.json, and through whatever reads that.
ACTIVATE = f"""export OF_ENVIRONMENT="{VALUE.replace("$", chr(92) + "$")}" BYTES=$'\\xff'"""


@pytest.fixture(scope="module", autouse=True)
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Jupyter data folder for the kernels of this module."""
    folder = tmp_path_factory.mktemp("tools")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter dätä"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        patch.setenv("JUPYTER_NO_CONFIG", "1")
        yield folder / "jupyter dätä"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    root = tmp_path_factory.mktemp("root with späces")
    return make_environment(root, "tools é", scripts={"a.sh": ACTIVATE}, pip=True)


@pytest.fixture(scope="module")
def spec(environment: Environment) -> KernelSpec:
    return register(environment)[0]


@pytest.fixture
def notebook(spec: KernelSpec, tmp_path: Path) -> Path:
    """A notebook that asks for the kernel by its name, as JupyterLab saves it."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    kernelspec = {"name": spec.name, "display_name": spec.display_name, "language": "python"}
    file = tmp_path / "a notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), file)
    return file


def tool(name: str, *words: str | Path) -> str:
    """Run one of this Python's programs as a user does; return what it prints."""
    done = subprocess.run(
        [SCRIPTS / name, *words],
        env=os.environ | without_what_is_slow(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(notebook: Any) -> str:
    """Return what the cells of an executed notebook print."""
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"stream"}, outputs
    return "".join(output.text for output in outputs)


def check(text: str, environment: Environment) -> None:
    """Assert that what the cells print comes from the environment."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert found["prefix"] == str(environment.prefix)
    assert found["python"] == str(environment.python)
    assert found["pip"] == str(environment.prefix / "bin" / "pip")
    assert found["variable"] == VALUE


def by_nbconvert(notebook: Path, _name: str) -> str:
    tool("jupyter-nbconvert", "--execute", "--to", "notebook", "--output", "out.ipynb", notebook)
    return printed(nbformat.read(notebook.with_name("out.ipynb"), 4))


def by_nbconvert_with_another_kernel_named(notebook: Path, name: str) -> str:
    read = nbformat.read(notebook, 4)
    read.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return printed(ExecutePreprocessor(kernel_name=name).preprocess(read, {})[0])


def by_papermill(notebook: Path, name: str) -> str:
    tool("papermill", "--kernel", name, "--no-progress-bar", notebook, notebook.with_name("out.ipynb"))
    return printed(nbformat.read(notebook.with_name("out.ipynb"), 4))


def by_nbclient(notebook: Path, _name: str) -> str:
    return printed(NotebookClient(nbformat.read(notebook, 4), timeout=120).execute())


def by_jupyter_execute(notebook: Path, name: str) -> str:
    tool("jupyter-execute", f"--kernel_name={name}", "--inplace", notebook)
    return printed(nbformat.read(notebook, 4))


def by_jupyter_run(notebook: Path, name: str) -> str:
    code = notebook.with_suffix(".ipy")
    code.write_text("\n".join(CELLS))
    return tool("jupyter-run", "--kernel", name, code)


TOOLS: Mapping[str, Callable[[Path, str], str]] = {
    "jupyter nbconvert": by_nbconvert,
    "jupyter nbconvert, kernel named": by_nbconvert_with_another_kernel_named,
    "papermill": by_papermill,
    "nbclient": by_nbclient,
    "jupyter execute": by_jupyter_execute,
    "jupyter run": by_jupyter_run,
}


@pytest.mark.parametrize("use", TOOLS.values(), ids=TOOLS)
def test_what_a_tool_runs_runs_in_the_environment(
    use: Callable[[Path, str], str], notebook: Path, spec: KernelSpec, environment: Environment
) -> None:
    check(use(notebook, spec.name), environment)


def test_jupyter_kernelspec_lists_them(spec: KernelSpec) -> None:
    listed = json.loads(tool("jupyter-kernelspec", "list", "--json"))["kernelspecs"]
    found = listed[spec.name]
    assert found["resource_dir"] == str(spec.path)
    assert found["spec"]["display_name"] == spec.display_name
    assert tuple(found["spec"]["argv"]) == spec.argv
    assert found["spec"]["env"]["BYTES"] == "\udcff"


@dataclass(frozen=True)
class Shown:
    """What a cell's end looks like in `jupyter console`, where echoes of the typed text come first."""

    cell: str
    value: str


def test_jupyter_console_talks_to_them(spec: KernelSpec, environment: Environment) -> None:
    argv = [str(SCRIPTS / "jupyter-console"), "--kernel", spec.name, "--simple-prompt", "--no-confirm-exit"]
    environ = {**os.environ, "TERM": "dumb", "PYTHONWARNINGS": "ignore"}
    cells = [
        Shown("import os, sys; print('prefix', '=', sys.prefix)", f"prefix = {environment.prefix}"),
        Shown("!echo python '=' $(which python)", f"python = {environment.python}"),
        Shown("!echo pip '=' $(pip --version | cut -d' ' -f1,3-)", f"pip = pip from {environment.prefix}/lib/"),
        Shown("print('variable', '=', os.environ['OF_ENVIRONMENT'])", f"variable = {VALUE}"),
    ]
    with _listening_console(argv, environ) as screen:
        for number, cell in enumerate(cells, start=2):
            screen.type(cell.cell + "\n")
            screen.wait_for(cell.value)
            screen.wait_for(f"In [{number + 1}]:")
        screen.type("exit\n")
        assert screen.status() == 0


@contextmanager
def _listening_console(argv: Sequence[str], environ: Mapping[str, str]) -> Iterator[Terminal]:
    """Start the console, again if need be.

    It prompts before it is subscribed to outputs, and waits without end for one that it missed.
    """
    for _ in range(5):
        with terminal(argv, environ) as screen:
            screen.wait_for("In [1]:", seconds=120)
            screen.type("'li' + 'stens'\n")
            try:
                screen.wait_for("listens", seconds=20)
                screen.wait_for("In [2]:", seconds=20)
            except AssertionError:
                continue
            yield screen
            return
    pytest.fail("The console never showed what a cell returned.")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose folder has another one with a module in it."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "sub folder").mkdir()
    (folder / "sub folder" / "beside.py").write_text("VALUE = 42")
    with jupyter_server(folder) as started:
        yield started


def test_a_running_server_sees_them_come_and_go(server: Server, environment: Environment) -> None:
    assert "newly-made" not in server.ask("api/kernelspecs")["kernelspecs"]
    (made,) = register(environment, name="newly-made")
    shown = server.ask("api/kernelspecs")["kernelspecs"]["newly-made"]
    assert shown["spec"]["display_name"] == made.display_name
    logos = {file.stem: file.read_bytes() for file in made.path.glob("logo-*")}
    assert {"logo-64x64", "logo-svg"} <= shown["resources"].keys() == logos.keys()
    fetched = {name: server.ask(url) for name, url in shown["resources"].items()}
    assert fetched == logos
    identity = server.ask("api/kernels", method="POST", body={"name": "newly-made"})["id"]
    assert server.run(identity, "import sys\nprint(sys.prefix)").said == f"{environment.prefix}\n"
    unregister("newly-made")
    assert "newly-made" not in server.ask("api/kernelspecs")["kernelspecs"]
    assert server.run(identity, "print('still here')").said == "still here\n"


def test_a_notebooks_kernel_works_in_its_folder(server: Server, spec: KernelSpec) -> None:
    body = {"path": "sub folder/n.ipynb", "type": "notebook", "name": "n", "kernel": {"name": spec.name}}
    identity = server.ask("api/sessions", method="POST", body=body)["kernel"]["id"]
    reply = server.run(identity, "import os, beside\nprint(os.getcwd(), beside.VALUE)")
    folder, value = reply.said.rsplit(maxsplit=1)
    assert (Path(folder).name, value) == ("sub folder", "42")
