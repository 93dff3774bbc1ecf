"""Thread scaling against the ideal: speed-up and efficiency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mambakernels.plots import sheets
from mambakernels.plots.captions import caption, in_threads
from mambakernels.plots.frames import Name, checked, cores, groups, largest_common, nothing, panels
from mambakernels.plots.looks import Look, looks
from mambakernels.plots.sheets import Frame, SheetName
from mambakernels.plots.style import PALETTES, Palette, Theme, dress, entitle, write

READING = (
    "Speed-up: a kernel's time on the fewest threads over that on more, median; bars: quartiles of the samples. "
    "Efficiency: speed-up over the ideal, as many times faster as there are threads. Dotted: more threads than cores."
)

_NEEDED = ("kernel", "threads", "operation", "dtype", "size", "seconds")
_COLUMNS = 2


def thread_scaling(frame: pd.DataFrame, *, theme: Theme = "light", sheet: SheetName = "wide") -> Figure:
    """Draw speed-up and efficiency against threads: a row per operation and dtype (the largest n), a line per kernel.

    Each kernel is compared with itself on the fewest threads. Needs kernel, threads, operation, dtype, size and
    seconds; samples, cores and what names library and machine are used if they are there. Raises `InvalidRequestError`
    if no kernel ran with several numbers of threads.
    """
    rows, palette = usable(frame), PALETTES[theme]
    parts = [largest_common(part) for part in panels(rows, ("operation", "dtype"))]
    known = looks(rows)
    below = caption(rows, READING, letters=sheets.letters(sheet, 2 * len(parts), columns=_COLUMNS))
    around = Frame([look.handle(palette) for look in known.values()], below)
    figure, axes = sheets.panels(2 * len(parts), around, palette, sheet=sheet, columns=_COLUMNS)
    for number, part in enumerate(parts):
        draw_speedup(axes[2 * number], part, known, palette)
        draw_efficiency(axes[2 * number + 1], part, known, palette)
    return figure


def usable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of kernels that ran with several numbers of threads, controls left out."""
    whole = checked(frame, _NEEDED, figure="thread scaling")
    timed = whole[~whole["control"].astype(bool) & whole["threads"].notna() & (whole["seconds"] > 0)]
    by = [timed[name] for name in ("kernel", "operation", "dtype", "size")]
    several = timed.groupby(by)["threads"].transform("nunique") > 1
    if not several.any():
        raise nothing("no kernel ran with several numbers of threads", "Measure with several, such as --threads 1,2.")
    return timed[several]


def draw_speedup(axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Look], palette: Palette) -> None:
    """Draw speed-up against threads, with the ideal."""
    counts, least = _counts(rows)
    _draw(axis, rows, known, palette, per_thread=False)
    dress(axis, palette, x="threads", y=f"speed-up over {in_threads(least)}")
    ideal = [_ideal(count, least, cores(rows)) for count in counts]
    axis.plot(counts, ideal, color=palette.muted, linewidth=1.2, linestyle=(0, (6, 2)), zorder=1, label="_ideal")
    _scale(axis, rows, palette, title=True)
    axis.set_ylim(0, max(axis.get_ylim()[1], max(ideal) * 1.12))
    write(
        axis, palette, (counts[-1], ideal[-1]), "ideal", ha="right", va="bottom", fontstyle="italic",
    )  # fmt: skip


def draw_efficiency(axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Look], palette: Palette) -> None:
    """Draw efficiency against threads, with the ideal."""
    counts, _ = _counts(rows)
    _draw(axis, rows, known, palette, per_thread=True)
    dress(axis, palette, x="threads", y="efficiency (%)")
    axis.axhline(100, color=palette.muted, linewidth=1.2, linestyle=(0, (6, 2)), zorder=1, label="_ideal")
    _scale(axis, rows, palette, title=False)
    axis.set_ylim(0, max(axis.get_ylim()[1], 114))
    write(axis, palette, (counts[-1], 101), "ideal", ha="right", va="bottom", fontstyle="italic")


def speedups(rows: pd.DataFrame) -> pd.DataFrame:
    """Return, for one kernel, `threads`, and `speedup` over the fewest threads with the quartiles `low` and `high`."""
    times = {int(count): _times(group) for count, group in groups(rows, "threads")}
    least = min(times)
    base = float(np.median(times[least]))
    found = [
        (count, base / np.median(taken), base / np.quantile(taken, 0.75), base / np.quantile(taken, 0.25))
        for count, taken in sorted(times.items())
    ]
    return pd.DataFrame(found, columns=["threads", "speedup", "low", "high"])


def _draw(axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Look], palette: Palette, *, per_thread: bool) -> None:
    for kernel, mine in groups(rows, "kernel"):
        curve = speedups(mine)
        least = curve["threads"].min()
        ideal = [_ideal(count, least, cores(rows)) for count in curve["threads"]]
        scale = 100 / np.array(ideal) if per_thread else 1.0
        middle, low, high = (curve[name].to_numpy() * scale for name in ("speedup", "low", "high"))
        look = known[kernel]
        reach = [np.maximum(middle - low, 0), np.maximum(high - middle, 0)]
        axis.errorbar(curve["threads"], middle, yerr=reach, label=look.label, capsize=2, zorder=3, elinewidth=1,
                      **look.strokes(palette))  # fmt: skip


def _scale(axis: Axes, rows: pd.DataFrame, palette: Palette, *, title: bool) -> None:
    counts, _ = _counts(rows)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(FixedLocator(counts))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.margins(x=0.08)
    present = cores(rows)
    if present is not None and counts[-1] > present:
        axis.axvline(present, color=palette.muted, linewidth=1, linestyle=":", zorder=1)
    first = rows.iloc[0]
    entitle(axis, palette, str(first["operation"]) if title else "", f"{first['dtype']}, n = {first['size']}")


def _ideal(count: int, least: int, present: int | None) -> float:
    """Return the speed-up that is possible at best: no more than there are cores."""
    usable_now, usable_before = (min(number, present or number) for number in (count, least))
    return usable_now / usable_before


def _counts(rows: pd.DataFrame) -> tuple[Sequence[int], int]:
    counts = sorted(int(count) for count in rows["threads"].unique())
    return counts, counts[0]


def _times(group: pd.DataFrame) -> list[float]:
    """Return the seconds of all raw samples; the medians where samples were not kept."""
    taken = [value for value in group.get("samples", pd.Series(dtype=object)) if np.ndim(value) > 0]
    kept = [float(seconds) for samples in taken for seconds in samples if seconds > 0]
    return kept or [float(seconds) for seconds in group["seconds"]]
