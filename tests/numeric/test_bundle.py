from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mambakernels.bench.published import SchemaError, validate
from mambakernels.numeric import measure, mime_bundle, probe
from mambakernels.numeric.bundle import MIME_TYPE, json_schema

MEASURED = sorted((Path(__file__).parents[1] / "data" / "measured").glob("*.ipynb"))


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    data: dict[str, Any] = mime_bundle(measure(["gemm", "exp"], [4], repeats=2, min_sample=1e-4, least=1e-9), probe())[
        MIME_TYPE
    ]
    return data


def published(notebook: Path) -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [data[MIME_TYPE] for data in outputs if MIME_TYPE in data]


def test_what_is_published_keeps_the_contract(bundle: dict[str, Any]) -> None:
    validate(bundle)
    validate(json.loads(json.dumps(bundle)))
    jsonschema.Draft202012Validator(json_schema()).validate(bundle)


def test_the_contract_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("notebook", MEASURED, ids=lambda path: path.name)
def test_notebooks_from_other_machines_keep_the_contract(notebook: Path) -> None:
    (data,) = published(notebook)
    validate(data)


TRUE = bool(1)


def _set(value: object, *place: str | int) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for step in place[:-1]:
            data = data[step]
        data[place[-1]] = value

    return change


def _drop(*place: str | int) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for step in place[:-1]:
            data = data[step]
        del data[place[-1]]

    return change


BROKEN = {
    "bundle must contain ['findings'] properties": _drop("findings"),
    "bundle.probe.blas.threads must be integer or null, not '2'": _set("2", "probe", "blas", "threads"),
    "bundle.probe.blas.threads must be integer or null, not True": _set(TRUE, "probe", "blas", "threads"),
    "bundle.probe.blas.threads must be bigger than or equal to 1, not 0": _set(0, "probe", "blas", "threads"),
    "bundle.probe.machine.peak must contain ['how'] properties": _drop("probe", "machine", "peak", "how"),
    "bundle.probe.variables.OMP_NUM_THREADS must be string, not 2": _set({"OMP_NUM_THREADS": 2}, "probe", "variables"),
    "bundle.measurements[1].samples must contain at least 1 items": _set([], "measurements", 1, "samples"),
    "bundle.measurements[0].samples[0] must be bigger than or equal to 0, not -1.0": _set(
        [-1.0], "measurements", 0, "samples"
    ),
    "Out of range float values": _set([float("nan")], "measurements", 0, "samples"),
    "bundle.measurements[0].stability must be one of": _set("fine", "measurements", 0, "stability"),
    "bundle.measurements[0].error must be bigger than or equal to 0, not -1.0": _set(-1.0, "measurements", 0, "error"),
    "bundle.measurements[0] must not contain {'speed'} properties": _set(1.0, "measurements", 0, "speed"),
    "bundle.measurements[0] must be object": _set(3, "measurements", 0),
    "bundle.measurements must be array": _set({}, "measurements"),
    "bundle.code.sha256 must match pattern": _set("c0de", "code", "sha256"),
    "bundle.probe.blas.integer_bits must be one of [32, 64, None], not 16": _set(16, "probe", "blas", "integer_bits"),
    "schema 2 is not known to this version, which reads 1": _set(2, "schema"),
    "bundle.schema must be one of [1], not True": _set(TRUE, "schema"),
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_breaks_it_is_named(bundle: dict[str, Any], message: str) -> None:
    broken = copy.deepcopy(bundle)
    BROKEN[message](broken)
    with pytest.raises(SchemaError) as error:
        validate(broken)
    assert message in str(error.value)
    if "Out of range" not in message:  # JSON, and so a JSON Schema, knows no NaN
        assert not jsonschema.Draft202012Validator(json_schema()).is_valid(broken)


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_what_is_no_object_is_no_bundle(content: object) -> None:
    with pytest.raises(SchemaError, match="bundle must be object"):
        validate(content)


def test_every_number_a_measurement_can_hold_is_json(bundle: dict[str, Any]) -> None:
    json.dumps(bundle, allow_nan=False)
