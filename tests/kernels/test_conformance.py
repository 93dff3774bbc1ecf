"""A running kernel has the variables of a shell in which its environment was activated, whatever the scripts do.

Activation is captured, written to `kernel.json` as templates, filled in by jupyter_client, and passed on by what starts
the kernel; `test_activation.py` looks at the first step only, this at what arrives. Most kernels here are a module of
a few lines in ipykernel's place (`dumping`): all that comes before it is real, and takes a tenth of the time.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from activation.test_capture import DEADLY, HOSTILE
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from support.engines import needs_micromamba
from support.running_kernels import make_environment, running, seconds_until

from mambakernels.environments import Environment
from mambakernels.errors import ActivationError
from mambakernels.kernels.registered import list_kernels
from mambakernels.kernels.registration import register_kernels as register
from mambakernels.numeric.threads import THREAD_VARIABLES

# What only a shell has; what a kernelspec of ours sets on purpose, which has tests of its own.
SHELL_ONLY = {"_", "SHLVL", "PWD", "OLDPWD", "PS1"}
OURS = {"PYTHONNOUSERSITE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", *THREAD_VARIABLES}
JUPYTERS = {"JPY_PARENT_PID", "JPY_SESSION_NAME"}
SESSION = {"KEPT": "as it was $HOME", "SECRET": "hunter2", "LANG": "C.UTF-8"}

# Activation as the documentation of conda tells it, done by bash itself, in a function as there.
BY_BASH = r"""
export PATH="$1/bin:$PATH" CONDA_PREFIX="$1" CONDA_SHLVL=1 CONDA_DEFAULT_ENV="$2" CONDA_PROMPT_MODIFIER="($2) "
__reference_output="$4"
eval "$3"
__reference_activate() {
    for __reference_script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do . "$__reference_script"; done
}
__reference_activate >/dev/null 2>&1
exec /usr/bin/env -0 >|"$__reference_output"
"""
BY_MICROMAMBA = r"""
__reference_output="$2"
eval "$("$MAMBA_EXE" shell hook -s bash)"
micromamba activate "$1" >/dev/null 2>&1
exec /usr/bin/env -0 >|"$__reference_output"
"""
# The engine's own: where it and its root are, which a kernel has only if the session has it.
OF_MICROMAMBA = {"MAMBA_EXE", "MAMBA_ROOT_PREFIX", "CONDA_EXE", "CONDA_PYTHON_EXE", "_CE_CONDA", "_CE_M"}
# Stands for ipykernel, and writes down what it is started with.
DUMP = """
import os, pathlib, sys
file = pathlib.Path(sys.argv[sys.argv.index("-f") + 1] + ".environ")
text = b"\\0".join(name + b"=" + value for name, value in os.environb.items())
file.with_suffix(".part").write_bytes(text)
file.with_suffix(".part").rename(file)
"""

MORE = {
    "spaces at the ends": "export A='  two  ' B=' ' C=$'\\ttab\\t'",
    "backslashes": r"""export A='\' B='\\' C='\n\$HOME\0' D="a\\\"b" """,
    "templates": "export A='$$' B='$$$' C='${CONDA_PREFIX}' D='$CONDA_PREFIX' E='$1 ${' F='{prefix} {connection_file}'",
    "a long value": "export A=$(printf 'x%.0s' {1..100000})",
    "odd characters": "export A=$'\\e[31m\\a\\r\\x01\\x7f' B=$'\\u2028\\u00a0' C=$'\\xe2\\x82'",
    "readonly": "readonly A=1; export A; readonly B=2; export B",
    "CRLF": "export A=1\r\nexport B='two'\r\n",
    "arrays": "A=(1 2 3); export A C=${A[2]}",
    "umask and limits": "umask 0077; ulimit -c 0; export A=$(umask)",
    "traps": "trap 'export A=trapped' EXIT; trap 'export B=err' ERR; false; export C=1",
    "takes a second": "sleep 1; export A=late",
    "a background process": "sleep 3 & export A=started",
    "reads all there is to read": "cat >/dev/null; export A=read",
    "aliases": "shopt -s expand_aliases; alias set_it=export unset=echo\nset_it A=1; unset A",
    "options": "set -o pipefail; set -E; set -f; set -b; export A=*",
    "unset variables": "set -u; export A=${NOT_THERE-none} B=${KEPT:+kept}; set +u",
    "errors that are caught": "set -e; false || export A=caught; ! true; set +e; export B=1",
    "another directory": 'mkdir -p "$CONDA_PREFIX/work" && cd "$CONDA_PREFIX/work"; export A=${PWD##*/}',
    "IFS": "IFS=:; set -- $PATH; export A=$1; IFS=/",
    "eval and sub-shells": "eval 'export A=\"e v\"'; (export B=lost); export C=$(echo \"$A\"; false)",
    "locale": "export LC_ALL=C; export A='ü'; unset LC_ALL",
    "names of the parts that start a kernel": "export stand_in=1 folder=2 words=3 command=4 become=5 POSIXLY_CORRECT=1",
    "functions that are exported": "become() { exit 9; }; shift() { :; }; export -f become shift; export A=1",
    "what steers shells": "export BASH_ENV=/no/such/file ENV=/no/such/file CDPATH=/ GLOBIGNORE='*' A=1",
}  # fmt: skip
CASES = {**HOSTILE, **MORE}

Make = Callable[..., Environment]


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jupyter's folders, and variables of the session that scripts build upon."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter dätä"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    for name, value in SESSION.items():
        monkeypatch.setenv(name, value)
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    once = dict.fromkeys(os.environ["PATH"].split(os.pathsep))  # micromamba leaves out what is there twice
    monkeypatch.setenv("PATH", os.pathsep.join(once))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a maker of environments with the activation given."""

    def environment(name: str = "hostile é", **activation: Any) -> Environment:
        return make_environment(tmp_path / "root with späces", name, **activation)

    return environment


@pytest.fixture
def dumping(make: Make, tmp_path: Path) -> Make:
    """Return a maker of environments in which `ipykernel_launcher` only writes down its variables."""
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "ipykernel_launcher.py").write_text(DUMP)

    def environment(name: str = "hostile é", **activation: Any) -> Environment:
        return make(name, paths=[fake], **activation)

    return environment


def environ_of(name: str) -> dict[str, str]:
    """Start the kernel, in which `ipykernel_launcher` is DUMP, and return its variables."""
    manager = KernelManager(kernel_name=name)
    manager.start_kernel(stdout=subprocess.DEVNULL)
    try:
        written = Path(f"{manager.connection_file}.environ")
        seconds_until(written.exists, at_most=60)
        return decoded(written.read_bytes())
    finally:
        manager.shutdown_kernel(now=True)
        manager.context.destroy()


def decoded(output: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in output.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def compared(environ: Mapping[str, str], *, but: Collection[str] = ()) -> dict[str, str]:
    """Leave out what need not be alike. A shell's functions are no activation: nothing but a shell can use them."""
    ignored = SHELL_ONLY | OURS | JUPYTERS | set(but)
    return {name: value for name, value in environ.items() if name not in ignored and not name.startswith("BASH_FUNC_")}


def by_bash(environment: Environment, folder: Path, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of a bash that was activated by hand, the variables of files given."""
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in (variables or {}).items())
    return shell_with(folder, BY_BASH, str(environment.prefix), environment.name, exports)


def by_micromamba(environment: Environment, folder: Path) -> dict[str, str]:
    """Return the variables of a bash in which micromamba activated the environment."""
    root = str(environment.root.path)
    found = shell_with(folder, BY_MICROMAMBA, str(environment.prefix), MAMBA_ROOT_PREFIX=root)
    found["PATH"] = found["PATH"].replace(f"{root}/condabin:", "")  # the engine's own folder
    return found


def shell_with(folder: Path, script: str, *words: str, **more: str) -> dict[str, str]:
    argv = ["/bin/bash", "--norc", "-c", script, "reference", *words, str(folder / "output")]
    environ = {name: value for name, value in os.environ.items() if name not in OURS}
    subprocess.run(argv, env={**environ, **more}, check=True, stdin=subprocess.DEVNULL, cwd=folder)
    return decoded((folder / "output").read_bytes())


def scripts_around(body: str) -> dict[str, str]:
    """Put the script between two others, whose order by name is not that of their writing."""
    return {"z-last.sh": 'export LAST="$FIRST 2"', "m hostile's.sh": body, "a-first.sh": "export FIRST=1"}


@pytest.mark.slow
@pytest.mark.parametrize("body", CASES.values(), ids=CASES)
def test_a_kernel_has_the_variables_of_an_activated_shell(dumping: Make, tmp_path: Path, body: str) -> None:
    environment = dumping(scripts=scripts_around(body))
    shell = by_bash(environment, tmp_path)
    assert shell["LAST"] == "1 2"
    kept = chosen(environment, shell)
    (spec,) = register(environment, env=kept)
    assert compared(environ_of(spec.name)) == compared(shell) | kept


@needs_micromamba
@pytest.mark.parametrize("body", CASES.values(), ids=CASES)
def test_a_kernel_has_the_variables_that_micromamba_activates(dumping: Make, tmp_path: Path, body: str) -> None:
    files = {"b.json": '{"BOTH": "package", "OF_PACKAGE": "$x \\"q\\""}'}
    state = json.dumps({"env_vars": {"BOTH": "state", "N": "4"}})
    environment = dumping(scripts=scripts_around(body), variables=files, state=state)
    shell = by_micromamba(environment, tmp_path)
    assert shell["LAST"] == "1 2"
    kept = chosen(environment, shell)
    (spec,) = register(environment, env=kept)
    assert compared(environ_of(spec.name), but=OF_MICROMAMBA) == compared(shell, but=OF_MICROMAMBA) | kept


def chosen(environment: Environment, shell: Mapping[str, str]) -> dict[str, str]:
    """Return what the user has to say: a kernelspec cannot remove the session's variables, and registration says so."""
    removed = sorted(name for name in SESSION if name not in shell)
    if not removed:
        return {}
    with pytest.raises(ActivationError, match=f"unsets {', '.join(removed)}, but"):
        register(environment)
    return dict.fromkeys(removed, "")


@pytest.mark.parametrize("body", [body for body, _how, _said in DEADLY.values()], ids=DEADLY)
def test_what_cannot_be_activated_is_no_kernel_and_the_script_is_named(make: Make, body: str) -> None:
    environment = make(scripts={"a.sh": "export A=1", "m guilty.sh": body, "z.sh": "export Z=1"})
    with pytest.raises(ActivationError, match=r"m guilty\.sh") as caught:
        register(environment)
    assert caught.value.where == str(environment.prefix / "etc/conda/activate.d/m guilty.sh")
    assert list_kernels() == []
    assert KernelSpecManager(ensure_native_kernel=False).find_kernel_specs().get(environment.name) is None


def test_files_variables_and_scripts_count_in_the_documented_order(dumping: Make, tmp_path: Path) -> None:
    environment = dumping(
        variables={"b.json": '{"SHARED": "b", "A": "b"}', "a.json": '{"SHARED": "a", "LINES2": "one\\ntwo\\n"}'},
        state=json.dumps({"env_vars": {"A": "state", "GONE": "***unset***", "SCRIPTED": "state", "D": "$$ ${PATH}"}}),
        scripts={"9.sh": 'export ORDER="${ORDER}9"', "10.sh": 'export ORDER="${ORDER}10" SCRIPTED="$SCRIPTED,$A"'},
    )
    expected = {"SHARED": "b", "A": "state", "LINES2": "one\ntwo\n", "SCRIPTED": "state", "D": "$$ ${PATH}"}
    shell = by_bash(environment, tmp_path, expected)
    assert (shell["ORDER"], shell["SCRIPTED"]) == ("109", "state,state")
    (spec,) = register(environment)
    assert compared(environ_of(spec.name)) == compared(shell)


ODD_SESSION = {
    "a.b": "1",
    "with-dash": "2",
    "ünicode": "3",
    "with space": "4",
    "BASH_FUNC_module%%": "() {  echo modules\n}",  # as Environment Modules and Lmod have it
    "BASH_FUNC_become%%": "() {  echo no\n}",
    "BASH_FUNC_shopt%%": "() {  return 1\n}",
    "BASH_FUNC_my-func%%": "() {  echo no\n}",
    "BASH_FUNC_exec%%": "() {  echo no\n}",
    "BASH_FUNC_shift%%": "() {  echo no\n}",
    "BASH_ENV": "/no/such/file",
    "ENV": "/no/such/file",
    "CDPATH": "/",
    "EMPTY": "",
    "LINES": "5",
    "UID_": "x",
    "stand_in": "mine",
}


def test_odd_variables_of_the_servers_session_arrive_as_in_any_kernel(
    dumping: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = dumping(scripts={"a.sh": "export A=1"})
    (spec,) = register(environment)
    bare = tmp_path / "jupyter dätä" / "kernels" / "bare"
    bare.mkdir()
    argv = [str(environment.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    env = json.loads((spec.path / "kernel.json").read_text())["env"]
    (bare / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "", "language": "", "env": env}))
    for name, value in ODD_SESSION.items():
        monkeypatch.setenv(name, value)
    ours, theirs = environ_of(spec.name), environ_of("bare")
    assert ODD_SESSION.items() <= theirs.items()
    functions = {name for name in ODD_SESSION if name.startswith("BASH_FUNC_")}  # bash writes them in its own way
    assert functions <= ours.keys()
    ignored = SHELL_ONLY | JUPYTERS | functions
    assert {name: ours[name] for name in ours.keys() - ignored} == {
        name: theirs[name] for name in theirs.keys() - ignored
    }


@pytest.mark.parametrize("options", ["errexit:nounset:noclobber", "xtrace:verbose", "noglob:pipefail", "noexec"])
def test_options_of_the_servers_shell_do_not_keep_a_kernel_from_starting(
    dumping: Make, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    (spec,) = register(dumping(scripts={"a.sh": "export A=1"}))
    monkeypatch.setenv("SHELLOPTS", options)  # after `export SHELLOPTS`
    assert environ_of(spec.name)["A"] == "1"


# Scripts that do not disturb one another, so that one real kernel shows all of them.
TOGETHER = {
    "values": {
        "10.sh": HOSTILE["newlines and quotes"],
        "20.sh": 'export C=\'$HOME ${PATH} $$ $ `id` \\\' "U=naïve ☃ 中文" BYTES=$\'\\xff\\xfe\'',
        "30.sh": 'export PATH="$CONDA_PREFIX/tools:$PATH:/opt/last" KEPT="$KEPT:more"',
        "40.sh": 'export A2="${A}x" ' + "T='  two  '",
    },
    "behaviour": {
        "10.sh": "f() { export INSIDE=1; }; f; export -f f; LIST=(1 2); export LIST",
        "20.sh": 'echo noise; echo more >&2; read -r nothing; [ -n "$NOT_THERE" ] && export NOT_THERE',
        "30.sh": "set -u -f; IFS=/; umask 0077; cd /; trap 'echo bye' EXIT; export DIR=$PWD",
        "40.sh": "sleep 1; sleep 2 & export LATE=$(( $! > 0 ))",
        "50.sh": "exec 1>&- 2>&-; export CLOSED=1",
    },
    "a packager's": {
        "gdal.sh": '[ -n "${GDAL_DATA:-}" ] && export _CONDA_SET_GDAL_DATA=$GDAL_DATA\n'
        'export GDAL_DATA="$CONDA_PREFIX/share/gdal"',
        "libblas_mkl_activate.sh": 'export CONDA_MKL_INTERFACE_LAYER_BACKUP="${MKL_INTERFACE_LAYER}"\n'
        'export MKL_INTERFACE_LAYER="LP64,GNU"',
        "gcc.sh": "export CFLAGS='-O2 -fdebug-prefix-map=${SRC_DIR}=/usr/local $x' CC=\"$CONDA_PREFIX/bin/cc\"",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names that ipykernel itself sets in any kernel, activated or not."""
    folder = tmp_path_factory.mktemp("plain")
    environment = make_environment(folder / "root", "plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
        plain = folder / "jupyter" / "kernels" / "plain"
        plain.mkdir(parents=True)
        argv = [str(environment.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (plain / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "plain", "language": "python"}))
        with running("plain") as kernel:
            environ = kernel.evaluate("dict(os.environ)")
    return {name for name, value in environ.items() if os.environ.get(name) != value}


@pytest.mark.slow
@pytest.mark.parametrize("scripts", TOGETHER.values(), ids=TOGETHER)
def test_os_environ_in_a_running_kernel_is_that_of_an_activated_shell(
    make: Make, tmp_path: Path, added: set[str], scripts: dict[str, str]
) -> None:
    files, state = {"p.json": '{"OF_PACKAGE": "$x", "BOTH": "p"}'}, '{"env_vars": {"BOTH": "s"}}'
    environment = make(scripts=scripts, variables=files, state=state)
    shell = by_bash(environment, tmp_path, {"OF_PACKAGE": "$x", "BOTH": "s"})
    (spec,) = register(environment)
    with running(spec.name) as kernel:
        environ = kernel.evaluate("dict(os.environ)")
        python, prefix = kernel.evaluate("[shutil.which('python'), sys.prefix]")
    assert compared(environ, but=added) == compared(shell, but=added)
    assert (python, prefix) == (str(environment.python), str(environment.prefix))
    if "MAMBA_EXE" in os.environ:
        theirs = by_micromamba(environment, tmp_path)
        ignored = added | OF_MICROMAMBA
        assert compared(environ, but=ignored) == compared(theirs, but=ignored)
