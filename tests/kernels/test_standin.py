"""Kernels whose environment is gone or broken, and healthy ones beside them, started as Jupyter starts them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from support.python_kernels import ABSENT, without_what_is_slow
from support.running_kernels import alive, seconds_until, started

import mambakernels
from mambakernels.errors import KernelError
from mambakernels.kernels import specs, standin
from mambakernels.kernels.specs import KernelMark

pytestmark = pytest.mark.slow

LAUNCH = Path(mambakernels.__file__).parent / "kernels" / "launch"
BASH = ["/bin/bash", "-p"]
IPYKERNEL = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
WAIT_SECONDS = 60
ALSO = pytest.mark.exhaustive  # another error of the same import
# A parent that starts a kernel and says its process id, as a Jupyter server would.
PARENT = """
import sys, time
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
specs = KernelSpecManager(ensure_native_kernel=False, kernel_dirs=[sys.argv[1]])
manager = KernelManager(kernel_name=sys.argv[2], kernel_spec_manager=specs)
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
print(manager.provisioner.pid, flush=True)
time.sleep(600)
"""


@dataclass(frozen=True)
class Made:
    """A kernelspec written by hand, as registering writes it, and the environment that it starts."""

    folder: Path
    prefix: Path

    @property
    def packages(self) -> Path:
        return next(self.prefix.glob("lib/python3*/site-packages"))

    def manager(self) -> KernelManager:
        found = KernelSpecManager(ensure_native_kernel=False, kernel_dirs=[str(self.folder.parent)])
        return KernelManager(kernel_name=self.folder.name, kernel_spec_manager=found)

    def change(self, **fields: Any) -> None:
        file = self.folder / "kernel.json"
        file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | fields), "utf-8")

    def break_module(self, name: str, text: str) -> None:
        """Put a module before the real one of that name."""
        first = self.prefix / "first"
        first.mkdir(exist_ok=True)
        (first / f"{name}.py").write_text(text)
        (self.packages / "a.pth").write_text(f"import sys; sys.path.insert(0, {str(first)!r})")

    def manage(self, *packages: str) -> None:
        """Write the manifest of an environment that mambakernels made."""
        found = [{"name": name, "version": "1", "build": "0", "subdir": "noarch"} for name in packages]
        identity = {"url": "", "sha256": ""}
        manifest = {"schema": 1, "specs": [], "channels": [], "engine": "rattler", "created": ""}
        manifest["packages"] = [package | identity for package in found]
        (self.prefix / ".mambakernels.json").write_text(json.dumps(manifest))


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Return a kernel whose environment is well: a real Python that sees this one's ipykernel."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime dïr"))
    monkeypatch.setenv("MAMBAKERNELS_ROOT", str(tmp_path / "root"))
    prefix = tmp_path / "root" / "envs" / "np-mkl"
    venv.create(prefix, symlinks=True, with_pip=False)
    made = Made(tmp_path / "jüpyter 'data'" / "kernels" / "np-mkl", prefix)
    (made.packages / "ipykernel.pth").write_text(f"{ABSENT}\n{sysconfig.get_path('purelib')}")
    write_spec(made.folder, prefix, [*IPYKERNEL])
    return made


def write_spec(folder: Path, prefix: Path, words: list[str], **fields: Any) -> None:
    folder.mkdir(parents=True)
    for file in ("start.sh", "start.py"):
        shutil.copyfile(LAUNCH / file, folder / file)
    program, stand_in = prefix / "bin" / "python", sys.executable
    mark = KernelMark(
        environment=prefix.name,
        prefix=prefix,
        root=prefix.parents[1],
        blas=None,
        fingerprint="",
        spec="python3",
        kernel=folder.name,
        program=program,
        stand_in=Path(stand_in),
        base=folder.name,
        asked_name=folder.name,
        title=None,
        variant=None,
        variables={},
        threads=None,
        declared_in=None,
        limit=None,
        limited_by=None,
        version="0",
    )
    document = {
        "argv": [*BASH, str(folder / "start.sh"), stand_in, str(program), str(folder / "start.py"), *words],
        "display_name": "np-mkl · Python",
        "language": "python",
        # what registering sets, and what would keep the stand-in from its own packages
        "env": {"PYTHONNOUSERSITE": "1", "PYTHONPATH": "", "PYTHONHOME": ""},
        "metadata": {"mambakernels": mark.as_dict()},
    }
    (folder / "kernel.json").write_text(json.dumps(document | fields), "utf-8")


def run(client: BlockingKernelClient, code: str = "1", **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Execute code; return the reply's content and the outputs."""
    outputs: list[dict[str, Any]] = []
    reply = client.execute_interactive(code, timeout=WAIT_SECONDS, output_hook=outputs.append, **options)
    kinds = ("stream", "error", "execute_result", "display_data")
    return reply["content"], [message for message in outputs if message["msg_type"] in kinds]


def shown(made: Made, **options: Any) -> str:
    """Start the kernel, execute a cell, and return what is shown: one error and nothing else."""
    with started(made.manager(), **options) as kernel:
        content, outputs = run(kernel.client)
    assert [message["msg_type"] for message in outputs] == ["error"]
    assert content["status"] == "error"
    assert content["ename"] == "KernelError"
    assert content["evalue"] in content["traceback"][0]
    assert outputs[0]["content"]["traceback"] == content["traceback"]
    return "\n".join(content["traceback"])


ODD = {
    "BASH_FUNC_hello%%": "() {  echo hi\n}",
    "odd.name-1": "kept",
    "stand_in": "x",
    "IFS_": " \n",
    "LINES_": "a\nb=c'\"$x",
    "BASH_ENV": "/not/there",
    "ENV": "/not/there",
}
STATE = "[dict(os.environ), sys.path, sys.argv, os.getcwd(), list(sys.flags), sys.modules['__main__'].__name__]"


def test_a_healthy_kernel_is_jupyters_own_child_and_as_if_started_bare(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ODD.items():
        monkeypatch.setenv(name, value)
    here = tmp_path / "nötebooks"
    here.mkdir()
    manager = made.manager()
    with started(manager, cwd=str(here)) as kernel:
        registered = kernel.evaluate(STATE)
        assert kernel.evaluate("os.getpid()") == manager.provisioner.pid
    made.change(argv=[str(made.prefix / "bin" / "python"), *IPYKERNEL])
    with started(made.manager(), cwd=str(here)) as kernel:
        bare = kernel.evaluate(STATE)
    for environ, argv in ((registered[0], registered[2]), (bare[0], bare[2])):
        for name in ("PWD", "SHLVL", "_", "OLDPWD", "JPY_SESSION_NAME"):
            environ.pop(name, None)
        argv[-1] = "the connection file"
    assert registered == bare
    assert {name: registered[0][name] for name in ODD} == ODD


def test_python_dash_m_and_start_py_see_the_same(made: Made, tmp_path: Path) -> None:
    here = tmp_path / "here"
    package = here / "thing"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import sys\nprint(sys.argv, sys.path, __name__, __file__, __package__, __spec__.name)\n"
        "print(sys.modules['__main__'].__dict__ is globals())\nsys.exit(7)\n"
    )
    python = str(made.prefix / "bin" / "python")
    for flags in ([], ["-I"], ["-P"]) if sys.version_info >= (3, 11) else ([], ["-I"]):
        environ = os.environ | {"PYTHONPATH": str(here)}
        told = [
            subprocess.run([python, *flags, *words], cwd=here, env=environ, capture_output=True, check=False)
            for words in (["-m", "thing", "a b", "-m"], [str(made.folder / "start.py"), "-m", "thing", "a b", "-m"])
        ]
        if flags != ["-I"]:  # where nothing can be found
            assert told[0].returncode == told[1].returncode == 7
            assert told[0].stdout == told[1].stdout


def test_a_prefix_that_was_moved(made: Made) -> None:
    mark = json.loads((made.folder / "kernel.json").read_text("utf-8"))["metadata"]["mambakernels"]
    asked = {"asked_name": None, "variant": "fast", "title": "My {kernel}", "threads": 2, "variables": {"A": "$a b"}}
    made.change(metadata={"mambakernels": mark | asked})
    made.prefix.rename(made.prefix.with_name("elsewhere"))
    text = shown(made)
    assert f"The environment 'np-mkl' is no longer at {made.prefix}: it was moved or removed." in text
    words = "--variant fast --display-name 'My {kernel}' --threads 2 --jupyter"
    assert f"mambakernels register NEW_PATH {words} {shlex.quote(str(made.folder.parents[1]))} --env 'A=$a b'\n" in text
    assert "mambakernels prune" in text
    assert "restart the kernel" in text


def take_away(program: Path) -> None:
    program.unlink()


def forbid(program: Path) -> None:
    program.unlink()
    program.write_text("x")
    program.chmod(0o644)


def spoil(program: Path) -> None:
    program.unlink()
    program.write_bytes(b"\x7fELF\x02\x01\x01\0\0\0")
    program.chmod(0o755)


def empty(program: Path) -> None:
    program.unlink()
    program.touch(mode=0o755)


def orphan(program: Path) -> None:
    program.unlink()
    program.write_text("#!/not/there/python\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (take_away, "it no longer exists"),
        (forbid, "it is not executable"),
        (spoil, "Exec format error"),
        (empty, "the file is empty"),
        (orphan, "No such file or directory"),
    ],
)
def test_a_program_that_cannot_be_started(made: Made, damage: Any, reason: str) -> None:
    damage(made.prefix / "bin" / "python")
    assert f"cannot be started: {reason}.\n" in (text := shown(made))
    assert "Install it again with the program that made the environment 'np-mkl'." in text
    made.manage("ipykernel")
    spec = specs.read_kernelspec(made.folder)
    assert spec is not None
    assert "mambakernels verify np-mkl --repair" in str(standin.explain(spec, ""))


@pytest.mark.parametrize(
    ("module", "text", "reason"),
    [
        ("zmq", "raise ModuleNotFoundError(\"No module named 'zmq'\")", "ModuleNotFoundError: No module named 'zmq'"),
        ("ipykernel_launcher", "if True:\n  x = (", "SyntaxError: '(' was never closed"),
        pytest.param("zmq", "import ctypes; ctypes.CDLL('/not/there.so')", "OSError: /not/there.so", marks=ALSO),
        pytest.param("zmq", "", "No module named 'zmq.asyncio'", marks=ALSO),
        ("zmq", "raise AttributeError('näme\\n\\n')", "KernelError: The kernel of"),
    ],
)
def test_a_module_that_cannot_be_imported(made: Made, module: str, text: str, reason: str) -> None:
    made.break_module(module, text)
    made.manage("ipykernel")
    said = shown(made)
    assert reason in said
    assert "mambakernels verify np-mkl --repair\n" in said
    assert "Traceback (most recent call last):" in said or len(said.splitlines()) >= 20


def test_a_missing_ipykernel_is_to_be_installed(made: Made) -> None:
    (made.packages / "ipykernel.pth").unlink()
    made.manage("python")
    said = shown(made)
    assert "No module named ipykernel_launcher" in said
    assert "mambakernels install np-mkl ipykernel\n" in said


def test_a_kernel_that_fails_after_it_took_the_output_for_itself(made: Made, tmp_path: Path) -> None:
    """ipykernel has by then bound the ports and put pipes in the place of stdout and stderr."""
    made.break_module("broken_kernel", "from ipykernel.ipkernel import IPythonKernel\nclass Broken(IPythonKernel):\n"
                      "    def __init__(self, **k):\n        raise RuntimeError('not to be made')\n")  # fmt: skip
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.kernel_class = 'broken_kernel.Broken'\n")
    log = tmp_path / "log"
    with log.open("wb") as file:
        assert "RuntimeError: not to be made" in shown(made, stderr=file)
    assert "RuntimeError: not to be made" in (text := log.read_text("utf-8"))
    assert "The kernel of the environment 'np-mkl' cannot be started: RuntimeError" in text


@pytest.mark.parametrize("where", ["start.sh", "start.py"])
def test_nothing_of_the_environment_or_the_notebooks_folder_hides_the_stand_ins_packages(
    made: Made, tmp_path: Path, where: str
) -> None:
    here, libraries = tmp_path / "here", tmp_path / "lib"
    for folder in (here, libraries):
        folder.mkdir()
    for module in ("mambakernels", "ipykernel", "json"):
        (here / f"{module}.py").write_text("raise ImportError('of the folder')")
    (libraries / "libm.so.6").write_text("no library that Python could use; bash needs none of that name")
    hiding = {"PYTHONPATH": str(here), "PYTHONNOUSERSITE": "1", "PYTHONHOME": ""}
    if where == "start.sh":
        spoil(made.prefix / "bin" / "python")
        hiding["LD_LIBRARY_PATH"] = str(libraries)
    else:
        made.break_module("zmq", f"import os; os.environ['LD_LIBRARY_PATH'] = {str(libraries)!r}; 1 / 0")
    made.change(env=hiding)
    reasons = {"start.sh": "Exec format error", "start.py": "ImportError: of the folder"}
    assert reasons[where] in shown(made, cwd=str(here))


def test_a_notebooks_folder_that_is_gone(made: Made, tmp_path: Path) -> None:
    take_away(made.prefix / "bin" / "python")
    here = tmp_path / "here"
    here.mkdir()
    script = made.folder / "start.sh"
    script.write_text(f"rmdir '{here}'\n" + script.read_text())
    assert "it no longer exists" in shown(made, cwd=str(here))


def test_without_mambakernels_the_log_says_it_all(made: Made, tmp_path: Path) -> None:
    take_away(made.prefix / "bin" / "python")
    argv = json.loads((made.folder / "kernel.json").read_text("utf-8"))["argv"]
    argv[argv.index(sys.executable)] = gone = str(tmp_path / "no 'python' here")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"cannot be started: {made.prefix}/bin/python\n" in done.stderr
    assert f"mambakernels itself is gone, so the notebook cannot show this: {gone}\n" in done.stderr


@pytest.mark.parametrize("shell", [shell for shell in ("dash", "ksh", "zsh", "busybox") if shutil.which(shell)])
def test_another_shell_will_do(made: Made, shell: str) -> None:
    argv = json.loads((made.folder / "kernel.json").read_text("utf-8"))["argv"]
    argv = [*([shell] if shell != "busybox" else ["busybox", "sh"]), *argv[len(BASH) :]]
    (made.packages / "shown.py").write_text("import sys\nprint([sys.prefix, *sys.argv[1:]])")
    healthy = [*argv[: argv.index("-m")], "-m", "shown", "a  'b'"]
    assert subprocess.check_output(healthy, text=True) == f"{[str(made.prefix), healthy[-1]]}\n"
    made.change(argv=argv)
    take_away(made.prefix / "bin" / "python")
    assert "it no longer exists" in shown(made)


def test_headless_tools_show_it(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(made.folder.parents[1]))
    take_away(made.prefix / "bin" / "python")
    cells = [nbformat.v4.new_code_cell("1 + 1")]
    kernelspec = {"name": "np-mkl", "display_name": "np-mkl", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})
    file = tmp_path / "nötebook.ipynb"
    nbformat.write(notebook, file)
    with pytest.raises(CellExecutionError, match="it no longer exists") as caught:
        NotebookClient(notebook, extra_arguments=["--InteractiveShell.xmode=Plain"]).execute()
    assert "Install it again" in str(caught.value)
    assert cells[0].outputs[0].output_type == "error"
    assert notebook.metadata.language_info["name"] == "python"
    command = [Path(sysconfig.get_path("scripts"), "jupyter-execute"), file]
    environ = os.environ | without_what_is_slow()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "KernelError: The program of the environment 'np-mkl' cannot be started" in done.stderr
    assert "Install it again with the program that made the environment" in done.stderr


def test_front_ends_get_an_answer_to_everything_they_ask(made: Made) -> None:
    take_away(made.prefix / "bin" / "python")
    with started(made.manager()) as kernel:
        session, shell, control = kernel.client.session, kernel.client.shell_channel, kernel.client.control_channel

        def ask(kind: str, content: Mapping[str, Any], channel: Any = shell) -> dict[str, Any]:
            request = session.msg(kind, content)
            channel.send(request)
            while True:
                reply = channel.get_msg(timeout=WAIT_SECONDS)
                if reply["parent_header"].get("msg_id") == request["header"]["msg_id"]:
                    answer: dict[str, Any] = reply["content"]
                    return answer

        info = ask("kernel_info_request", {})
        assert (info["status"], info["implementation"]) == ("ok", "mambakernels-standin")
        assert info["language_info"]["file_extension"] == ".py"
        assert "debugger" not in info["supported_features"]
        code = {"code": "pri", "cursor_pos": 3}
        assert ask("complete_request", code)["matches"] == []
        assert ask("inspect_request", code)["found"] is False
        assert ask("is_complete_request", code)["status"] == "unknown"
        history = {"hist_access_type": "tail", "output": False, "raw": True, "n": 9}
        assert ask("history_request", history)["history"] == []
        assert ask("comm_info_request", {})["comms"] == {}
        assert ask("connect_request", {})["status"] == "ok"
        debug = {"type": "request", "seq": 3, "command": "debugInfo", "arguments": {}}
        assert ask("debug_request", debug, control)["body"]["isStarted"] is False
        assert ask("debug_request", {**debug, "command": "attach"}, control)["success"] is False
        assert ask("usage_request", {}, control)["pid"]
        assert ask("interrupt_request", {}, control)["status"] == "ok"
        content, outputs = run(kernel.client, silent=True)
        assert (content["status"], outputs) == ("error", [])
        shell.send(session.msg("comm_open", {"comm_id": "one", "target_name": "jupyter.widget", "data": {}}))
        while (said := kernel.client.get_iopub_msg(timeout=WAIT_SECONDS))["msg_type"] != "comm_close":
            pass
        assert said["content"]["comm_id"] == "one"
        assert run(kernel.client)[0]["status"] == "error"


def test_it_can_be_interrupted_and_a_restart_after_mending_gives_the_real_kernel(made: Made) -> None:
    program = made.prefix / "bin" / "python"
    program.rename(program.with_name("away"))
    manager = made.manager()
    with started(manager) as kernel:
        manager.interrupt_kernel()
        assert run(kernel.client)[0]["ename"] == "KernelError"
        manager.restart_kernel()
        kernel.client.wait_for_ready(timeout=WAIT_SECONDS)
        assert run(kernel.client)[0]["ename"] == "KernelError"
        program.with_name("away").rename(program)
        manager.restart_kernel()
        kernel.client.wait_for_ready(timeout=WAIT_SECONDS)
        assert kernel.evaluate("[sys.prefix, os.getpid()]") == [str(made.prefix), manager.provisioner.pid]
        take_away(program)
        manager.restart_kernel(now=True)
        kernel.client.wait_for_ready(timeout=WAIT_SECONDS)
        assert run(kernel.client)[0]["ename"] == "KernelError"
        pid = manager.provisioner.pid
        manager.shutdown_kernel()
        seconds_until(lambda: not alive([pid]), at_most=WAIT_SECONDS)


@pytest.mark.parametrize("healthy", [True, False])
def test_it_leaves_with_its_parent(made: Made, *, healthy: bool) -> None:
    if not healthy:
        take_away(made.prefix / "bin" / "python")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(made.folder.parent), made.folder.name], stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    seconds_until(lambda: not alive([pid]), at_most=WAIT_SECONDS)


@pytest.mark.parametrize(
    ("language", "words", "extension"),
    [
        ("R", ["--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"], ".r"),
        ("C++17", ["--connection={connection_file}", "-std=c++17"], ".txt"),
    ],
)
def test_kernels_of_other_languages(made: Made, language: str, words: list[str], extension: str) -> None:
    program = str(made.prefix / "bin" / "R")
    document = json.loads((made.folder / "kernel.json").read_text("utf-8"))
    document["metadata"]["mambakernels"]["program"] = program
    argv = [*BASH, str(made.folder / "start.sh"), sys.executable, program, *words]
    made.change(argv=argv, language=language, interrupt_mode="message", metadata=document["metadata"])
    manager = made.manager()
    with started(manager) as kernel:
        info = kernel.client.kernel_info(reply=True, timeout=WAIT_SECONDS)["content"]["language_info"]
        assert (info["name"], info["file_extension"]) == (language, extension)
        manager.interrupt_kernel()
        assert program in "".join(run(kernel.client)[0]["traceback"])


def test_the_connection_file_is_found_whatever_else_is_said() -> None:
    python = ["sh", "start.sh", "P", "p", "-Xa", "start.py", *IPYKERNEL]
    assert standin.connection_file(python, ["p", "start.py", "-m", "m", "-f", "/a b/c.json", "--more"]) == "/a b/c.json"
    assert standin.connection_file(["sh", "p", "--x={connection_file};"], ["p", "--x=/c;"]) == "/c"
    with pytest.raises(KernelError, match="names no connection file"):
        standin.connection_file(python, ["p", "start.py", "-m", "m"])


def test_commands_name_an_environment_so_that_it_is_found(made: Made, tmp_path: Path) -> None:
    document = json.loads((made.folder / "kernel.json").read_text("utf-8"))
    root = tmp_path / "other root"
    prefix = root / "envs" / "np-mkl"
    document["metadata"]["mambakernels"] |= {"root": str(root), "prefix": str(prefix)}
    made.change(metadata=document["metadata"])
    prefix.parent.mkdir(parents=True)
    made.manage("ipykernel")
    made.prefix.rename(prefix)
    spec = specs.read_kernelspec(made.folder)
    assert spec is not None
    assert f"verify np-mkl --repair --root '{root}'" in str(standin.explain(spec, "error"))
    elsewhere = prefix.rename(tmp_path / "else where")
    document["metadata"]["mambakernels"] |= {"root": os.environ["MAMBAKERNELS_ROOT"], "prefix": str(elsewhere)}
    made.change(metadata=document["metadata"])
    spec = specs.read_kernelspec(made.folder)
    assert spec is not None
    assert f"verify '{elsewhere}' --repair" in str(standin.explain(spec, "error"))
