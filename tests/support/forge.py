"""What the tests' channel holds: one or two packages for each trait of conda-forge, each a few hundred bytes."""

from __future__ import annotations

import json
import platform
import sys
import sysconfig
from pathlib import Path

from support.conda_packages import PLACEHOLDER, File, Link, Package, write_channel

from mambakernels import paths

SUBDIR = paths.subdir()
PYTHON = "python{}.{}".format(*sys.version_info)
_BASE = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
_KERNEL = {"argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
_MODULE = b"import sys\n\n\ndef main():\n    print('hello from', sys.prefix)\n"


def write(folder: Path) -> None:
    """Write the channels `conda-forge` and `shadow` (an older `tiny`, which hides the newer) below a folder."""
    write_channel(PACKAGES, folder / "conda-forge")
    write_channel([_generic("tiny", version="0.5")], folder / "shadow")


def _generic(
    name: str, *depends: str, version: str = "1.0", build: str = "0", files: dict[str, File | Link] | None = None
) -> Package:
    content = files or {f"share/{name}/version": File(version.encode())}
    return Package(name, version, build, depends=depends, noarch="generic", files=content)


def _binary(name: str, *depends: str, version: str = "1.0", build: str = "0", **more: object) -> Package:
    files = {f"share/{name}/build": File(build.encode())}
    return Package(name, version, build, SUBDIR, depends=depends, **{"files": files, **more})  # type: ignore[arg-type]


def _python() -> Package:
    """The interpreter of these tests, as a virtual environment has it: a real Python, whose package is two links.

    Its standard library is that of the interpreter it leads to, with its bytecode; what the installer puts into
    the environment's own `site-packages` is found there.
    """
    home = f"home = {_BASE.parent}\ninclude-system-site-packages = false\nversion = {platform.python_version()}\n"
    files: dict[str, File | Link] = {
        "bin/python": Link(str(_BASE)),
        "bin/python3": Link("python"),
        f"bin/{PYTHON}": Link("python"),
        "pyvenv.cfg": File(home.encode()),
        f"lib/{PYTHON}/site-packages/README.txt": File(b"third-party packages\n"),
    }
    depends = ("__unix", "__glibc >=2.17,<3.0.a0", "_openmp_mutex >=4.5") if SUBDIR.startswith("linux") else ("__unix",)
    return Package("python", platform.python_version(), "0_cpython", SUBDIR, depends=depends, files=files)


def _pure(
    name: str,
    files: dict[str, File | Link] | None = None,
    *,
    depends: tuple[str, ...] = (),
    entry_points: tuple[str, ...] = (),
) -> Package:
    content = {f"site-packages/{name}/__init__.py": File(_MODULE), **(files or {})}
    return Package(
        name,
        build="pyhd8ed1ab_0",
        depends=("python >=3.9", *depends),
        noarch="python",
        files=content,
        entry_points=entry_points,
    )


_ACTIVATED: dict[str, File | Link] = {
    "etc/conda/activate.d/activated.sh": File(
        b'export FORGE_DATA="$CONDA_PREFIX/share/activated"\nexport FORGE_STACK="${FORGE_STACK:-}a"\n'
    ),
    "etc/conda/deactivate.d/activated.sh": File(b"unset FORGE_DATA\nunset FORGE_STACK\n"),
    "etc/conda/env_vars.d/activated.json": File(json.dumps({"FORGE_VARIABLE": "from a package"}).encode()),
    "share/activated/data": File(b"data\n"),
}
_PREFIXED: dict[str, File | Link] = {
    "bin/where-am-i": File(f"#!/bin/sh\necho {PLACEHOLDER}/share\n".encode(), executable=True, mode="text"),
    "share/prefixed/blob": File(
        b"\x7fELF\0" + PLACEHOLDER.encode() + b"/lib\0tail\0" + PLACEHOLDER.encode() + b"\0", mode="binary"
    ),
}
_PREFIXED_ELSEWHERE = {f"share/bz2/{name}": file for name, file in _PREFIXED.items()}
_LINKED: dict[str, File | Link] = {
    "lib/libforge.so.1.0": File(b"a library\n", executable=True),
    "lib/libforge.so.1": Link("libforge.so.1.0"),
    "lib/libforge.so": Link("libforge.so.1"),
    "share/linked/libraries": Link("../../lib"),
}
_LINK_SCRIPT: dict[str, File | Link] = {
    "bin/.scripted-post-link.sh": File(
        b'#!/bin/bash\nmkdir -p "$PREFIX/share"\necho ran > "$PREFIX/share/post-link-ran"\n', executable=True
    ),
}

PACKAGES = [
    _python(),
    # micromamba adds pip to python by itself; conda-forge's python of 3.13 and later depends on it
    _pure("pip"),
    # noarch: python with an entry point, a script of its own, no bytecode
    _pure(
        "greeter",
        {"python-scripts/greeter-script": File(b"#!/bin/sh\necho script\n", executable=True)},
        entry_points=("greet = greeter:main",),
    ),
    # the ipykernel of these tests, found where it is installed: kernels of the environments really run
    Package(
        "ipykernel",
        build="pyhd8ed1ab_0",
        depends=("python >=3.9", "activated"),
        noarch="python",
        files={
            "site-packages/installed.pth": File(f"{sysconfig.get_path('purelib')}\n".encode()),
            "site-packages/forge_kernel.py": File(_MODULE),
            "share/jupyter/kernels/python3/kernel.json": File(
                json.dumps({**_KERNEL, "display_name": "Python 3 (ipykernel)"}).encode()
            ),
        },
    ),
    # virtual packages
    _binary("needs-linux", "__linux", "__unix", "__glibc >=2.17,<3.0.a0"),
    _generic("needs-osx", "__osx >=11.0"),
    _generic("needs-win", "__win"),
    _binary("picky", "__glibc >=2.17", version="1.0"),
    _binary("picky", "__glibc >=99", version="2.0"),
    # activation, link scripts, prefixes, links
    _generic("activated", files=_ACTIVATED),
    Package("scripted", subdir=SUBDIR, files=_LINK_SCRIPT),
    Package("prefixed", subdir=SUBDIR, files=_PREFIXED),
    Package("prefixed-bz2", subdir=SUBDIR, archive=".tar.bz2", files=_PREFIXED_ELSEWHERE),
    Package("linked", subdir=SUBDIR, files=_LINKED),
    # variants by build string, with the mutex that keeps them apart
    _binary("blas", build="2_openblas", version="2.0"),
    _binary("blas", build="2_mkl", version="2.0", track_features="blas_mkl"),
    _binary("libblas", build="31_openblas", version="3.9", constrains=("blas * *_openblas",)),
    _binary("libblas", build="31_mkl", version="3.9", constrains=("blas * *_mkl",), track_features="blas_mkl"),
    _binary("_openmp_mutex", build="1_gnu", version="4.5"),
    _binary("_openmp_mutex", build="0_llvm", version="4.5"),
    _binary("openmp-gnu", "_openmp_mutex * *_gnu"),
    _binary("openmp-llvm", "_openmp_mutex * *_llvm"),
    # a lower build without track_features is preferred to a higher one with it
    _binary("flavour", build="plain_0"),
    _binary("flavour", build="special_9", track_features="special"),
    # constrains
    _binary("newer", version="1.0"),
    _binary("newer", version="2.0"),
    _binary("old-fashioned", constrains=("newer <2",)),
    # the index was corrected after the archive was made
    Package("patched", subdir=SUBDIR, depends=("does-not-exist",), patch={"depends": ["tiny >=1"]}),
    # both archive formats
    _generic("tiny"),
    _binary("old-format", "tiny", archive=".tar.bz2"),
    _binary("both-formats", archive=".conda"),
    _binary("both-formats", archive=".tar.bz2"),
]
