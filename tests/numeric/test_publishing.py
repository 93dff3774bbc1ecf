from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from mambakernels.bench.published import validate
from mambakernels.numeric import MIME_TYPE, Measurement, code_hash, measure, mime_bundle, probe, publish
from mambakernels.numeric.bundle import PROOF_MIME_TYPE
from mambakernels.numeric.publishing import as_html, as_text

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "blas.ipynb"
MEASUREMENT_KEYS = {
    "error",
    "operation",
    "routine",
    "dtype",
    "size",
    "shape",
    "flops",
    "flops_nominal",
    "bytes",
    "control",
    "threads",
    "loops",
    "samples",
    "cpu_samples",
    "disturbed",
    "alone",
    "residual",
    "residual_bound",
    "first_call",
    "stability",
    "remark",
    "fingerprint",
    "reproduced",
}


@pytest.fixture(scope="module")
def measured() -> list[Measurement]:
    return measure(["gemm", "eigh", "exp"], [8], repeats=2, min_sample=1e-4, least=1e-9)


def wrong(measured: list[Measurement]) -> list[Measurement]:
    return [replace(measured[0], residual=1.0), *measured[1:]]


def test_the_bundle_is_what_was_agreed_upon(measured: list[Measurement]) -> None:
    probed = probe()
    bundle = mime_bundle(measured, probed)
    kinds = {"text/plain", "text/html", "application/vnd.mambakernels.measurements+json"}
    assert set(bundle) == kinds | {"application/vnd.mambakernels.proof+json"}
    assert bundle[PROOF_MIME_TYPE] == {"blas": probed.blas.name}
    unproven = mime_bundle(measured, replace(probed, blas=replace(probed.blas, proven=False)))
    assert set(unproven) == kinds, "only a proof is published as one"
    data = bundle[MIME_TYPE]
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert set(data) == {"schema", "code", "probe", "findings", "measurements"}
    assert data["schema"] == 1
    validate(data)
    assert data["code"] == {"package": "mambakernels-numeric", "sha256": code_hash()}
    assert data["probe"] == probed.as_dict()
    assert [set(m) for m in data["measurements"]] == [MEASUREMENT_KEYS] * 3


def test_the_table_says_what_ran_how_fast_and_whether_it_is_right(measured: list[Measurement]) -> None:
    probed = probe()
    alike = [replace(one, stability="too short") for one in measured]  # some may be noisy, on a busy machine
    title, header, _, gemm, eigh, exp, note, verdicts = as_text(alike, probed).splitlines()
    assert title.startswith(f"NumPy {probed.numpy} on {probed.blas.name} {probed.blas.version}")
    assert header.split("  ")[0] == "operation"
    assert gemm.startswith("gemm")
    assert gemm.endswith("right")
    assert "*" in eigh
    assert exp.endswith("too short  right")
    assert " of 2 " in exp or exp.split()[-4] == "-"
    assert note.startswith("* nominal")
    assert verdicts == "Not stable: 3 too short."


def test_a_wrong_result_cannot_be_missed(measured: list[Measurement]) -> None:
    text = as_text(wrong(measured), probe())
    assert "WRONG: 1.0e+00 > " in text
    assert "1 of 3 results are WRONG" in text
    html = as_html(wrong(measured), probe())
    rows = ET.fromstring(f"<div>{html}</div>").findall("table/tbody/tr")
    assert ["color:" in (row[0].get("style") or "") for row in rows] == [True, False, False]
    assert "1 of 3 results are WRONG" in html
    data = mime_bundle(wrong(measured), probe())[MIME_TYPE]["measurements"]
    assert [m["residual"] > m["residual_bound"] for m in data] == [True, False, False]


def test_what_speaks_against_the_measurements_stands_below_them(measured: list[Measurement]) -> None:
    probed = probe()
    doubtful = replace(probed, blas=replace(probed.blas, name="unknown", library="/e/lib/libodd.so"))
    words = "NumPy's products are served by /e/lib/libodd.so, which is not a BLAS known here."
    assert words in as_text(measured, doubtful)
    assert words.replace("'", "&#x27;") in as_html(measured, doubtful)
    data = mime_bundle(measured, doubtful)[MIME_TYPE]
    validate(data)
    assert data["findings"] == [{"rule": "unknown-library", "severity": "error", "text": words}]


def test_a_single_sample_is_explained(measured: list[Measurement]) -> None:
    alone = replace(
        measured[0], samples=measured[0].samples[:1], cpu_samples=(), disturbed=(), remark="One call took 3 s."
    )
    assert "gemm, n = 8: One call took 3 s." in as_text([alone], probe())


def test_without_a_notebook_the_table_is_printed(
    measured: list[Measurement], capsys: pytest.CaptureFixture[str]
) -> None:
    probed = probe()
    publish(measured, probed)
    assert capsys.readouterr().out == as_text(measured, probed) + "\n"


def test_nothing_measured_is_still_an_output() -> None:
    assert mime_bundle([], probe())[MIME_TYPE]["measurements"] == []


@pytest.fixture(scope="module")
def executed() -> Any:
    """The lesson, run on a real kernel with small parameters."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source += "\noperations = ['gemm', 'svd', 'fft']\nsizes = [8, 24]\nrepeats = 2\nthreads = 1\n"
    return NotebookClient(notebook, kernel_name="python3", timeout=120).execute()


def test_a_real_kernel_publishes_one_output(executed: Any) -> None:
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    published = [output for output in outputs if MIME_TYPE in output.get("data", {})]
    assert len(published) == 1
    assert published[0].output_type == "display_data"
    assert set(published[0].data) == {"text/plain", "text/html", MIME_TYPE, PROOF_MIME_TYPE}
    nbformat.validate(executed)


def test_what_a_real_kernel_publishes(executed: Any) -> None:
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    data = next(output.data[MIME_TYPE] for output in outputs if MIME_TYPE in output.get("data", {}))
    assert data["code"]["sha256"] == code_hash()
    assert data["probe"]["blas"]["threads"] == 1
    assert data["probe"]["blas"]["name"] == "openblas"
    assert data["probe"]["variables"]["OMP_NUM_THREADS"] == "1"
    rows = [(m["operation"], m["size"]) for m in data["measurements"]]
    assert rows == [(name, n) for name in ("gemm", "svd", "fft") for n in (8, 24)]
    assert all(m["residual"] <= m["residual_bound"] for m in data["measurements"])


def test_the_lesson_shows_which_library_runs_and_its_rounding(executed: Any) -> None:
    by_id = {cell.id: cell for cell in executed.cells}
    assert "openblas" in by_id["probe"].outputs[0].data["text/html"]
    assert float(by_id["accuracy"].outputs[0].text) == pytest.approx(10000, rel=0.02)
