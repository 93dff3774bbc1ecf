"""One description of a measurement: a field that is added to it arrives in everything that holds measurements."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mambakernels

PACKAGE = Path(mambakernels.__file__).parent
NOTEBOOK = Path(__file__).parents[1] / "data" / "measured" / "blas.np-mkl.ipynb"

JOURNEY = """
import json, sys
from mambakernels.bench.cases import Case, Settings
from mambakernels.bench.measured import COLUMNS, Measured, MeasuredKernel, visit_row
from mambakernels.bench.published import frame_of, load, measurements, save
from mambakernels.numeric import MIME_TYPE, measure, mime_bundle, probe

found = {}
measured, probed = measure(["gemm"], [8], repeats=1, min_sample=1e-4), probe()
bundle = mime_bundle(measured, probed)[MIME_TYPE]
found["bundle"] = bundle["measurements"][0]["joules"]
notebook = json.load(open("notebook.ipynb", encoding="utf-8"))
notebook["cells"][1]["outputs"][1]["data"][MIME_TYPE] = bundle
json.dump(notebook, open("notebook.ipynb", "w", encoding="utf-8"))
frame = measurements("notebook.ipynb")
found["frame"] = [frame["joules"][0], str(frame["joules"].dtype)]
for file in ("results.csv", "results.parquet"):
    found[file] = load(save(frame, file))["joules"][0]
kernel = MeasuredKernel("here", None, {"probe": probed.as_dict(), "code": "c0de"})
when = {"round": 0, "position": 0, "elapsed": 0.0, "others": 0.0}
comparison = Measured(
    frame=frame_of([visit_row(kernel, measured[0], when)], COLUMNS), kernels=(kernel,), canary=(), started="", host="",
    settings=Settings(("here",), (Case("gemm", "float64", 8),)), seconds=1.0, rounds=1,
)
for file in ("comparison.json", "comparison.parquet"):
    found[file] = Measured.load(comparison.save(file)).frame["joules"][0]
print(json.dumps(found))
"""


def test_a_field_that_is_added_to_the_description_arrives_everywhere(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "mambakernels", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(NOTEBOOK, tmp_path / "notebook.ipynb")
    description = tmp_path / "mambakernels" / "numeric" / "measurement.py"
    text = description.read_text(encoding="utf-8")
    for before, added in (
        ("    fingerprint: Annotated", '    joules: Annotated[float, "energy per call"]\n'),
        ("            fingerprint=", "            joules=2.5 * n,\n"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, added + before)
    description.write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", JOURNEY], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = ("results.csv", "results.parquet", "comparison.json", "comparison.parquet")
    assert json.loads(done.stdout) == {"bundle": 20.0, "frame": [20.0, "float64"], **dict.fromkeys(files, 20.0)}
