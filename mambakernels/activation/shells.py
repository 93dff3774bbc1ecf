"""Known shells, and the way each starts in an activated environment after the user's start files.

The changes of activation are applied as variables, after the start files have changed PATH. The prompt is the user's,
with the environment's name before it. A shell removes the private start files that it is started with. Tried on real
shells: bash, zsh, fish, tcsh, xonsh. Written from documentation and not yet run: nu, powershell, cmd.exe.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mambakernels.activation.capture import Activation
from mambakernels.errors import InvalidRequestError, NotFoundError
from mambakernels.system import process

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # names that every shell can set; the shell inherits all others
_PROMPT = "__mambakernels_prompt"


@dataclass(frozen=True)
class Start:
    """The start of a shell: its arguments, and variables on top of those of the activated environment."""

    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shell:
    """A shell: its name in micromamba, the names of its programs, and the function that prepares its start."""

    name: str
    programs: tuple[str, ...]
    start: Callable[[Activation, Path], Start]

    def find(self) -> Path:
        """Return its program: that in `SHELL` if it fits, else the first on PATH; else NotFoundError."""
        named = Path(os.environ.get("SHELL", ""))
        if named.name in self.programs and os.access(named, os.X_OK):
            return named
        found = next(filter(None, map(process.which, self.programs)), None)
        if found is None:
            raise NotFoundError(
                f"{self.name} is not installed: {' or '.join(self.programs)} is not on PATH.",
                next_step=f"Install it, or name another shell: {', '.join(NAMES)}.",
            )
        return found


def get(name: str) -> Shell:
    """Return the shell of that name; InvalidRequestError, with the known names, if there is none."""
    try:
        return _TABLE[name]
    except KeyError:
        raise InvalidRequestError(
            f"{name!r} is not a shell that mambakernels knows.", next_step=f"Known shells: {', '.join(NAMES)}."
        ) from None


def in_use() -> str:
    """Return the name of the shell that started this program, else the one `SHELL` names."""
    candidates = [_parent(), Path(os.environ.get("SHELL", "")).name, "powershell" if os.name == "nt" else ""]
    programs = {program: shell.name for shell in _TABLE.values() for program in shell.programs}
    found = next((programs[name] for name in candidates if name in programs), None)
    return found or next((name for name in candidates[1:] if name), "")


def _parent() -> str:
    """Return the name of the parent process; empty if it is unknown.

    Not shellingham: it also takes a shell further up, such as the one that started make or an editor, before `SHELL`.
    """
    status = Path(f"/proc/{os.getppid()}/comm")
    if status.exists():
        return status.read_text("utf-8", errors="replace").strip().lstrip("-")
    if os.name == "nt" or process.which("ps") is None:
        return ""
    said = process.read_output(["ps", "-o", "comm=", "-p", str(os.getppid())]).stdout
    return Path(os.fsdecode(said).strip()).name.lstrip("-")


def _label(applied: Activation) -> str:
    """Return the environment's part of the prompt, without characters that are special in some shell's prompt."""
    return re.sub(r"[^\w ./()+-]", "?", applied.set.get("CONDA_PROMPT_MODIFIER", ""))


def _named(applied: Activation) -> dict[str, str]:
    return {name: value for name, value in applied.set.items() if _IDENTIFIER.fullmatch(name)}


def _lost(applied: Activation) -> list[str]:
    return [name for name in applied.unset if _IDENTIFIER.fullmatch(name)]


def _write(file: Path, lines: Iterable[str]) -> Path:
    file.write_text("\n".join([*lines, ""]), "utf-8", errors="surrogateescape")
    return file


def _sh(applied: Activation) -> list[str]:
    """Return the changes for bash and zsh; start files may have left PATH as it was, reset it, or removed it."""
    before = shlex.quote(os.pathsep.join(applied.path_prepend))
    after = shlex.quote(os.pathsep.join(["", *applied.path_append]))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in _named(applied).items()]
    lines += [f"unset {name}" for name in _lost(applied)]
    lines.append(f'case "${{PATH-}}:" in {before}:*) ;; *) PATH={before}"${{PATH:+:$PATH}}" ;; esac')
    if applied.path_append:
        lines.append(f'case "$PATH" in *{after}) ;; *) PATH="$PATH"{after} ;; esac')
    return [*lines, "export PATH"]


def _still(applied: Activation) -> str:
    """Return the shell's test of whether the environment is still active."""
    return f'[ "${{CONDA_PREFIX-}}" = {shlex.quote(applied.set.get("CONDA_PREFIX", ""))} ]'


def _bash(applied: Activation, folder: Path) -> Start:
    label = shlex.quote(_label(applied))
    lines = [
        f"command rm -rf -- {shlex.quote(str(folder))}",
        "if [ -f ~/.bashrc ]; then . ~/.bashrc; fi",
        'PS1="${PS1-}"; PS1="${PS1#"${CONDA_PROMPT_MODIFIER-}"}"',
        *_sh(applied),
        "hash -r",
        f"{_PROMPT}() {{ {_still(applied)} || return 0",
        f'case "${{PS1-}}" in {label}*) ;; *) PS1={label}"${{PS1-}}" ;; esac; }}',
        # after the user's commands, which may set the prompt each time
        'PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND',
        f'}}{_PROMPT}"',
    ]
    return Start(("--rcfile", str(_write(folder / "bashrc", lines)), "-i"))


def _zsh(applied: Activation, folder: Path) -> Start:
    """Let zsh find our start files, which read the user's from their folder; `.zshenv` may change that."""
    label, place = shlex.quote(_label(applied)), shlex.quote(str(folder))
    theirs = os.environ.get("ZDOTDIR")
    restored = "unset ZDOTDIR" if theirs is None else f"export ZDOTDIR={shlex.quote(theirs)}"
    environment = [
        restored,
        'if [[ -f "${ZDOTDIR:-$HOME}/.zshenv" ]]; then . "${ZDOTDIR:-$HOME}/.zshenv"; fi',
        '__mambakernels_zdotdir="${ZDOTDIR-}"',
        f"ZDOTDIR={place}",
    ]
    interactive = [
        'if [[ -n "$__mambakernels_zdotdir" ]]; then ZDOTDIR="$__mambakernels_zdotdir"; else unset ZDOTDIR; fi',
        "unset __mambakernels_zdotdir",
        # the system's zshrc may have placed the history where ZDOTDIR was (macOS)
        f'if [[ "${{HISTFILE-}}" == {place}/* ]]; then HISTFILE="${{ZDOTDIR:-$HOME}}/${{HISTFILE##*/}}"; fi',
        f"command rm -rf -- {place}",
        'if [[ -f "${ZDOTDIR:-$HOME}/.zshrc" ]]; then . "${ZDOTDIR:-$HOME}/.zshrc"; fi',
        "() {",
        "emulate -L zsh",
        'PROMPT="${PROMPT#"${CONDA_PROMPT_MODIFIER-}"}"',
        *_sh(applied),
        "rehash",
        "}",
        f"{_PROMPT}() {{ emulate -L zsh; {_still(applied)} || return 0",
        f'[[ "$PROMPT" == {label}* ]] || PROMPT={label}"$PROMPT"; }}',
        f"autoload -Uz add-zsh-hook && add-zsh-hook precmd {_PROMPT}",
    ]
    _write(folder / ".zshenv", environment)
    _write(folder / ".zshrc", interactive)
    return Start(("-i",), {"ZDOTDIR": str(folder)})


def _fish(applied: Activation, _folder: Path) -> Start:
    def quote(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    before, after = (" ".join(map(quote, folders)) for folders in (applied.path_prepend, applied.path_append))
    lines = [f"set -gx {name} {quote(value)}" for name, value in _named(applied).items()]
    lines += [f"set -e {name}" for name in _lost(applied)]
    lines += [
        f"for __folder in {before} {after}",
        "while set -l __index (contains -i -- $__folder $PATH); set -e PATH[$__index]; end; end",
        "set -e __folder",
        f"set -gx PATH {before} $PATH {after}",
        # those of conda and micromamba may show the name elsewhere, or a second time
        "function __conda_add_prompt; end",
        "function __mamba_add_prompt; end",
        f"functions -c fish_prompt {_PROMPT}",
        "function __mambakernels_status; return $argv[1]; end",
        "function fish_prompt",
        "set -l last $status",
        'echo -n "$CONDA_PROMPT_MODIFIER"',
        "__mambakernels_status $last",
        _PROMPT,
        "end",
    ]
    return Start(("--interactive", "--init-command", "\n".join(lines)))


def _tcsh(applied: Activation, folder: Path) -> Start:
    """Let tcsh find our `.tcshrc` in a temporary home, which first restores the user's."""

    def quote(text: str) -> str:
        return "'" + text.replace("'", "'\\''").replace("!", "\\!").replace("\n", "\\\n") + "'"

    before, after = (" ".join(map(quote, folders)) for folders in (applied.path_prepend, applied.path_append))
    lines = [
        f"setenv HOME {quote(str(Path.home()))}",
        f"\\rm -rf {quote(str(folder))}",
        "if (-r ~/.tcshrc) then",
        "source ~/.tcshrc",
        "else if (-r ~/.cshrc) then",
        "source ~/.cshrc",
        "endif",
        *(f"setenv {name} {quote(value)}" for name, value in _named(applied).items()),
        *(f"unsetenv {name}" for name in _lost(applied)),
        "if (! $?path) set path = ()",
        f"set -f path = ({before} $path:q {after})",
        "if (! $?prompt) set prompt = '> '",
        f"set prompt = {quote(_label(applied))}$prompt:q",
        "rehash",
    ]
    _write(folder / ".tcshrc", lines)
    return Start((), {"HOME": str(folder)})


def _xonsh(applied: Activation, folder: Path) -> Start:
    """Name all start files: the user's and, as the last one, ours."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "xonsh"
    places = [Path("/etc/xonsh/xonshrc"), config / "rc.xsh", Path.home() / ".xonshrc", Path("/etc/xonsh/rc.d")]
    given = os.environ.get("XONSHRC")
    theirs = list(map(Path, given.split(os.pathsep))) if given else [*places, config / "rc.d"]
    lines = [
        "def __mambakernels_apply():",
        "    import shutil",
        "    from xonsh.built_ins import XSH",
        "    env = XSH.env",
        f"    shutil.rmtree({str(folder)!r}, ignore_errors=True)",
        f"    env.update({_named(applied)!r})",
        f"    for name in {_lost(applied)!r}:",
        "        env.pop(name, None)",
        f"    before, after, label = {applied.path_prepend!r}, {applied.path_append!r}, {_label(applied)!r}",
        "    others = [str(entry) for entry in env.get('PATH', []) if str(entry) not in (*before, *after)]",
        "    env['PATH'] = [*before, *others, *after]",
        "    prompt = env.get('PROMPT')",
        "    if isinstance(prompt, str):",
        "        env['PROMPT'] = label + prompt.replace('{env_name}', '')",
        "__mambakernels_apply()",
        "del __mambakernels_apply",
    ]
    ours = _write(folder / "rc.xsh", lines)
    return Start(("-i", "--rc", *(str(file) for file in theirs if file.exists()), str(ours)))


def _nu(applied: Activation, _folder: Path) -> Start:
    def quote(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)

    before, after = (", ".join(map(quote, folders)) for folders in (applied.path_prepend, applied.path_append))
    lines = [f"$env.{name} = {quote(value)}" for name, value in _named(applied).items()]
    lines += [f"hide-env --ignore-errors {name}" for name in _lost(applied)]
    lines += [
        f"$env.PATH = ([{before}] | append $env.PATH | append [{after}] | uniq)",
        'let theirs = ($env.PROMPT_COMMAND? | default "")',
        "let prompt = (if ($theirs | describe) =~ closure { $theirs } else { {|| $theirs} })",
        f"$env.PROMPT_COMMAND = {{|| {quote(_label(applied))} + (do $prompt) }}",
    ]
    return Start(("--execute", "\n".join(lines)))


def _powershell(applied: Activation, _folder: Path) -> Start:
    """Pass the commands encoded, because versions differ in quoting on the command line."""

    def quote(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    before = "".join(folder + os.pathsep for folder in applied.path_prepend)
    after = "".join(os.pathsep + folder for folder in applied.path_append)
    lines = [f"$Env:{name} = {quote(value)}" for name, value in _named(applied).items()]
    lines += [f"Remove-Item -ErrorAction SilentlyContinue Env:{name}" for name in _lost(applied)]
    lines += [
        f"if (-not $Env:PATH.StartsWith({quote(before)})) {{ $Env:PATH = {quote(before)} + $Env:PATH }}",
        f"if (-not $Env:PATH.EndsWith({quote(after)})) {{ $Env:PATH = $Env:PATH + {quote(after)} }}",
        "$MambakernelsPrompt = $function:prompt",
        f"function global:prompt {{ {quote(_label(applied))} + (& $MambakernelsPrompt) }}",
    ]
    encoded = base64.b64encode("\n".join(lines).encode("utf-16-le")).decode("ascii")
    return Start(("-NoLogo", "-NoExit", "-EncodedCommand", encoded))


def _cmd(applied: Activation, folder: Path) -> Start:
    def quote(text: str) -> str:
        return text.replace("%", "%%").replace('"', "").replace("\n", " ")

    before = "".join(quote(entry) + os.pathsep for entry in applied.path_prepend)
    after = "".join(os.pathsep + quote(entry) for entry in applied.path_append)
    lines = [f'@set "{name}={quote(value)}"' for name, value in _named(applied).items()]
    lines += [f'@set "{name}="' for name in _lost(applied)]
    lines += [
        f'@set "PATH={before}%PATH%{after}"',
        '@if not defined PROMPT set "PROMPT=$P$G"',
        f'@set "PROMPT={quote(_label(applied)).replace("(", "$C").replace(")", "$F")}%PROMPT%"',
        f'@(goto) 2>nul & rmdir /s /q "{quote(str(folder))}"',
    ]
    file = folder / "start.bat"
    file.write_text("\r\n".join(["@chcp 65001 >nul", *lines, ""]), "utf-8", newline="")
    return Start(("/K", str(file)))


_TABLE = {
    shell.name: shell
    for shell in (
        Shell("bash", ("bash",), _bash),
        Shell("zsh", ("zsh",), _zsh),
        Shell("fish", ("fish",), _fish),
        Shell("xonsh", ("xonsh",), _xonsh),
        Shell("tcsh", ("tcsh",), _tcsh),
        Shell("nu", ("nu",), _nu),
        Shell("powershell", ("pwsh", "powershell"), _powershell),
        Shell("cmd.exe", ("cmd.exe",), _cmd),
    )
}
NAMES = tuple(_TABLE)
