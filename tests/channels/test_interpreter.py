"""The Python of the wheels channel, where it comes from Debian, which changes where packages go."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mambakernels.channels import interpreter

DEBIANS = Path("/usr/bin/python3")
# Runs the copy of `sysconfig` in the prefix that is its argument, and prints where that would install.
_WHERE = """
import importlib.util, pathlib, sys
[file] = pathlib.Path(sys.argv[1]).rglob("sysconfig.py")
spec = importlib.util.spec_from_file_location("sysconfig", file)
module = sys.modules["sysconfig"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
names = {"base": "P", "platbase": "P", "installed_base": "P"}
print(*(module.get_path(kind, vars=names) for kind in ("purelib", "platlib", "scripts")), sys.version_info[1])
"""


@pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="only on Debian: others leave where packages go")
def test_debians_python_installs_where_every_environment_has_packages(tmp_path: Path) -> None:
    library = tmp_path / interpreter.LIBRARY
    library.mkdir(parents=True)
    code = "import sysconfig; print(sysconfig.__file__)"
    shutil.copy(_printed(DEBIANS, "-c", code), library)
    assert "P/local/bin" in _printed(DEBIANS, "-c", _WHERE, tmp_path)
    interpreter.reach_site_packages(tmp_path)
    found = _printed(DEBIANS, "-c", _WHERE, tmp_path).split()
    site = f"P/lib/python3.{found[-1]}/site-packages"
    assert found[:-1] == [site, site, "P/bin"]
    assert (tmp_path / "lib/python3/dist-packages").resolve() == (tmp_path / interpreter.SITE_PACKAGES).resolve()


def _printed(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
