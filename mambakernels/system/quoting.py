"""Command lines as text: in the words of the user's shell, and for batch files, which cmd.exe reads a second time."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PureWindowsPath
from typing import Literal

from mambakernels.errors import InvalidRequestError

Shell = Literal["posix", "cmd", "powershell"]
_SHELLS: dict[str, Shell] = {
    "cmd": "cmd", "powershell": "powershell", "pwsh": "powershell", "bash": "posix", "sh": "posix", "zsh": "posix",
}  # fmt: skip
_PLAIN = re.compile(r"[\w:./\\+-]+", re.ASCII)  # to cmd.exe and PowerShell; both read others, such as % , ; = @
_PLAIN_IN_BATCH = re.compile(r"[\w#$*+\-./:?@\\]*", re.ASCII)


def quote(word: str, shell: Shell | None = None) -> str:
    """Return a word as the user's shell reads it; in an interactive cmd.exe, `%NAME%` cannot be quoted."""
    shell = shell or user_shell()
    if shell == "posix":
        return shlex.quote(word)
    if _PLAIN.fullmatch(word):
        return word
    if shell == "powershell":
        return "'{}'".format(word.replace("'", "''"))
    return _in_double_quotes(word, r"\"")


def join(words: Iterable[str], shell: Shell | None = None) -> str:
    """Return a command line for the user's shell."""
    return " ".join(quote(word, shell) for word in words)


def joined(*commands: str) -> str:
    """Return command lines as one: each is run if the one before it has succeeded, where the shell has such a sign."""
    return {"posix": " && ", "cmd": " && ", "powershell": "; "}[user_shell()].join(commands)


def unset(name: str) -> str:
    """Return the command that removes a variable from the session."""
    return {"posix": f"unset {quote(name)}", "cmd": f"set {name}=", "powershell": f"Remove-Item Env:{name}"}[
        user_shell()
    ]


def prepend(name: str, folder: str) -> str:
    """Return the command that puts a folder first in a variable that lists folders."""
    return {
        "posix": f'export {name}={shlex.quote(folder)}"${{{name}:+:${name}}}"',
        "cmd": f'set "{name}={folder};%{name}%"',
        "powershell": f"$Env:{name} = {quote(folder + ';', 'powershell')} + $Env:{name}",
    }[user_shell()]


def remove_folder(folder: str) -> str:
    """Return the command that removes a folder with all that is in it."""
    words = {"posix": ("rm", "-r"), "cmd": ("rmdir", "/s"), "powershell": ("Remove-Item", "-Recurse")}[user_shell()]
    return f"{' '.join(words)} {quote(folder)}"


def edit(file: str) -> str:
    """Return the command that opens a file in the user's editor."""
    return f'"${{EDITOR:-vi}}" {quote(file)}' if user_shell() == "posix" else f"notepad {quote(file)}"


@cache
def user_shell() -> Shell:
    """Return the kind of shell that started this program; where it is unknown on Windows, PowerShell, its default."""
    if os.name != "nt":
        return "posix"
    return _SHELLS.get(shell_above(), "powershell")


def shell_above() -> str:
    """Return the name of the nearest shell that this process descends from, on Windows; empty if there is none."""
    import shellingham

    try:
        name, _path = shellingham.detect_shell()
    except (shellingham.ShellDetectionFailure, OSError):
        return ""
    return str(name).removesuffix(".exe")


def batch_command(words: Sequence[str]) -> str | None:
    """Return the command line that calls a batch file with exactly these arguments; None for any other program.

    cmd.exe, which Windows starts for a batch file, would expand `%NAME%` and run what follows `&`. So a word with any
    sign that it minds is in double quotes, each quote in it is doubled, and after each `%` comes the expansion of
    nothing, `%cd:~,%`, as in Rust's standard library (Wine's cmd.exe expands `%NAME%` all the same).
    InvalidRequestError for what no quoting can pass.
    """
    if PureWindowsPath(words[0]).suffix.lower() not in {".bat", ".cmd"}:
        return None
    for word in words:
        if re.search(r"[\r\n\0]", word):
            raise InvalidRequestError(f"A batch file cannot be given an argument with a line break: {word!r}.")
    script, *arguments = words
    line = " ".join([f'"{script}"', *map(_batch_argument, arguments)]).replace("%", "%%cd:~,%")
    return f'{os.environ.get("COMSPEC", "cmd.exe")} /e:ON /v:OFF /d /c "{line}"'


def _batch_argument(word: str) -> str:
    if word and not word.endswith("\\") and _PLAIN_IN_BATCH.fullmatch(word):
        return word
    return _in_double_quotes(word, '""')


def _in_double_quotes(word: str, sign: str) -> str:
    """Quote a word as C programs read it: backslashes count only before a quote, which is written as `sign`."""
    doubled = re.sub(r'(\\*)("|$)', lambda match: match[1] * 2 + (sign if match[2] else ""), word)
    return f'"{doubled}"'
