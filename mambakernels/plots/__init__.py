"""Pictures of a frame of measurements: DataFrame → Figure, without any of pyplot's global state."""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullLocator

from mambakernels.errors import InvalidRequestError

Theme = Literal["light", "dark"]
SheetName = Literal["wide", "narrow"]

_Name = Hashable


@dataclass(frozen=True)
class Mark:
    """How one BLAS is drawn, always: a colour for each theme, and a marker for those who cannot tell colours."""

    light: str
    dark: str
    marker: str


@dataclass(frozen=True)
class _Look:
    """One kernel in every panel: its name in the legend, its mark, and its kind of line."""

    label: str
    mark: Mark
    line: str


@dataclass(frozen=True)
class _Sheet:
    """How the panels are laid out: most in a row, least width, room for legend and caption, and their widths."""

    columns: int
    inches: float
    margin_inches: float
    legend_columns: int
    caption_characters: int


@dataclass(frozen=True)
class _Curve:
    """One kernel in one panel: a row per size."""

    look: _Look
    points: pd.DataFrame


# Okabe and Ito's colours, which people with any colour vision can tell apart; the dark theme's are lighter.
MARKS: Mapping[str, Mark] = {
    "mkl": Mark("#0072B2", "#56B4E9", "o"),
    "openblas": Mark("#D55E00", "#FF9340", "s"),
    "blis": Mark("#009E73", "#2FD6A8", "^"),
    "netlib": Mark("#A0568A", "#E6A2CC", "D"),
    "accelerate": Mark("#B38600", "#F0C842", "v"),
    "nvpl": Mark("#5E7F00", "#B4DB4D", "P"),
}
UNKNOWN = Mark("#666666", "#B5B5B5", "X")

_LINES = ("-", "--", ":", "-.")
_INK: Mapping[Theme, str] = {"light": "#1f2328", "dark": "#e6edf3"}
_FAINT: Mapping[Theme, str] = {"light": "#d5d9df", "dark": "#3a424c"}
_PAPER: Mapping[Theme, str] = {"light": "#ffffff", "dark": "#15191e"}
_PANEL_INCHES = (3.5, 2.75)
_NOTES = {"nominal": "flops_nominal", "control": "control"}  # word in a panel's corner: the column that says so
_SHEETS: Mapping[SheetName, _Sheet] = {
    "wide": _Sheet(columns=3, inches=7.0, margin_inches=1.1, legend_columns=2, caption_characters=120),
    "narrow": _Sheet(columns=1, inches=4.2, margin_inches=1.6, legend_columns=1, caption_characters=68),
}
_PAD_INCHES = 0.09
_MOST_TICKS = 6
_COLORS = 256


def gflops_by_size(frame: pd.DataFrame, *, theme: Theme = "light", sheet: SheetName = "wide") -> Figure:
    """Draw GFLOP/s against n: a panel per operation and dtype, a line per kernel, coloured by its BLAS.

    Points are medians, bands reach from the lower to the upper quartile of the raw samples, and crosses mark wrong
    results. Operations whose flops are not known have no rate and no panel. A narrow sheet, for a telephone, has the
    panels below one another. Raises `InvalidRequestError` if nothing is left to draw.
    """
    rated = frame[frame["gflops"].notna()]
    if rated.empty:
        raise InvalidRequestError(
            "There is nothing to draw: no measurement has a rate.", next_step="Measure an operation such as gemm."
        )
    panels = [points for _, points in rated.groupby(["operation", "dtype"], sort=False)]
    looks = _looks(rated)
    layout = _SHEETS[sheet]
    figure, axes = _grid(len(panels), layout, theme)
    for axis, points in zip(axes, panels, strict=True):
        for curve in _curves(points, looks):
            _draw(axis, curve, theme)
        _label(axis, points, theme)
    _add_legend(figure, axes, layout.legend_columns, theme)
    caption = "\n".join(textwrap.fill(line, layout.caption_characters) for line in _caption(rated))
    figure.supxlabel(caption, fontsize=7.5, color=_INK[theme])
    return figure


def png(figure: Figure, *, dpi: int = 144) -> bytes:
    """Return the figure as a PNG file with a palette: a third of the size, and no difference to the eye."""
    from PIL import Image

    drawn, compact = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    with Image.open(drawn) as picture:
        few = picture.convert("RGB").quantize(_COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(compact, format="png", optimize=True, dpi=(dpi, dpi))
    return compact.getvalue()


def _grid(count: int, sheet: _Sheet, theme: Theme) -> tuple[Figure, list[Axes]]:
    columns = min(sheet.columns, count)
    rows = math.ceil(count / columns)
    size = (max(columns * _PANEL_INCHES[0], sheet.inches), rows * _PANEL_INCHES[1] + sheet.margin_inches)
    layout = ConstrainedLayoutEngine(w_pad=_PAD_INCHES, h_pad=_PAD_INCHES)
    figure = Figure(figsize=size, layout=layout, facecolor=_PAPER[theme])
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def _looks(rated: pd.DataFrame) -> dict[_Name, _Look]:
    """Choose colour and marker by BLAS; kernels that share one differ by the line."""
    lines: defaultdict[Mark, Iterator[str]] = defaultdict(lambda: cycle(_LINES))
    several = rated.groupby("kernel")["threads"].nunique().gt(1)
    looks: dict[_Name, _Look] = {}
    for name, points in rated.groupby(["kernel", "threads"], sort=False, dropna=False):
        first = points.iloc[0]
        mark = MARKS.get(first["blas"], UNKNOWN)
        threads = f", {first['threads']} threads" if several[first["kernel"]] else ""
        looks[name] = _Look(f"{first['kernel']}{threads} ({_library(first)})", mark, next(lines[mark]))
    return looks


def _library(row: pd.Series[Any]) -> str:
    words = [row["blas"], row["blas_version"]]
    name = " ".join(str(word) for word in words if not pd.isna(word))
    return name if pd.isna(row["architecture"]) else f"{name}, {row['architecture']}"


def _curves(points: pd.DataFrame, looks: Mapping[_Name, _Look]) -> Iterator[_Curve]:
    for name, mine in points.groupby(["kernel", "threads"], sort=False, dropna=False):
        rows = [_point(group) for _, group in mine.groupby("size")]
        yield _Curve(looks[name], pd.DataFrame(rows))


def _point(group: pd.DataFrame) -> dict[str, float]:
    """Put what one kernel measured at one size into a row: median, quartiles (GFLOP/s) and whether it is right."""
    each = group[["samples", "flops"]].explode("samples")
    rates = each["flops"] / each["samples"].astype(float) / 1e9
    return {
        "size": int(group["size"].iloc[0]),
        "rate": float(group["gflops"].median()),
        "low": float(rates.quantile(0.25)),
        "high": float(rates.quantile(0.75)),
        "correct": bool(group["correct"].all()),
    }


def _draw(axis: Axes, curve: _Curve, theme: Theme) -> None:
    look, points = curve.look, curve.points
    color = look.mark.light if theme == "light" else look.mark.dark
    axis.fill_between(points["size"], points["low"], points["high"], color=color, alpha=0.18, linewidth=0)
    axis.plot(
        points["size"], points["rate"], look.line, color=color, marker=look.mark.marker, label=look.label,
        markersize=6.5, linewidth=1.8, zorder=3, markeredgecolor=_PAPER[theme], markeredgewidth=0.8,
    )  # fmt: skip
    wrong = points[~points["correct"]]
    axis.plot(wrong["size"], wrong["rate"], linestyle="", marker="x", color=_INK[theme], markersize=10, zorder=4)


def _label(axis: Axes, points: pd.DataFrame, theme: Theme) -> None:
    first = points.iloc[0]
    notes = [str(first["dtype"]), *(word for word, column in _NOTES.items() if points[column].any())]
    axis.set_title(f"{first['operation']}", loc="left", fontsize=11, fontweight="bold", color=_INK[theme])
    axis.set_title(", ".join(notes), loc="right", fontsize=8, color=_INK[theme])
    axis.set_xscale("log", base=2)
    axis.set_xticks(_ticks(sorted(points["size"].unique())))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.margins(x=0.08)
    axis.set_ylim(bottom=0, top=axis.get_ylim()[1] * 1.05)
    axis.set_xlabel("n", fontsize=9, color=_INK[theme])
    axis.set_ylabel("GFLOP/s", fontsize=9, color=_INK[theme])
    axis.set_facecolor(_PAPER[theme])
    axis.grid(visible=True, color=_FAINT[theme], linewidth=0.6)
    axis.tick_params(colors=_INK[theme], labelsize=8, length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(_INK[theme])


def _ticks(sizes: Sequence[int]) -> list[int]:
    """Choose sizes that were measured, evenly spread if they are many."""
    step = math.ceil(len(sizes) / _MOST_TICKS)
    return [int(size) for size in sizes[::-1][::step]]


def _add_legend(figure: Figure, axes: Sequence[Axes], columns: int, theme: Theme) -> None:
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(
        found.values(), found.keys(), loc="outside upper left", ncols=columns, frameon=False, fontsize=9,
        labelcolor=_INK[theme], handlelength=3,
    )  # fmt: skip


def _caption(rated: pd.DataFrame) -> tuple[str, str]:
    facts = (
        _all_of(rated["cpu"], "{}"),
        _all_of(rated["threads"], "threads: {}"),
        _all_of(rated["numpy"], "NumPy {}"),
        _all_of(rated["python"], "Python {}"),
    )
    reading = "More is better. Points: medians; bands: quartiles of the samples; crosses: wrong results."
    return " · ".join(fact for fact in facts if fact), reading


def _all_of(column: pd.Series[Any], form: str) -> str:
    values = [str(value) for value in column.dropna().unique()]
    return form.format(", ".join(values)) if values else ""
