"""Kernels compared by functions, as a lesson shows them: a table, the verdicts, and figures for pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from mambakernels.lessons.evidence import EVIDENCE, Evidence
from mambakernels.numeric import formatting

Json = Mapping[str, Any]
Value = Literal["seconds", "gflops"]

_SECONDS: Value = "seconds"


@dataclass(frozen=True)
class Compared:
    """Functions measured on kernels.

    `table` has a row per kernel, function, size and number of threads asked for, `controls` one for each control.
    `pairs` compares each kernel with the first, `probes` says what ran in each, `notes` which kernels and sizes were
    left out, and why. `said` are sentences about the comparison, whether it can be trusted above all.
    """

    table: Sequence[Json]
    controls: Sequence[Json]
    pairs: Sequence[Json]
    probes: Mapping[str, Json]
    notes: Sequence[str]
    said: Sequence[str]

    @classmethod
    def from_dict(cls, found: Json) -> Compared:
        """Return what `Comparison.as_dict` holds, and keep its control as evidence for `expect`."""
        rows = found["table"]
        EVIDENCE.append(_evidence(rows))
        return cls(
            table=[row for row in rows if not row["control"]],
            controls=[row for row in rows if row["control"]],
            pairs=[row for row in found["pairs"] if not row["control"]],
            probes={kernel["kernel"]: kernel["facts"]["probe"] for kernel in found["kernels"] if kernel["facts"]},
            notes=found["notes"],
            said=[
                *found["conclusion"]["alarms"],
                *found["conclusion"]["sentences"],
                f"{found['rounds']} round{'s' * (found['rounds'] != 1)} in {found['seconds']:.0f} seconds.",
                found["estimate"],
            ],
        )

    @property
    def kernels(self) -> list[str]:
        """The kernels that were measured."""
        return list(dict.fromkeys(row["kernel"] for row in self.table))

    @property
    def blas(self) -> dict[str, str]:
        """The BLAS that ran in each kernel."""
        return {name: self.probes[name]["blas"]["name"] for name in self.kernels}

    @property
    def lapack(self) -> dict[str, str]:
        """The LAPACK that ran in each kernel."""
        return {name: self.probes[name]["lapack"]["name"] for name in self.kernels}

    def control(self, *, threads: int | None = None) -> dict[str, float]:
        """Return the seconds of the control by kernel."""
        rows = [row for row in self.controls if threads is None or row["asked"] == threads]
        return {row["kernel"]: float(row["seconds"]) for row in rows}

    @property
    def correct(self) -> bool:
        """Whether every result passed its check."""
        return all(row["correct"] for row in self.table)

    def seconds(
        self, function: str | None = None, *, size: int | None = None, threads: int | None = None
    ) -> dict[str, float]:
        """Return the seconds of a call by kernel, of one function, size and number of threads if there are several."""
        return self._by_kernel(_SECONDS, function=function, size=size, threads=threads)

    def rates(
        self, function: str | None = None, *, size: int | None = None, threads: int | None = None
    ) -> dict[str, float]:
        """Return the rates by kernel, in GFLOP/s."""
        return self._by_kernel("gflops", function=function, size=size, threads=threads)

    def curves(
        self, function: str | None = None, *, value: Value = "gflops", along: Literal["size", "asked"] = "size"
    ) -> dict[str, list[tuple[float, float]]]:
        """Return, by kernel, the rates (or the seconds) with their sizes (or with the threads asked for)."""
        rows = self._rows(function=function)
        return {
            name: sorted((row[along], row[value]) for row in rows if row["kernel"] == name and row[value] is not None)
            for name in self.kernels
        }

    def __str__(self) -> str:
        return "\n".join([formatting.text_table(_HEADER, self._cells()), *self.said])

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        lines = "".join(f"<p>{escape(line)}</p>" for line in self.said)
        return {"text/plain": str(self), "text/html": formatting.html_table(_HEADER, self._cells()) + lines}

    def _rows(self, **wanted: Any) -> list[Json]:
        return [
            row
            for row in self.table
            if all(value is None or row[_FIELDS[name]] == value for name, value in wanted.items())
        ]

    def _by_kernel(self, value: Value, **wanted: Any) -> dict[str, float]:
        rows = [row for row in self._rows(**wanted) if row[value] is not None]
        if len({(row["operation"], row["size"], row["asked"]) for row in rows}) > 1:
            raise ValueError("There are several functions, sizes or numbers of threads: name the one that is meant.")
        return {row["kernel"]: float(row[value]) for row in rows}

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row["operation"],
                _or_dash(row["size"] or None, "{}"),
                formatting.threads_used(row["asked"], row["threads"]),
                row["kernel"],
                formatting.seconds(row["seconds"]),
                _or_dash(row["gflops"], "{:.3g}"),
                "yes" if row["correct"] else "NO",
                self._verdict(row),
            )
            for row in self.table
        ]

    def _verdict(self, row: Json) -> str:
        case = [row["kernel"], row["operation"], row["size"], row["asked"]]
        found = [one for one in self.pairs if [one["kernel"], one["operation"], one["size"], one["threads"]] == case]
        return found[0]["text"] if found else ""


_HEADER = ("function", "n", "threads", "kernel", "time", "GFLOP/s", "right", "against the first kernel")
_FIELDS = {"function": "operation", "size": "size", "threads": "asked"}


def _evidence(rows: Sequence[Json]) -> Evidence:
    controls = [row for row in rows if row["control"]]
    counted = [row for row in rows if row["disturbed"] is not None]
    return Evidence(
        controls=tuple(float(row["seconds"]) for row in controls),
        samples=sum(row["samples"] for row in counted),
        disturbed=sum(row["disturbed"] for row in counted),
        where="the kernels",
    )


def _or_dash(value: Any, form: str) -> str:
    return "-" if value is None else form.format(value)
