"""The one figure that stands for samples: an estimate of how long a call takes when nothing else runs.

It is the lower quartile of whatever other programs disturb least, and has that one's name:

- *CPU time*, where one thread did all the work: the time that others ran on its core does not count.
- *undisturbed samples*, where several threads worked: CPU time counts those that spin. Samples count in which no thread
  was switched out involuntarily, or waited for a core longer than `WAITED` of the time (`mambakernels.numeric.timing`).
- *all samples*, where the system does not count these.
- *disturbed samples*, where several threads worked and none was undisturbed: too long, by no one knows how much. Such a
  figure can be shown, and is never compared.
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
