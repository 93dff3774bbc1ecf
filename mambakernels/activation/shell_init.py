"""micromamba's own initialisation of a shell, for our root prefix: shown before it is done, and undone.

micromamba edits a copy of the shell's start file, which then replaces the file in one step; a dry run leaves out that
step. (micromamba's own dry run writes into the root prefix, and for cmd.exe into the registry.) Only micromamba finds
PowerShell's profiles and the registry entry of cmd.exe, so it writes those itself. Tried on Linux only.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mambakernels.activation import shells
from mambakernels.engines import micromamba
from mambakernels.errors import EngineError, InvalidRequestError, NotFoundError
from mambakernels.paths import PathLike, Root, storage_errors
from mambakernels.system import process
from mambakernels.system.files import write_atomically

_HOOK_NAMES = ("micromamba", "mamba")  # its hooks refuse other names
_UNQUOTABLE = re.compile(r"[\"\\$`\n!]")  # it writes paths in double quotes and escapes nothing for the shell
_AUTORUN = r"HKEY_CURRENT_USER\Software\Microsoft\Command Processor, AutoRun"


@dataclass(frozen=True)
class Initialization:
    """The changes of initialising a shell, or of undoing that: its start file before and after, None if absent.

    `generated` are files in the root prefix that are written (or removed). `said` is the output of micromamba where
    it alone knows the start files. `reverse` means undoing, `dry_run` that nothing was changed.
    """

    shell: str
    micromamba: Path
    reverse: bool
    dry_run: bool
    start_file: Path | None = None
    before: bytes | None = None
    after: bytes | None = None
    generated: tuple[Path, ...] = ()
    said: str = ""

    @property
    def diff(self) -> str:
        """The change of the start file as a unified diff; empty if there is none."""
        old, new = ((content or b"").decode("utf-8", errors="replace") for content in (self.before, self.after))
        lines = difflib.unified_diff(
            old.splitlines(), new.splitlines(), f"{self.start_file}", f"{self.start_file}", lineterm=""
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class _StartFile:
    """A start file: its path below the home folder for micromamba, and its path for the shell."""

    below_home: Path
    path: Path


@dataclass(frozen=True)
class _Initializer:
    """A micromamba that initialises one shell, or undoes that."""

    executable: Path
    shell: str
    reverse: bool

    def run(self, place: Path, *extra: str, home: Path | None = None) -> str:
        """Run it for a root prefix, and return its output; EngineError if it fails."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONDA_", "MAMBA_", "_CE_"))}
        if home is not None:
            kept |= {"HOME": str(home), "USERPROFILE": str(home)}
            kept.pop("XDG_CONFIG_HOME", None)
        verb = "deinit" if self.reverse else "init"
        words = [str(self.executable), "shell", verb, "-s", self.shell, "-r", str(place), "--no-rc", *extra]
        ended = process.stream(words, env=kept)
        if ended.returncode != 0:
            raise self._failure(ended.lines)
        return ended.text

    def edit(self, content: bytes | None, below_home: Path, place: Path) -> bytes | None:
        """Let it edit a start file in a temporary home folder; return the file's new content, None if absent."""
        with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
            file = Path(folder) / below_home
            file.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                file.write_bytes(content)
            self.run(place, home=Path(folder))
            after = file.read_bytes() if file.exists() else None
        made_from_nothing = self.reverse and after == b"" and content != b""
        return None if made_from_nothing else after

    def _failure(self, lines: Sequence[str]) -> EngineError:
        said = [line.strip() for line in lines if line.strip()]
        return EngineError(
            f"micromamba cannot initialise {self.shell}: {said[-1] if said else 'no reason given'}",
            where=str(self.executable),
            next_step=f"Without it, open an activated shell: mambakernels shell NAME --shell {self.shell}",
        )


@storage_errors
def shell_init(
    shell: str | None = None, *, reverse: bool = False, dry_run: bool = False, root: PathLike | None = None
) -> Initialization:
    """Have micromamba initialise a shell (default: the one in use) for the root prefix, or undo that.

    Returns what changes.

    Raises InvalidRequestError (a shell that is not known, or not on this platform; a path no start file can hold),
    NotFoundError without micromamba, EngineError with micromamba's message.
    """
    root = Root.find(root)
    name = shells.get(shell or shells.in_use()).name
    if name == "cmd.exe" and os.name != "nt":
        raise InvalidRequestError(
            "cmd.exe can be initialised on Windows only, by an entry in its registry.",
            next_step=f"Shells here: {', '.join(item for item in shells.NAMES if item != name)}.",
        )
    initializer = _Initializer(_find(root), name, reverse)
    _check_quotable(root.path, initializer.executable)
    start_file = _start_file(name)
    if start_file is None:
        return _by_micromamba_alone(initializer, root, dry_run=dry_run)
    change = _tried(initializer, root, start_file, dry_run=dry_run)
    if not dry_run:
        after = initializer.edit(change.before, start_file.below_home, root.path)
        change = dataclasses.replace(change, after=after)
        _put(start_file.path, change)
    return change


def _find(root: Root) -> Path:
    found = micromamba.find(root)
    if found is None:
        raise NotFoundError(
            "There is no micromamba, which initialises shells.",
            next_step="Get it: mambakernels bootstrap\nWithout it, open an activated shell: mambakernels shell NAME",
        )
    if found.path.resolve().stem not in _HOOK_NAMES:
        raise EngineError(
            f"micromamba's shell functions work only if its file is called {' or '.join(_HOOK_NAMES)}.",
            where=f"{found.path} ({found.where})",
            next_step="Rename it, or get one: mambakernels bootstrap",
        )
    return found.path


def _check_quotable(*places: Path) -> None:
    for place in places:
        if os.name != "nt" and _UNQUOTABLE.search(str(place)):
            raise InvalidRequestError(
                "micromamba cannot write this path into a start file: one of its characters is special in shells.",
                where=str(place),
                next_step="Choose a folder without quotes, '\\', '$', '`' and '!': --root or MAMBAKERNELS_ROOT.",
            )


def _start_file(shell: str) -> _StartFile | None:
    """Return the start file of a shell; None if only micromamba can find it."""
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    bash = Path(".bashrc" if sys.platform.startswith("linux") else ".bash_profile")
    table = {
        "bash": _StartFile(bash, home / bash),
        "zsh": _StartFile(Path(".zshrc"), Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"),
        "fish": _StartFile(Path(".config/fish/config.fish"), config / "fish" / "config.fish"),
        "tcsh": _StartFile(Path(".tcshrc"), home / ".tcshrc"),
        "xonsh": _StartFile(Path(".xonshrc"), home / ".xonshrc"),
        "nu": _StartFile(Path(".config/nushell/config.nu"), _nu_config(home) / "config.nu"),
    }
    return table.get(shell)


def _nu_config(home: Path) -> Path:
    if given := os.environ.get("XDG_CONFIG_HOME"):
        return Path(given) / "nushell"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "nushell"
    return Path(os.environ.get("APPDATA") or home / ".config") / "nushell"


def _tried(initializer: _Initializer, root: Root, start_file: _StartFile, *, dry_run: bool) -> Initialization:
    """Initialise with a copy of the start file and a temporary root prefix, to see the changes."""
    before = start_file.path.read_bytes() if start_file.path.exists() else None
    with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
        place = Path(folder).resolve()
        dataclasses.replace(initializer, reverse=False).edit(None, start_file.below_home, place)
        written = sorted(root.path / file.relative_to(place) for file in place.rglob("*") if file.is_file())
        after = initializer.edit(before, start_file.below_home, place)
        after = after and after.replace(os.fsencode(place), os.fsencode(root.path))
    return Initialization(
        initializer.shell,
        initializer.executable,
        initializer.reverse,
        dry_run,
        start_file=start_file.path,
        before=before,
        after=after,
        generated=tuple(file for file in written if file.exists() or not initializer.reverse),
    )


def _put(path: Path, change: Initialization) -> None:
    """Replace a start file, or the target of its link, and keep its permissions; without content, remove it."""
    target = path.resolve()
    if change.after == change.before:
        return
    if change.after is None:
        target.unlink()
        return
    mode = None if change.before is None else stat.S_IMODE(target.stat().st_mode)
    write_atomically(target, change.after, mode=mode)


def _by_micromamba_alone(initializer: _Initializer, root: Root, *, dry_run: bool) -> Initialization:
    """Run it where only micromamba knows the start files; its dry run gets a temporary root prefix."""
    if initializer.shell == "powershell":
        shells.get(initializer.shell).find()  # without PowerShell, micromamba does nothing and reports success
    if not dry_run:
        said = initializer.run(root.path)
    elif initializer.shell == "cmd.exe":
        verb = "remove" if initializer.reverse else "add"
        said = f"Would {verb} {root.path / 'condabin' / 'mamba_hook.bat'} in {_AUTORUN}."
    else:
        with tempfile.TemporaryDirectory(prefix="mambakernels-") as folder:
            said = initializer.run(Path(folder), "--dry-run").replace(folder, str(root.path))
    return Initialization(initializer.shell, initializer.executable, initializer.reverse, dry_run, said=said)
