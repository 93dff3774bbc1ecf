"""Thread scaling: speed-up and efficiency against the number of threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mambakernels.bench.summaries import pool
from mambakernels.plots import sheets
from mambakernels.plots.appearance import Appearance, appearances
from mambakernels.plots.captions import caption, in_threads
from mambakernels.plots.frames import (
    Name,
    checked,
    cores,
    groups,
    largest_common,
    nothing,
    per_panel,
    raw_samples,
)
from mambakernels.plots.hover import hint
from mambakernels.plots.sheets import SheetName, Surroundings
from mambakernels.plots.style import PALETTES, Palette, Theme, dress, entitle, label_plainly, shade_beyond

_READING = (
    "Speed-up: a kernel's time on the fewest threads over its time on more; bars: quartiles of the samples. "
    "Efficiency: speed-up over the ideal, as many times faster as there are threads, up to the number of cores. Grey: "
    "more than the ideal."
)
_NEEDED = ("kernel", "threads", "operation", "dtype", "size", "seconds")
_COLUMNS = 2
_ROOM_ABOVE = 1.12
_IDEAL = "more than the ideal"


def thread_scaling(frame: pd.DataFrame, *, theme: Theme = "light", sheet: SheetName = "wide") -> Figure:
    """Draw speed-up and efficiency against threads: a row per operation and dtype (the largest n), a line per kernel.

    Each kernel is compared with itself on the fewest threads. Needs kernel, threads, operation, dtype, size and
    seconds; samples, cores and the columns of the caption are used if present. Raises `InvalidRequestError` if no
    kernel ran with several numbers of threads.
    """
    rows, palette = drawable(frame), PALETTES[theme]
    parts = [largest_common(part) for part in per_panel(rows, "operation", "dtype")]
    known = appearances(rows)
    around = Surroundings([one.handle(palette) for one in known.values()], caption(frame, rows, _READING))
    figure, axes = sheets.lay_out(2 * len(parts), around, palette, sheet=sheet, columns=_COLUMNS)
    for number, part in enumerate(parts):
        draw(axes[2 * number], part, known, palette)
        _draw_efficiency(axes[2 * number + 1], part, known, palette)
    return figure


def drawable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of kernels that ran with several numbers of threads, without the controls."""
    whole = checked(frame, _NEEDED, figure="thread scaling")
    timed = whole[~whole["control"].astype(bool) & whole["threads"].notna() & (whole["seconds"] > 0)]
    by = [timed[name] for name in ("kernel", "operation", "dtype", "size")]
    scaled = timed.groupby(by)["threads"].transform("nunique") > 1
    if not scaled.any():
        raise nothing("no kernel ran with several numbers of threads", "Measure with several, such as --threads 1,2.")
    return timed[scaled]


def draw(axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette) -> None:
    """Draw the speed-up of one operation against threads, with the ideal."""
    counts = _counts(rows)
    _curves(axis, rows, known, palette, per_thread=False)
    dress(axis, palette, x="threads", y=f"speed-up over {in_threads(counts[0])}")
    ideal = [_ideal(count, counts[0], cores(rows)) for count in counts]
    _scale(axis, rows, palette, title=str(rows["operation"].iloc[0]))
    axis.set_ylim(0, max(axis.get_ylim()[1], *ideal) * _ROOM_ABOVE)
    left, right = axis.get_xlim()
    shade_beyond(axis, palette, [left, *counts, right], [ideal[0], *ideal, ideal[-1]], _IDEAL)


def _draw_efficiency(axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette) -> None:
    _curves(axis, rows, known, palette, per_thread=True)
    dress(axis, palette, x="threads", y="efficiency (%)")
    _scale(axis, rows, palette, title="")
    axis.set_ylim(0, max(axis.get_ylim()[1], 100) * _ROOM_ABOVE)
    shade_beyond(axis, palette, axis.get_xlim(), [100, 100], _IDEAL)


def _curves(
    axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette, *, per_thread: bool
) -> None:
    for kernel, mine in groups(rows, "kernel"):
        curve = _speedups(mine)
        ideal = [_ideal(count, curve["threads"].min(), cores(rows)) for count in curve["threads"]]
        scale = 100 / np.array(ideal) if per_thread else 1.0
        middle, low, high = (curve[name].to_numpy() * scale for name in ("speedup", "low", "high"))
        bars = [np.maximum(middle - low, 0), np.maximum(high - middle, 0)]
        what = "{:.0f} % of the ideal ({:.0f} to {:.0f})" if per_thread else "{:.2f} times as fast ({:.2f} to {:.2f})"
        for count, *figures in zip(curve["threads"], middle, low, high, strict=True):
            hint(axis, count, figures[0], f"{known[kernel].label}, {in_threads(count)}: {what.format(*figures)}")
        axis.errorbar(curve["threads"], middle, yerr=bars, label=known[kernel].label, capsize=2, zorder=3, elinewidth=1,
                      **known[kernel].strokes(palette))  # fmt: skip


def _speedups(rows: pd.DataFrame) -> pd.DataFrame:
    """Return, for one kernel, `threads`, and `speedup` over the fewest threads with the quartiles `low` and `high`."""
    times = {int(count): _times(group) for count, group in groups(rows, "threads")}
    base = times[min(times)][0]
    found = [
        (
            count,
            base / seconds,
            base / np.quantile([seconds, *taken], 0.75),
            base / np.quantile([seconds, *taken], 0.25),
        )
        for count, (seconds, taken) in sorted(times.items())
    ]
    return pd.DataFrame(found, columns=["threads", "speedup", "low", "high"])


def _scale(axis: Axes, rows: pd.DataFrame, palette: Palette, *, title: str) -> None:
    axis.set_xscale("log", base=2)
    label_plainly(axis.xaxis, _counts(rows))
    axis.margins(x=0.08)
    first = rows.iloc[0]
    entitle(axis, palette, title, f"{first['dtype']}, n = {first['size']}")


def _ideal(count: int, least: int, present: int | None) -> float:
    """Return the highest possible speed-up: no more than there are cores."""
    now, before = (min(number, present or number) for number in (count, least))
    return now / before


def _counts(rows: pd.DataFrame) -> Sequence[int]:
    return sorted(int(count) for count in rows["threads"].unique())


def _times(group: pd.DataFrame) -> tuple[float, list[float]]:
    """Return the estimate of rows that measured the same, and the seconds of the samples that it is made of."""
    return pool(group).seconds, [seconds for taken in raw_samples(group) for seconds in taken]
