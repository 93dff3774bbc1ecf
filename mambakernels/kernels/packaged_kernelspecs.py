"""The kernelspecs in an environment's packages, and the programs they start."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mambakernels.environments import Environment
from mambakernels.environments.virtual import is_virtual
from mambakernels.errors import KernelError
from mambakernels.kernels.specs import Json
from mambakernels.system import quoting

PYTHON_SPEC = "python3"  # ipykernel's
_RESOURCES = ("logo-*", "kernel.js", "kernel.css")
_PYTHON = re.compile(r"python[0-9.]*(\.exe)?")
# The folders of programs in a prefix, and the endings of their names.
_PROGRAMS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "posix": (("bin",), ("",)),
    "nt": (("", "Library/bin", "Scripts", "bin"), ("", ".exe", ".bat", ".cmd")),
}
# The package that gives a language a kernel, where another says that the language is there; the first one counts.
_KERNEL_PACKAGES = {
    "python": ("Python", "ipykernel"),
    "r-base": ("R", "r-irkernel"),
    "octave": ("Octave", "xeus-octave"),
    "cling": ("C++", "xeus-cling"),
}


# No conda package has IJulia, and by itself it writes to the user's Jupyter folder, not activated.
_FOR_JULIA = """\
For Julia, let IJulia put its kernelspec into the environment, then register it:
mambakernels exec {name} -- env JUPYTER_DATA_DIR={folder} julia -e \
'import Pkg; Pkg.add("IJulia"); using IJulia; installkernel("Julia")'
mambakernels register {name}"""


@dataclass(frozen=True)
class PackagedKernelspec:
    """A kernelspec in the environment's packages."""

    name: str
    folder: Path
    document: Json

    @property
    def language(self) -> str:
        """The language as the kernelspec writes it."""
        return str(self.document.get("language", ""))

    @property
    def title(self) -> str:
        """Its display name, else its language, else its name."""
        return str(self.document.get("display_name") or self.language or self.name)

    @property
    def words(self) -> list[str]:
        """Its command."""
        words: list[str] = self.document["argv"]
        return words

    def resources(self) -> dict[str, Path]:
        """Return its files for Jupyter's front ends, by name."""
        found = (file for pattern in _RESOURCES for file in sorted(self.folder.glob(pattern)))
        return {file.name: file for file in found if file.is_file()}

    def command(self, environment: Environment) -> list[str]:
        """Return the command with the environment's own program and folders in place of the Jupyter server's."""
        places = {"{prefix}": str(environment.prefix), "{resource_dir}": str(self.folder)}
        words = self.words
        for placeholder, folder in places.items():
            words = [word.replace(placeholder, folder) for word in words]
        return [self._program(environment, words[0]), *words[1:]]

    def _program(self, environment: Environment, word: str) -> str:
        """Return the program to start: an absolute path as it is, else a file in the prefix; Python under any name."""
        for candidate in candidates(environment.prefix, word, os.name):
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return str(candidate)
        raise _unusable(self.folder / "kernel.json", f"its program {word} is not in the environment")


def has_kernel(environment: Environment) -> bool:
    """Whether a package of the environment has a kernelspec."""
    return bool(_files(environment))


def read_packaged(environment: Environment) -> list[PackagedKernelspec]:
    """Read the environment's kernelspecs, the Python kernel first; KernelError if there is none to use."""
    files = _files(environment)
    if not files:
        raise _no_kernel(environment)
    return [PackagedKernelspec(file.parent.name, file.parent, _read(file)) for file in files]


def candidates(prefix: Path, word: str, system: str) -> Iterator[Path]:
    """Yield the places of a kernelspec's program on a kind of system (`os.name`), the most likely first."""
    folders, suffixes = _PROGRAMS[system]
    given = Path(word)
    if given.is_absolute():
        yield given
    names = [given.name, *(["python"] if _PYTHON.fullmatch(given.name) else [])]
    yield from (prefix / folder / (name + suffix) for name in names for folder in folders for suffix in suffixes)


def _folder(environment: Environment) -> Path:
    return environment.prefix / "share" / "jupyter" / "kernels"


def _files(environment: Environment) -> list[Path]:
    found = _folder(environment).glob("*/kernel.json")
    return sorted(found, key=lambda file: (file.parent.name != PYTHON_SPEC, file.parent.name))


def _no_kernel(environment: Environment) -> KernelError:
    name = quoting.quote(environment.name)
    known = (found for package, found in _KERNEL_PACKAGES.items() if environment.package(package))
    language, package = next(known, _KERNEL_PACKAGES["python"])
    advice = f"For {language}: mambakernels install {name} {package}"
    if environment.package("julia"):
        advice = _FOR_JULIA.format(name=name, folder=quoting.quote(str(environment.prefix / "share" / "jupyter")))
    elif package == "ipykernel":
        advice += f"\nor both at once: mambakernels register {name} --add-ipykernel"
    return KernelError(
        f"The environment {environment.name!r} has no kernel: none of its packages has a kernelspec.",
        where=str(_folder(environment)),
        next_step=advice if environment.managed else _for_another_program(environment, package),
    )


def _for_another_program(environment: Environment, package: str) -> str:
    if is_virtual(environment.prefix):
        python = quoting.quote(str(environment.python))
        return f"Install it: {python} -m pip install ipykernel\nor: uv pip install --python {python} ipykernel"
    return f"Install {package} with the program that made the environment."


def _read(file: Path) -> Json:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise _unusable(file, str(error)) from error
    match document:
        case {"argv": [str(first), *rest], **others} if first and all(isinstance(word, str) for word in rest):
            if not isinstance(others.get("metadata", {}), dict) or not isinstance(others.get("env", {}), dict):
                raise _unusable(file, "its metadata or env is not an object")
            return dict(document)
    raise _unusable(file, "it names no command to start")


def _unusable(file: Path, why: str) -> KernelError:
    return KernelError(
        f"A kernelspec of the environment's packages cannot be used: {why}.",
        where=str(file),
        next_step="If files are damaged: mambakernels verify ENVIRONMENT --repair. Else update or remove its package.",
    )
