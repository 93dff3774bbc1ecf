from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.engines import needs_micromamba

from mambakernels.activation.capture import Activation, capture, fingerprint
from mambakernels.errors import ActivationError

# The reference: activation as the documentation of conda tells it, done by bash itself, in a function as there.
REFERENCE = r"""
export PATH="$1/bin:$PATH" CONDA_PREFIX="$1" CONDA_SHLVL=1 CONDA_DEFAULT_ENV="$1" CONDA_PROMPT_MODIFIER="($1) "
__reference_output="$3"
eval "$2"
__reference_activate() {
    for __reference_script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do . "$__reference_script"; done
}
__reference_activate >/dev/null 2>&1
exec /usr/bin/env -0 >|"$__reference_output"
"""
SHELL_ONLY = {"_", "SHLVL", "PWD", "OLDPWD"}
SESSION = {
    "HOME": "/home/someone",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "KEPT": "as it was $HOME",
    "SECRET": "hunter2",
}

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a maker of prefixes: scripts of activate.d, files of env_vars.d, variables of conda-meta/state."""

    def prefix(
        scripts: Mapping[str, str] | None = None,
        *,
        packages: Mapping[str, str] | None = None,
        state: str | None = None,
        name: str = "an environment é",
    ) -> Path:
        folder = tmp_path / name
        (folder / "bin").mkdir(parents=True)
        (folder / "conda-meta").mkdir()
        for where, files in (("activate.d", scripts), ("env_vars.d", packages)):
            (folder / "etc" / "conda" / where).mkdir(parents=True)
            for file, text in (files or {}).items():
                (folder / "etc" / "conda" / where / file).write_text(text, "utf-8")
        if state is not None:
            (folder / "conda-meta" / "state").write_text(state, "utf-8")
        return folder

    return prefix


def dumped(output: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in output.split(b"\0") if entry)
    return {name: value for name, _, value in pairs if name not in SHELL_ONLY and not name.startswith("BASH_FUNC_")}


def by_bash(prefix: Path, environ: Mapping[str, str], variables: Mapping[str, str] | None = None) -> dict[str, str]:
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in (variables or {}).items())
    with tempfile.NamedTemporaryFile() as output:
        argv = ["/bin/bash", "--norc", "-c", REFERENCE, "reference", str(prefix), exports, output.name]
        subprocess.run(argv, env=dict(environ), check=True, stdin=subprocess.DEVNULL)
        return dumped(output.read())


def by_capture(activation: Activation, environ: Mapping[str, str]) -> dict[str, str]:
    path = ":".join([*activation.path_prepend, environ["PATH"], *activation.path_append])
    activated = {**environ, **activation.set, "PATH": path}
    return {name: value for name, value in activated.items() if name not in activation.unset}


HOSTILE = {
    "newlines and quotes": r"""export A=$'one\ntwo\n' B="it's \"quoted\"" D='a=b=c' E=''""",
    "dollars and the like": r"""export C='$HOME ${PATH} $$ $ `id` \'""",
    "unicode and bytes that are not": r"""export A='naïve ☃ 中文' B=$'\xff\xfe'""",
    "prints": "echo to stdout; echo to stderr >&2; printf 'A=1\\0B=2\\0'; export REAL=1",
    "prints to high descriptors": "for fd in 3 4 10 11 255; do echo FAKE=1 >&$fd; done 2>/dev/null; export REAL=1",
    "closes its output": "exec 1>&- 2>&-; export A=1",
    "ends in a false test": '[ -n "$NOT_THERE" ] && export A=1',
    "a failing command": "false\nexport A=1\nls /does/not/exist",
    "returns a status": "export A=1; return 7; export B=1",
    "functions and arrays": "f() { export INSIDE=1; }; f; export -f f; declare -ax LIST=(1 2); declare -x PLAIN=2",
    "reads its input": 'read -r answer; export ANSWER="got $answer"',
    "changes directory and umask": "cd /; umask 0777; export A=$PWD",
    "options that stay": "set -u -f -C; shopt -s nullglob; IFS=/; export A=1",
    "errexit and then all is well": "set -e; export A=1; true; set +e",
    "parameters and traps": "set -- x y z; trap 'echo bye' EXIT DEBUG; export A=$#",
    "redefines commands": "env() { echo no; }; printf() { echo no; }; alias env=no; export A=1",
    "names the driver could use": "export script=1 said=2 statuses=3 folder=4 bash=5 dump=6",
    "leaves something running": "sleep 100 & export A=$(( $! > 0 )); disown; trap '' TERM",
    "builds on the session": 'export KEPT="$KEPT:more" NEW="${NEW}:x" FROM_HOME="$HOME/x"',
    "sets what is set alike": "export KEPT='as it was $HOME' LANG=C.UTF-8",
    "only if not set": ': "${SECRET:=other}"; export SECRET',
    "removes variables": "unset SECRET; export A=1; unset A; unset NEVER_WAS",
    "no longer exports": "declare +x SECRET",
    "extends PATH": 'export PATH="$CONDA_PREFIX/tools:$PATH:/opt/last"',
    "repeats the PATH's folders": 'export PATH="/bin:/usr/bin:$PATH:/usr/bin"',
    "moves CONDA_DEFAULT_ENV": "export CONDA_DEFAULT_ENV=mine; unset CONDA_PROMPT_MODIFIER",
    "starts programs": 'export A="$(env | grep -c ^SECRET=hunter2)" B="$(command -v sh)"',
}  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_captured_variables_are_those_of_an_activated_shell(make: Make, body: str) -> None:
    prefix = make({"a-first.sh": "export FIRST=1", "b hostile's.sh": body, "c-last.sh": 'export LAST="$FIRST 2"'})
    captured = capture(prefix, environ=SESSION)
    assert by_capture(captured, SESSION) == by_bash(prefix, SESSION)
    assert captured.set["LAST"] == "1 2"


def test_nothing_of_the_session_is_recorded_but_what_scripts_change(make: Make) -> None:
    captured = capture(make({"a.sh": "export A=1"}), environ=SESSION)
    assert "hunter2" not in str(captured)
    assert captured.set.keys() == {
        "A", "CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CONDA_PROMPT_MODIFIER", "CONDA_SHLVL",
    }  # fmt: skip


def test_a_value_that_the_session_has_already_is_recorded_all_the_same(make: Make) -> None:
    prefix = make({"mkl.sh": 'export MKL_INTERFACE_LAYER="LP64,GNU"'})
    captured = capture(prefix, environ={**SESSION, "MKL_INTERFACE_LAYER": "LP64,GNU"})
    assert captured.set["MKL_INTERFACE_LAYER"] == "LP64,GNU"


def test_settings_that_steer_bash_do_not_matter(make: Make, tmp_path: Path) -> None:
    (tmp_path / "rc").write_text("export FROM_RC=1; exit 9")
    steering = {
        "BASH_ENV": str(tmp_path / "rc"),
        "SHELLOPTS": "errexit:noexec",
        "POSIXLY_CORRECT": "1",
        "BASH_FUNC_printf%%": "() { exit 5; }",
    }
    prefix = make({"a.sh": "false", "b.sh": "export A=1"})
    assert capture(prefix, environ={**SESSION, **steering}) == capture(prefix, environ=SESSION)


VARIABLES = {
    "packages": {
        "b.json": json.dumps({"SHARED": "b", "QUOTED": 'it\'s $HOME "x" \\', "lower": "kept"}),
        "a.json": json.dumps({"SHARED": "a", "LINES": "one\ntwo", "BOTH": "package", "HIDDEN": "package", "EMPTY": ""}),
    },
    "state": json.dumps({"env_vars": {"BOTH": "state", "HIDDEN": "***unset***", "GONE": "***unset***", "N": 4}}),
}
EXPECTED = {
    "SHARED": "b",
    "QUOTED": 'it\'s $HOME "x" \\',
    "lower": "kept",
    "LINES": "one\ntwo",
    "BOTH": "state",
    "EMPTY": "",
    "N": "4",
}


@pytest.mark.parametrize("scripts", [{}, {"a.sh": 'export SEEN="$SHARED$BOTH" BOTH=script'}], ids=["files", "scripts"])
def test_files_count_in_the_engines_order(make: Make, scripts: dict[str, str]) -> None:
    prefix = make(scripts, packages=VARIABLES["packages"], state=VARIABLES["state"])
    captured = capture(prefix, environ=SESSION)
    assert by_capture(captured, SESSION) == by_bash(prefix, SESSION, EXPECTED)
    assert captured.set["BOTH"] == ("script" if scripts else "state")


def test_without_scripts_no_shell_is_needed(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quick = make(packages=VARIABLES["packages"], name="one")
    slow = make({"a.sh": ":"}, packages=VARIABLES["packages"], name="two")
    with_shell = capture(slow, environ=SESSION)
    monkeypatch.setenv("PATH", str(tmp_path))
    without_shell = capture(quick, environ=SESSION)
    assert {**without_shell.set, **own_names(slow)} == with_shell.set
    assert without_shell.path_prepend == (str(quick / "bin"),)


def own_names(prefix: Path) -> dict[str, str]:
    return {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": str(prefix), "CONDA_PROMPT_MODIFIER": f"({prefix}) "}


def test_scripts_without_a_shell_to_run_them_are_an_error(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prefix = make({"a.sh": ":"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ActivationError, match="`bash`"):
        capture(prefix)


def test_the_shell_itself_lists_its_variables_as_macos_takes_some_from_programs(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With fakes of macOS' bash and env, which start without DYLD_*; its env before 12.3 knows no -0."""
    fakes = {"bash": 'exec /bin/bash "$@"', "env": '[ "$1" != -0 ] || exit 1; exec /usr/bin/env "$@"'}
    (tmp_path / "system").mkdir()
    for name, then in fakes.items():
        (tmp_path / "system" / name).write_text(f"#!/bin/sh\nunset DYLD_LIBRARY_PATH DYLD_INSERT_LIBRARIES\n{then}\n")
        (tmp_path / "system" / name).chmod(0o755)
    prefix = make({"a.sh": 'export DYLD_LIBRARY_PATH="$CONDA_PREFIX/lib" A=1; env >/dev/null'})
    session = {**SESSION, "DYLD_INSERT_LIBRARIES": "/somewhere.dylib"}
    expected = capture(prefix, environ=session)
    monkeypatch.setenv("PATH", f"{tmp_path / 'system'}:{os.environ['PATH']}")
    captured = capture(prefix, environ=session)
    assert captured == expected
    assert captured.set["DYLD_LIBRARY_PATH"] == f"{prefix}/lib"
    assert captured.unset == ()


@pytest.mark.parametrize(
    ("place", "name"), [("envs/np-1.26", "np-1.26"), ("root", "base"), ("elsewhere/x", None)], ids=str
)
def test_the_environment_is_called_as_the_engine_calls_it(tmp_path: Path, place: str, name: str | None) -> None:
    prefix = tmp_path / place
    prefix.mkdir(parents=True)
    captured = capture(prefix, root=tmp_path / "root")
    assert captured.set["CONDA_DEFAULT_ENV"] == (name or str(prefix))
    assert captured.set["CONDA_PROMPT_MODIFIER"] == f"({name or prefix}) "


DEADLY = {
    "exit 0": ("echo leaving; exit 0", "ended the shell (status 0)", "leaving"),
    "exit in a function": ("f() { echo from f >&2; exit 3; }; f", "ended the shell (status 3)", "from f"),
    "errexit": ("set -e\necho about to fail\nfalse\nexport A=1", "ended the shell (status 1)", "about to fail"),
    "unset variable": ("set -u\necho $NEVER_SET", "ended the shell", "NEVER_SET"),
    "demanded variable": (': "${NEVER_SET:?must be set}"', "ended the shell", "must be set"),
    "syntax": ("export A=1\nif true; then\n", "is not valid bash", "syntax error"),
    "quote": ("export A='open", "is not valid bash", "unexpected EOF"),
    "signal": ("echo dying; kill -9 $$", "ended the shell (signal 9)", "dying"),
    "exec": ("echo becoming another; exec true", "ended the shell (status 0)", "becoming another"),
    "noexec": ("set -n", "ended the shell", ""),
    "loses PATH": ("export PATH=/usr/bin", "rewrites PATH", ""),
    "reverses PATH": ("export PATH=/bin:/usr/bin:/usr/local/bin", "rewrites PATH", ""),
    "removes PATH": ("unset PATH", "rewrites PATH", ""),
    "needs the session": ('echo "I need it"; [ -n "$SECRET" ] || exit 4', "without the other variables", "I need it"),
}


@pytest.mark.parametrize(("body", "how", "said"), DEADLY.values(), ids=DEADLY)
def test_a_script_that_breaks_activation_is_named_and_quoted(make: Make, body: str, how: str, said: str) -> None:
    prefix = make({"a.sh": "echo innocent; false", "m guilty.sh": body, "z.sh": "echo innocent"})
    with pytest.raises(ActivationError) as caught:
        capture(prefix, environ=SESSION)
    assert "m guilty.sh" in caught.value.what
    assert how in caught.value.what
    assert caught.value.where == str(prefix / "etc/conda/activate.d/m guilty.sh")
    assert said in str(caught.value.next_step)
    assert "innocent" not in str(caught.value)


def test_a_script_that_takes_too_long_is_named(make: Make) -> None:
    prefix = make({"a.sh": ":", "b.sh": "echo waiting; sleep 600", "c.sh": ":"})
    with pytest.raises(ActivationError) as caught:
        capture(prefix, environ=SESSION, timeout=0.7)
    assert "b.sh did not finish within 0.7 seconds" in caught.value.what
    assert "waiting" in str(caught.value.next_step)


BROKEN = {
    "not JSON": ('{"A": ', "not JSON"),
    "not text": ("\xff\x00", "not JSON"),
    "a list": ('["A"]', "not a JSON object"),
    "a list as a value": ('{"A": ["x"]}', "value of A is not a string"),
    "a truth value": ('{"A": true}', "value of A is not a string"),
    "null": ('{"A": null}', "value of A is not a string"),
    "a NUL": ('{"A": "x\\u0000y"}', "value of A cannot be passed"),
    "half a character": ('{"A": "\\ud800"}', "value of A cannot be passed"),
    "a bad name": ('{"A=B": "x"}', "cannot be the name"),
    "an empty name": ('{"": "x"}', "cannot be the name"),
    "PATH": ('{"PATH": "/only/here"}', "sets PATH outright"),
}


@pytest.mark.parametrize(("text", "why"), BROKEN.values(), ids=BROKEN)
def test_broken_variables_of_a_package_are_an_error_with_the_file(make: Make, text: str, why: str) -> None:
    prefix = make(packages={"a.json": "{}", "broken.json": text})
    with pytest.raises(ActivationError) as caught:
        capture(prefix, environ=SESSION)
    assert why in caught.value.what
    assert caught.value.where == str(prefix / "etc/conda/env_vars.d/broken.json")


@pytest.mark.parametrize("text", ["{", '{"env_vars": ["A"]}', '{"env_vars": {"A": null}}'])
def test_a_broken_state_file_is_an_error(make: Make, text: str) -> None:
    prefix = make(state=text)
    with pytest.raises(ActivationError, match="conda-meta/state"):
        capture(prefix, environ=SESSION)


def test_a_dangling_script_is_an_error(make: Make) -> None:
    prefix = make()
    (prefix / "etc/conda/activate.d/gone.sh").symlink_to("nowhere")
    with pytest.raises(ActivationError, match=r"gone\.sh"):
        capture(prefix, environ=SESSION)


def test_other_files_in_the_folders_do_not_count(make: Make) -> None:
    prefix = make({"a.fish": "exit 1", "b.csh": "exit 1", ".hidden.sh": "exit 1"}, packages={".DS_Store": "\x00"})
    (prefix / "etc/conda/activate.d/folder.sh").mkdir()
    assert capture(prefix, environ=SESSION).set == {**own_names(prefix), "CONDA_SHLVL": "1"}


def test_a_prefix_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ActivationError, match="no environment"):
        capture(tmp_path / "nowhere")


def test_a_prefix_that_cannot_be_on_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    with pytest.raises(ActivationError, match="PATH"):
        capture(tmp_path / "a:b")


def activated_outside(outer: Path) -> dict[str, str]:
    """Return the session in which the outer environment was activated, as conda leaves it."""
    return {
        **by_bash(outer, SESSION, {"FROM_PACKAGE": "outer", "KEPT": "outer's"}),
        "__CONDA_SHLVL_0_KEPT": SESSION["KEPT"],
        "CONDA_EXE": "/opt/conda/bin/conda",
        "CONDA_SHLVL": "2",
        "CONDA_PREFIX_1": "/opt/conda",
    }


def outer_environment(make: Make) -> Path:
    outer = make(
        {"data.sh": 'export OLD_DATA="$DATA" DATA="$CONDA_PREFIX/data"; export LIST="$LIST:outer"'},
        packages={"o.json": '{"FROM_PACKAGE": "outer", "KEPT": "outer\'s"}'},
        name="outer",
    )
    (outer / "etc/conda/deactivate.d").mkdir()
    leave = 'export DATA="$OLD_DATA"; unset OLD_DATA; test -d "$CONDA_PREFIX" && unset LIST'
    (outer / "etc/conda/deactivate.d/data.sh").write_text(leave)
    return outer


INNER = 'export LIST="$LIST:inner" SEEN="$DATA|$KEPT|${FROM_PACKAGE-none}|${CONDA_PREFIX_1-none}"'


def test_an_environment_that_is_active_outside_is_left_first(make: Make) -> None:
    outside = activated_outside(outer_environment(make))
    inner = make({"list.sh": INNER}, name="inner")
    assert outside["LIST"] == ":outer"
    captured = capture(inner, environ=outside)
    assert captured.set == capture(inner, environ={**SESSION, "DATA": ""}).set
    assert captured.set["LIST"] == ":inner"
    assert captured.set["SEEN"] == f"|{SESSION['KEPT']}|none|none"
    assert captured.path_prepend == (str(inner / "bin"),)


def test_capturing_inside_the_environment_itself_changes_nothing(make: Make) -> None:
    outer = outer_environment(make)
    assert capture(outer, environ=activated_outside(outer)).set == capture(outer, environ={**SESSION, "DATA": ""}).set


def test_environments_that_are_stacked_outside_are_all_left(make: Make) -> None:
    lower, upper, inner = (make({"a.sh": 'export A="$A$PATH"'}, name=name) for name in ("lower", "upper", "inner"))
    stacked = {
        **SESSION,
        "PATH": f"{upper}/bin:{lower}/bin:{SESSION['PATH']}",
        "CONDA_SHLVL": "2",
        "CONDA_PREFIX": str(upper),
        "CONDA_PREFIX_1": str(lower),
        "CONDA_STACKED_2": "true",
    }
    assert capture(inner, environ=stacked).set["A"] == f"{inner}/bin:{SESSION['PATH']}"


def test_an_environment_that_was_deleted_while_active_is_left_all_the_same(make: Make, tmp_path: Path) -> None:
    gone = {**SESSION, "CONDA_PREFIX": str(tmp_path / "gone"), "CONDA_SHLVL": "1"}
    assert "gone" not in str(capture(make({"a.sh": "export A=$CONDA_PREFIX"}), environ=gone))


def test_the_session_of_this_process_is_the_default(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THIS_PROCESS", "yes")
    assert capture(make({"a.sh": 'export A="$OF_THIS_PROCESS"; unset OF_THIS_PROCESS'})).set["A"] == "yes"
    assert dict(os.environ)["OF_THIS_PROCESS"] == "yes"


def test_what_is_removed_from_the_session_is_told(make: Make) -> None:
    prefix = make({"a.sh": "unset SECRET KEPT CONDA_SHLVL NEVER_WAS; export SECRET=again"})
    captured = capture(prefix, environ=SESSION)
    assert captured.unset == ("KEPT",)
    assert "CONDA_SHLVL" not in captured.set


def test_the_fingerprint_follows_every_input_and_nothing_else(make: Make, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    prefix = make({"a.sh": f"touch '{ran}'"}, packages={"a.json": "{}"}, state="{}")
    first = fingerprint(prefix)
    seen = {first}
    (prefix / "bin" / "tool").write_text("x")
    (prefix / "etc/conda/activate.d/a.fish").write_text("x")
    assert fingerprint(prefix) == first
    changes: list[Callable[[], object]] = [
        lambda: (prefix / "etc/conda/activate.d/a.sh").rename(prefix / "etc/conda/activate.d/b.sh"),
        lambda: (prefix / "etc/conda/activate.d/b.sh").write_text(": else"),
        lambda: (prefix / "etc/conda/activate.d/c.sh").write_text(""),
        lambda: (prefix / "etc/conda/env_vars.d/a.json").write_text("{ }"),
        lambda: (prefix / "conda-meta/state").write_text("{ }"),
        (prefix / "conda-meta/state").unlink,
        lambda: shutil.copytree(prefix, tmp_path / "copy"),
    ]
    for change in changes:
        change()
        place = tmp_path / "copy"
        seen.add(fingerprint(place if place.exists() else prefix))
    assert len(seen) == len(changes) + 1
    assert not ran.exists()
    assert capture(prefix, environ=SESSION).fingerprint == fingerprint(prefix)


def test_the_embedded_engine_activates_alike(make: Make) -> None:
    from rattler.shell import ActivationVariables, Shell, activate

    packages = {"a.json": json.dumps({"FROM_PACKAGE": "x y", "BOTH": "package"})}
    prefix = make(
        {"a.sh": 'export DATA="$CONDA_PREFIX/data:$BOTH"'}, packages=packages, state='{"env_vars":{"BOTH":"s"}}'
    )
    script = activate(prefix, ActivationVariables(None, SESSION["PATH"].split(":")), Shell.bash).script
    argv = ["/bin/bash", "--norc", "-c", script + "\nexec /usr/bin/env -0"]
    theirs = dumped(subprocess.run(argv, env=SESSION, check=True, stdout=subprocess.PIPE).stdout)
    ours = by_capture(capture(prefix, environ=SESSION), SESSION)
    assert theirs["PATH"].startswith(ours["PATH"])  # it repeats the session's PATH after the whole
    theirs |= {name: ours[name] for name in ("PATH", "CONDA_DEFAULT_ENV", "CONDA_PROMPT_MODIFIER")}
    assert ours == theirs


@needs_micromamba
@pytest.mark.parametrize("body", [*HOSTILE.values(), 'export DATA="$CONDA_PREFIX/data:$BOTH"'])
def test_micromamba_activates_alike(make: Make, tmp_path: Path, body: str) -> None:
    session = {**SESSION, "MAMBA_ROOT_PREFIX": str(tmp_path / "root")}
    packages = {"a.json": '{"BOTH": "p"}'}
    prefix = make({"a.sh": "export FIRST=1", "b.sh": body}, packages=packages, state='{"env_vars": {"BOTH": "s"}}')
    activate = [os.environ["MAMBA_EXE"], "shell", "activate", "-s", "bash", str(prefix)]
    script = subprocess.run(activate, env=session, check=True, stdout=subprocess.PIPE, text=True).stdout
    output = tmp_path / "output"
    # as `micromamba activate` does, which its shell hook defines
    text = f"engines_activate() {{\n{script}\n}}\nengines_activate\nexec /usr/bin/env -0 >|'{output}'"
    argv = ["/bin/bash", "--norc", "-c", text]
    subprocess.run(argv, env=session, check=True, stdin=subprocess.DEVNULL)
    theirs = dumped(output.read_bytes())
    theirs["PATH"] = theirs["PATH"].replace(f"{tmp_path}/root/condabin:", "")  # the engine's own folder
    theirs.pop("PS1", None)
    assert by_capture(capture(prefix, environ=session), session) == theirs


def test_platforms_that_are_not_supported_yet_say_so(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = make()
    monkeypatch.setattr("mambakernels.activation.capture._PLATFORMS", {})
    with pytest.raises(ActivationError, match="platform"):
        capture(prefix)
