"""The one description of a measurement: its fields, their units and limits, and where each value comes from.

The rest follows from the annotations: what a kernel publishes and the check of it (`mambakernels.numeric.bundle`), the
columns of the frame that `measurements` returns and of the files that `bench` saves (`mambakernels.bench.published`).
A new field is one line in `Measurement` and one in `Measurement.of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from mambakernels.numeric.estimates import Estimator, Sampled
from mambakernels.numeric.probing import blas_threads
from mambakernels.numeric.timing import Stability, Timing, Verdict

if TYPE_CHECKING:
    from mambakernels.numeric.measuring import PreparedCall

NOT_EMPTY = {"minItems": 1}


@dataclass(frozen=True)
class Figures:
    """The figures that follow from a measurement's fields; `gflops` is None where operations are not counted."""

    seconds: Annotated[float, "the estimate, per call: the lower quartile of what `estimator` names"]
    estimator: Annotated[Estimator, "`mambakernels.numeric.estimates` explains them"]
    disturbed_samples: Annotated[int | None, "how many of the samples other programs disturbed"]
    interval_low: Annotated[float, "seconds; lower end of the estimate's interval, 95 % where there are enough samples"]
    interval_high: Annotated[float, "seconds; its upper end"]
    gflops: Annotated[float | None, "10⁹ floating-point operations per second at the estimated time"]
    correct: Annotated[bool, "the residual is within its bound, or there is no bound"]


@dataclass(frozen=True)
class Measurement(Sampled):
    """One operation at one size and dtype, timed and checked.

    Numbers of things are at least 1, amounts at least 0; None means not known, or not defined for this operation.
    """

    operation: Annotated[str, "name of the operation"]
    routine: Annotated[str | None, "routine of BLAS or LAPACK behind it, such as `dgemm`"]
    dtype: Annotated[str, "float32, float64, complex64 or complex128"]
    size: Annotated[int, "n: matrices are n by n, vectors have n² numbers"]
    shape: Annotated[Mapping[str, int], "sizes by the names BLAS gives them"]
    control: Annotated[bool, "no BLAS takes part"]
    threads: Annotated[int | None, "threads the BLAS uses, if it reports them"]
    flops: Annotated[float | None, "floating-point operations per call"]
    flops_nominal: Annotated[bool, "the work depends on the data, so `flops` is a convention"]
    bytes: Annotated[float | None, "least memory traffic per call, bytes"]
    loops: Annotated[int, "calls per sample"]
    first_call: Annotated[float, "seconds of the first call, cold"]
    stability: Annotated[Verdict, "whether the samples can be trusted"]
    remark: Annotated[str, "why they cannot; empty if they can"]
    residual: Annotated[float | None, "how wrong the result is, relative: worst of all checks"]
    residual_bound: Annotated[float | None, "largest residual of a right result"]
    error: Annotated[
        float | None,
        "largest error of a few entries against exact arithmetic, relative to the sum of the absolute products, in "
        "units of the dtype's eps; null where entries are not sums of products",
    ]
    fingerprint: Annotated[str, "hash of the result's bits"]
    reproduced: Annotated[bool | None, "the last call gave the same bits as the first; null: one call only"]
    alone: Annotated[bool, "one thread did all the work"]
    samples: Annotated[tuple[float, ...], NOT_EMPTY, "seconds per call, each the mean over `loops` calls"]
    cpu_samples: Annotated[tuple[float, ...], "CPU seconds per call of the calling thread, by sample; empty: not known"]
    disturbed: Annotated[tuple[bool, ...], "whether other programs disturbed it, by sample; empty: not known"]

    @classmethod
    def of(cls, call: PreparedCall, timing: Timing, verdict: Stability) -> Measurement:
        """Return the measurement of a call that was timed and checked."""
        operation, n, dtype = call.operation, call.n, call.dtype
        prints = call.fingerprints
        return cls(
            operation=operation.name,
            routine=operation.routines[dtype],
            dtype=dtype,
            size=n,
            shape=MappingProxyType(operation.shape(n)),
            control=operation.control,
            threads=blas_threads(),
            flops=operation.flop_count(n, dtype),
            flops_nominal=operation.flops_nominal,
            bytes=operation.byte_count(n, dtype),
            loops=timing.loops,
            first_call=call.first_call,
            stability=verdict.verdict,
            remark=verdict.remark,
            residual=call.residual,
            residual_bound=operation.allowed(n, dtype),
            error=call.error,
            fingerprint=prints[0],
            reproduced=len(set(prints)) == 1 if len(prints) > 1 else None,
            alone=timing.alone,
            samples=timing.samples,
            cpu_samples=timing.cpu_samples,
            disturbed=timing.disturbed,
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Measurement:
        """Return what `as_dict` wrote; the content must have passed the check of its bundle."""
        times = {name: tuple(map(float, content[name])) for name in ("samples", "cpu_samples")}
        return cls(**{**content, **times, "disturbed": tuple(content["disturbed"])})

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values, every field under its own name."""
        lists = {name: list(getattr(self, name)) for name in ("samples", "cpu_samples", "disturbed")}
        return vars(self) | {"shape": dict(self.shape)} | lists

    @property
    def gflops(self) -> float | None:
        """Floating-point operations per second at the estimated time, in 10⁹; None where they are not counted."""
        return self.flops / self.seconds / 1e9 if self.flops and self.seconds > 0 else None

    @property
    def correct(self) -> bool:
        """Whether the result is right, as far as its residual shows."""
        if self.residual_bound is None:
            return True
        return self.residual is not None and self.residual <= self.residual_bound

    @property
    def figures(self) -> Figures:
        """All that follows from the fields."""
        interval = self.interval
        return Figures(
            seconds=self.seconds,
            estimator=self.estimator,
            disturbed_samples=self.disturbed_samples,
            interval_low=interval.low,
            interval_high=interval.high,
            gflops=self.gflops,
            correct=self.correct,
        )
