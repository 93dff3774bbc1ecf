from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mambakernels.runs.notebooks import notebook_files
from mambakernels.runs.outputs import entries


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_jsonschema_still_checks_addresses_and_only_then_loads_the_grammar() -> None:
    said = python(
        "import sys\n"
        "from mambakernels.runs.notebooks import prepare_nbformat\n"
        "prepare_nbformat()\n"
        "import nbformat, jsonschema\n"
        "print('rfc3987_syntax' in sys.modules)\n"
        "checker = jsonschema.Draft202012Validator.FORMAT_CHECKER\n"
        "print(checker.conforms('http://exämple.org/ä', 'iri'), checker.conforms('no address', 'iri'))\n"
        "print('rfc3987_syntax' in sys.modules)\n"
    )
    assert said.splitlines() == ["False", "True False", "True"]


def test_runs_can_be_looked_at_without_the_heavy_libraries() -> None:
    said = python(
        "import sys, mambakernels.runs.parameters, mambakernels.runs.records, mambakernels.runs.execute\n"
        "print(sorted({'nbformat', 'nbclient', 'pandas', 'matplotlib', 'IPython', 'yaml'} & set(sys.modules)))"
    )
    assert said.strip() == "[]"


def test_files_are_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    names = [f"study.n={n}.ipynb" for n in (8, 16, 128, 1024)]
    for name in names:
        (tmp_path / name).touch()
    assert [file.name for file in notebook_files([tmp_path])] == names
    assert [file.name for file in notebook_files([tmp_path / "study.*.ipynb"])] == names
    assert [entry.place.name for entry in entries(tmp_path)] == names
