"""Publishing measurements in a notebook: one output with a table for people and a MIME bundle for programs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from mambakernels.numeric import formatting
from mambakernels.numeric.bundle import MIME_TYPE, PACKAGE, PROOF_MIME_TYPE, SCHEMA
from mambakernels.numeric.measurement import Measurement
from mambakernels.numeric.probing import Probe, probe
from mambakernels.numeric.rules import Finding, findings
from mambakernels.numeric.source import code_hash

_HEADER = ("operation", "n", "dtype", "time", "GFLOP/s", "estimated from", "disturbed", "samples", "result")


def publish(measurements: Sequence[Measurement], probed: Probe | None = None) -> None:
    """Display measurements in the notebook as one output; without IPython, print them as a plain table."""
    ran = probed or probe()
    ipython = sys.modules.get("IPython")  # not imported: if it is not loaded, nothing can be displayed
    if ipython is None or ipython.get_ipython() is None:
        print(as_text(measurements, ran))  # noqa: T201 (a script has no other place for it)
        return
    ipython.display.display(mime_bundle(measurements, ran), raw=True)


def mime_bundle(measurements: Sequence[Measurement], probed: Probe) -> dict[str, Any]:
    """Return the output's data: `text/plain`, `text/html`, the measurements as JSON, and which BLAS was proven."""
    proof = {PROOF_MIME_TYPE: {"blas": probed.blas.name}} if probed.blas.proven else {}
    return {
        "text/plain": as_text(measurements, probed),
        "text/html": as_html(measurements, probed),
        MIME_TYPE: {
            "schema": SCHEMA,
            "code": {"package": PACKAGE, "sha256": code_hash()},
            "probe": probed.as_dict(),
            "findings": [finding.as_dict() for finding in findings(probed) if finding.is_problem],
            "measurements": [measurement.as_dict() for measurement in measurements],
        },
        **proof,
    }


def as_text(measurements: Sequence[Measurement], probed: Probe) -> str:
    """Return a plain table, with what ran above it and a warning below if a result is wrong."""
    table = formatting.text_table(_HEADER, [_row(measurement) for measurement in measurements])
    return "\n".join([_title(probed), table, *_notes(measurements, findings(probed))])


def as_html(measurements: Sequence[Measurement], probed: Probe) -> str:
    """Return the same table as HTML, wrong results marked."""
    rows = [_row(measurement) for measurement in measurements]
    wrong = [index for index, measurement in enumerate(measurements) if not measurement.correct]
    below = "".join(f"<p>{escape(note)}</p>" for note in _notes(measurements, findings(probed)))
    return formatting.html_table(_HEADER, rows, caption=_title(probed), marked=wrong) + below


def _title(probed: Probe) -> str:
    blas = probed.blas
    path = f", code path {blas.architecture}" if blas.architecture else ""
    threads = f", {blas.threads} thread{'s' * (blas.threads != 1)}" if blas.threads else ""
    return f"NumPy {probed.numpy} on {blas.name} {blas.version or ''}".rstrip() + path + threads


def _row(measurement: Measurement) -> tuple[str, ...]:
    return (
        measurement.operation,
        str(measurement.size),
        measurement.dtype,
        formatting.seconds(measurement.seconds),
        _rate(measurement),
        measurement.estimator,
        _disturbed(measurement),
        measurement.stability,
        "right" if measurement.correct else f"WRONG: {measurement.residual:.1e} > {measurement.residual_bound:.1e}",
    )


def _rate(measurement: Measurement) -> str:
    rate = measurement.gflops
    return "-" if rate is None else formatting.three_digits(rate) + "*" * measurement.flops_nominal


def _disturbed(measurement: Measurement) -> str:
    count = measurement.disturbed_samples
    return "-" if count is None else f"{count} of {len(measurement.samples)}"


def _notes(measurements: Sequence[Measurement], found: Sequence[Finding]) -> list[str]:
    wrong = sum(not measurement.correct for measurement in measurements)
    nominal = any(measurement.flops_nominal for measurement in measurements)
    warning = f"{wrong} of {len(measurements)} results are WRONG: do not trust this library here." if wrong else ""
    footnote = "* nominal: the work depends on the data, so the rate follows a convention." if nominal else ""
    unstable = Counter(one.stability for one in measurements if one.stability != "stable")
    verdicts = (
        f"Not stable: {', '.join(f'{count} {verdict}' for verdict, count in unstable.items())}." if unstable else ""
    )
    alone = [f"{one.operation}, n = {one.size}: {one.remark}" for one in measurements if len(one.samples) == 1]
    return [
        *(finding.text for finding in found if finding.is_problem),
        *filter(None, (warning, footnote, verdicts)),
        *alone,
    ]
