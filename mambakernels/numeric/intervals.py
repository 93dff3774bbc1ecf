"""Statistics of samples that assume no distribution: quantiles with their intervals, drift, and trend."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

_EXACT_UP_TO = 30


@dataclass(frozen=True)
class Interval:
    """Two of the samples between which a quantile lies with probability `coverage`, whatever the distribution."""

    low: float
    high: float
    coverage: float


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the narrowest interval between order statistics that covers the median with at least that `confidence`.

    Fewer than six samples cannot reach 95 %: then the interval is their whole range, with the coverage it has. The r-th
    smallest and the r-th largest of n independent samples miss the median with probability 2 P(Binomial(n, 1/2) < r).
    """
    ordered, n = sorted(samples), len(samples)
    coverages = list(takewhile(lambda coverage: coverage >= confidence, _coverages(n)))
    trimmed = max(0, len(coverages) - 1)
    return Interval(ordered[trimmed], ordered[n - 1 - trimmed], coverages[-1] if coverages else next(_coverages(n)))


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the quantile with that share of the samples below it, linearly between the two nearest."""
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def quantile_interval(samples: Sequence[float], share: float, confidence: float = 0.95) -> Interval:
    """Return two order statistics that miss a quantile on either side with at most half of what `confidence` leaves.

    Where there are too few samples for that, the interval reaches to the least or the largest, with the coverage it
    has. The r-th smallest of n independent samples is above the quantile with probability P(Binomial(n, share) < r).
    """
    ordered, n, miss = sorted(samples), len(samples), (1 - confidence) / 2
    below = _binomial_sums(n, share)
    first = max((r for r in range(1, n + 1) if below[r - 1] <= miss), default=1)
    last = min((r for r in range(1, n + 1) if below[r - 1] >= 1 - miss), default=n)
    return Interval(ordered[first - 1], ordered[last - 1], max(0.0, below[last - 1] - below[first - 1]))


def drift(samples: Sequence[float]) -> float:
    """Return by how much the last third of the samples differs from the first: medians' ratio, minus one."""
    third = max(1, len(samples) // 3)
    last, first = statistics.median(samples[-third:]), statistics.median(samples[:third])
    return last / first - 1 if first > 0 else 0.0


def trend_probability(samples: Sequence[float]) -> float:
    """Return how likely samples without a trend would rise or fall at least as steadily as these do.

    Kendall's test of the samples against their order: exact up to 30 samples, by the normal approximation beyond.
    """
    n = len(samples)
    pairs = [(later > earlier) - (later < earlier) for i, earlier in enumerate(samples) for later in samples[i + 1 :]]
    score = abs(sum(pairs))
    if n > _EXACT_UP_TO:
        return math.erfc(score / math.sqrt(n * (n - 1) * (2 * n + 5) / 9))
    counts = _inversion_counts(n)
    as_steady = sum(count for inversions, count in enumerate(counts) if abs(len(pairs) - 2 * inversions) >= score)
    return as_steady / math.factorial(n)


def _coverages(n: int) -> Iterator[float]:
    """Yield the coverage between the smallest and largest of n samples, then between the second of each, and so on."""
    missed, ways = 0, 1
    for trimmed in range((n + 1) // 2):
        missed += ways
        yield 1 - 2 * missed / (1 << n)  # whole numbers up to here: 2ⁿ may be no float
        ways = ways * (n - trimmed) // (trimmed + 1)


def _binomial_sums(n: int, share: float) -> list[float]:
    """Return P(Binomial(n, share) <= k) for each k from 0 to n."""
    whole, yes, no = math.lgamma(n + 1), math.log(share), math.log(1 - share)
    logs = (whole - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * yes + (n - k) * no for k in range(n + 1))
    return list(accumulate(map(math.exp, logs)))


def _inversion_counts(n: int) -> list[int]:
    """Return how many orders of n things have 0, 1, 2, … pairs the wrong way round."""
    counts = [1]
    for length in range(2, n + 1):
        longer = [0] * (len(counts) + length - 1)
        for inversions, count in enumerate(counts):
            for more in range(length):
                longer[inversions + more] += count
        counts = longer
    return counts
