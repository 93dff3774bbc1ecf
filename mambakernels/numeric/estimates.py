"""The one figure that stands for samples: an estimate of how long a call takes when nothing else runs.

It is the lower quartile of whatever other programs disturb least, and has that one's name:

- *CPU time*, where one thread did all the work: the time that others ran on its core does not count.
- *undisturbed samples*, where several threads worked: CPU time counts those that spin. Samples count in which no thread
  was switched out involuntarily, or waited for a core longer than `WAITED` of the time (`mambakernels.numeric.timing`).
- *all samples*, where the system does not count these.
- *disturbed samples*, where several threads worked and none was undisturbed: too long, by no one knows how much. Such a
  figure can be shown, and is never compared.

How this was chosen: gemm, n = 256, kernels in turns, on two cores, quiet and with eight spinning processes
(`benchmarks/believable.py estimators` repeats it). One thread, netlib's time over OpenBLAS', which is 7.45 to 7.50 on
the quiet machine by any way:

| | busy |
|---|---|
| median of the wall time | 18.6 to 43.9 |
| least wall time | 7.5 to 18.4 |
| median of the CPU time | 7.1 to 7.5 |
| least CPU time | 7.4 to 7.7 |
| lower quartile of the CPU time | 7.5 to 7.7 |

The least depends on how many samples there are: a slow kernel has few. Undisturbed samples do not exist for a call of
5 ms, which outlasts a time slice. Two threads: CPU time counts those that spin. BLIS' undisturbed samples took 0.362 ms
quiet and 0.362 to 0.365 ms busy, while medians went from 0.36 to 34 ms; 3 to 50 % of its samples were undisturbed, of
MKL's and OpenBLAS' often none. Shorter samples are undisturbed more often: with n = 64, 99 % of those of 10 µs, 89 % of
those of 0.1 ms, and 47 % of those of 0.8 ms. Two threads, n = 256, with 17 to 20 programs that wanted a core: 29 % of
the samples of one call (0.5 ms) were undisturbed with OpenBLAS, 1 % with MKL and 54 % with BLIS, of those of two calls
22, 0 and 30 %; a second had 7, 2 and 24 undisturbed samples of one call, and 3, 0 and 5 of two. One thread: the CPU
time of samples of 0.2 ms was at most 0.7 % longer than that of 0.5 ms (gemm, dot, svd; calls of 1 to 90 µs).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mambakernels.numeric import intervals
from mambakernels.numeric.intervals import Interval

Estimator = Literal["CPU time", "undisturbed samples", "all samples", "disturbed samples"]

DISTURBED: Estimator = "disturbed samples"
SHARE = 0.25  # the lower quartile


class Sampled:
    """Statistics of samples, in seconds per call.

    `samples` is wall time; `cpu_samples` the CPU time of the calling thread (empty: the system does not say);
    `disturbed` whether other programs interfered (empty: the system does not say); `alone` whether no other thread of
    the process worked.
    """

    samples: tuple[float, ...]
    cpu_samples: tuple[float, ...]
    disturbed: tuple[bool, ...]
    alone: bool

    @property
    def estimator(self) -> Estimator:
        """The name of what the estimate is the lower quartile of."""
        if self.alone and self.cpu_samples:
            return "CPU time"
        if not self.disturbed:
            return "all samples"
        return DISTURBED if all(self.disturbed) else "undisturbed samples"

    @property
    def usable(self) -> Sequence[float]:
        """The times that the estimate is made of."""
        if self.estimator == "CPU time":
            return self.cpu_samples
        if self.estimator != "undisturbed samples":
            return self.samples
        return [seconds for seconds, disturbed in zip(self.samples, self.disturbed, strict=True) if not disturbed]

    @property
    def seconds(self) -> float:
        """The estimate."""
        return intervals.quantile(self.usable, SHARE)

    @property
    def interval(self) -> Interval:
        """The estimate's confidence interval, without assuming a distribution."""
        return intervals.quantile_interval(self.usable, SHARE)

    @property
    def disturbed_samples(self) -> int | None:
        """How many samples other programs disturbed; None where the system does not say."""
        return sum(self.disturbed) if self.disturbed else None
