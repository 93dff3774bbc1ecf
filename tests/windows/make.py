"""Makes a Windows to test on where there is none: Wine, in a folder of its own, with a CPython and its packages.

    python3.11 tests/windows/make.py FOLDER

CPython comes from two places: its machine code from a wheel that carries one (panda3d's, for programs that it freezes),
its library from the CPython 3.11 that runs this. What is made for the same `make.py` and `requirements.txt` is kept.
It takes 0.5 GB, as Wine's own files in it are links to those of the system.
"""

from __future__ import annotations

import compileall
import filecmp
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
WHEEL = "panda3d==1.10.16"
PYTHON = "drive_c/Python311"
PIP = "pip"  # an environment with a pip, which the system's Python may lack
LIBRARY = "drive_c/python311.zip"
_COMPILER = "x86_64-w64-mingw32-"
_NOT_NEEDED = ("__pycache__", "site-packages", "lib-dynload", "test", "tests", "idlelib", "tkinter", "turtledemo")
_NOT_NEEDED_EITHER = ("config-3.11*", "_sysconfigdata*")
_OF_DEBIAN = ("EXTERNALLY-MANAGED", "_distutils_system_mod.py", "sitecustomize.py")
_WINE = Path("/usr/lib/x86_64-linux-gnu/wine/x86_64-windows")
_INF = Path("/usr/share/wine/wine.inf")  # Wine compares the age of a prefix with that of this file

# What a Windows has and this one lacks.
_PROGRAM = """
#include <stddef.h>
int Py_Main(int, wchar_t **);
int wmain(int count, wchar_t **words) { return Py_Main(count, words); }
"""
_RANDOM = """
#include <windows.h>
BOOLEAN WINAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T size) { return SystemFunction036(to, (ULONG)size); }
"""
_MANIFEST = """<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
<compatibility xmlns="urn:schemas-microsoft-com:compatibility.v1"><application>
<supportedOS Id="{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}"/></application></compatibility>
<application xmlns="urn:schemas-microsoft-com:asm.v3"><windowsSettings>
<longPathAware xmlns="http://schemas.microsoft.com/SMI/2016/WindowsSettings">true</longPathAware>
</windowsSettings></application></assembly>
"""


def main(folder: Path) -> None:
    """Make it, unless it is there; print where it is."""
    sources = [HERE / "make.py", HERE / "requirements.txt"]
    made_of = [*(file.read_bytes() for file in sources), sys.version.encode(), str(_INF.stat().st_mtime).encode()]
    version = hashlib.sha256(b"".join(made_of)).hexdigest()[:12]
    made = folder / version
    if not (made / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in folder.iterdir():
            shutil.rmtree(earlier)
        try:
            _make(made)
        finally:
            subprocess.run(["wineserver", "-k"], env=environment(made), check=False, timeout=60, **_quiet())
        (made / "complete").touch()
    sys.stdout.write(f"{made}\n")


def _make(made: Path) -> None:
    python = made / PYTHON
    site = python / "Lib/site-packages"
    wheels = made / "wheels"
    for folder in (made / "home", made / "tmp", wheels, site, python / "DLLs"):
        folder.mkdir(parents=True)
    os.environ["TMPDIR"] = str(made / "tmp")  # the compiler leaves files there
    _say("Wine")
    first = subprocess.Popen(["wineboot", "-i"], env=environment(made), **_quiet())
    _say("CPython")
    venv.create(made / PIP, with_pip=True)
    _pip(made, "download", "--no-deps", "--dest", str(wheels), WHEEL)
    _machine_code(next(wheels.glob("panda3d*.whl")), python)
    shutil.rmtree(wheels)
    library = sysconfig.get_path("stdlib")
    leave = shutil.ignore_patterns(*_NOT_NEEDED, *_NOT_NEEDED_EITHER, *_OF_DEBIAN)
    shutil.copytree(library, python / "Lib", ignore=leave, dirs_exist_ok=True)
    _programs(python, made / "build")
    first.wait(300)
    _windows_10(made)
    _say("packages")
    _pip(made, "install", "--no-compile", "--target", str(site), "--requirement", str(HERE / "requirements.txt"))
    shutil.copytree(site / "share", python / "share")
    for tests in sorted(site.rglob("tests")):
        if tests.is_dir():
            shutil.rmtree(tests)
    for package in ("_pytest", "pytest_timeout.py", "xdist"):  # else each run compiles them: it writes no bytecode
        _compile(site / package)
    _library_in_one_file(python / "Lib", made / LIBRARY)


def _windows_10(made: Path) -> None:
    windows = made / "drive_c/windows"
    shutil.copy(made / "build/bcryptprimitives.dll", windows / "system32")
    (made / ".update-timestamp").write_text("disable\n")  # an update would write through the links
    _link_to_the_system(windows)
    words = ["wine", "reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"]
    subprocess.run(words, env=environment(made), check=True, timeout=120, **_quiet())


def _say(what: str) -> None:
    sys.stderr.write(f"making a Windows: {what}\n")


def _quiet() -> dict[str, int]:
    return {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def environment(made: Path) -> dict[str, str]:
    """Return the variables for Wine's programs: nothing of this session, and a home in the folder."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(made / "home"),
        "LANG": "C.UTF-8",
        "WINEPREFIX": str(made),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree=;mshtml=;winemenubuilder.exe=",
    }


def _pip(made: Path, *words: str) -> None:
    options = ["-qq", "--disable-pip-version-check", "--only-binary", ":all:", "--platform", "win_amd64"]
    command = [str(made / PIP / "bin/python"), "-m", "pip", words[0], *options, "--python-version", "3.11", *words[1:]]
    subprocess.run(command, check=True)


def _compile(source: Path) -> None:
    if source.is_dir():
        compileall.compile_dir(source, quiet=2)
    else:
        compileall.compile_file(source, quiet=2)


def _link_to_the_system(windows: Path) -> None:
    """Replace copies of Wine's files, of 0.6 GB, by links to them."""
    for file in [*windows.glob("system32/**/*"), *windows.glob("winsxs/**/*")]:
        original = _WINE / file.name
        if file.is_file() and original.is_file() and filecmp.cmp(file, original, shallow=False):
            file.unlink()
            file.symlink_to(original)


def _machine_code(wheel: Path, python: Path) -> None:
    """Lay out what the wheel carries as an installer would; Windows has the `api-ms-*` itself."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            folder, _, file = name.rpartition("/")
            if folder == "deploy_libs" and not file.startswith("api-ms-"):
                beside = file.lower() in {"python311.dll", "vcruntime140.dll"}
                target = python / file if beside else python / "DLLs" / file
                target.write_bytes(archive.read(name))


def _library_in_one_file(library: Path, archive: Path) -> None:
    """Write the standard library as the embeddable Python has it: environments are then made of few files."""
    with zipfile.PyZipFile(str(archive), "w", zipfile.ZIP_DEFLATED) as target:
        target.writepy(str(library))
        for folder in library.iterdir():
            if (folder / "__init__.py").exists():
                target.writepy(str(folder))


def _programs(python: Path, build: Path) -> None:
    """Compile python.exe, and libraries that are missing; `python3.dll` is for extensions of any Python 3."""
    build.mkdir()
    for name, text in (
        ("python.c", _PROGRAM),
        ("random.c", _RANDOM),
        ("python.manifest", _MANIFEST),
        ("python.rc", '1 24 "python.manifest"'),
        ("empty.c", ""),
        ("python311.def", "LIBRARY python311.dll\nEXPORTS\nPy_Main\n"),
    ):
        (build / name).write_text(text, encoding="ascii")
    listed = _tool(build, "objdump", "-p", str(python / "python311.dll"))
    names = re.findall(r"^\s+\[\s*\d+\](?: \+base\[ *\d+\])?\s+(?:[0-9a-f]+ )?(_?Py\w+)$", listed, re.MULTILINE)
    forwards = "\n".join(f"{name} = python311.{name}" for name in names)
    (build / "python3.def").write_text(f"LIBRARY python3.dll\nEXPORTS\n{forwards}\n", encoding="ascii")
    _tool(build, "dlltool", "-d", "python311.def", "-l", "libpython311.a")
    _tool(build, "windres", "python.rc", "python.o")
    _tool(build, "gcc", "-municode", "python.c", "python.o", "-L.", "-lpython311", "-o", str(python / "python.exe"))
    _tool(build, "gcc", "-shared", "empty.c", "python3.def", "-o", str(python / "python3.dll"))
    _tool(build, "gcc", "-shared", "random.c", "-ladvapi32", "-o", "bcryptprimitives.dll")


def _tool(build: Path, name: str, *words: str) -> str:
    command: Sequence[str] = [_COMPILER + name, *words]
    done = subprocess.run(command, cwd=build, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
