"""The summary page: every figure of a comparison in small, and a table of what ran."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mambakernels.errors import InvalidRequestError
from mambakernels.plots import accuracy, architectures, rates, ratios, roof, scaling
from mambakernels.plots.appearance import Appearance, appearances, shortened
from mambakernels.plots.captions import facts
from mambakernels.plots.frames import Name, checked, groups, largest_common, nothing, per_panel, rated, usual_threads
from mambakernels.plots.sheets import Surroundings, surround
from mambakernels.plots.style import PALETTES, SMALL, Palette, Theme, dress, entitle, remark

_A4_LANDSCAPE = (11.69, 8.27)
_MOST_CASES, _MOST_KERNELS = 4, 9
_DTYPES = ("float64", "float32")
_COLUMNS: Mapping[str, tuple[str, float]] = {  # of the table: heading and share of the width
    "kernel": ("kernel", 0.24),
    "blas": ("BLAS", 0.10),
    "blas_version": ("version", 0.12),
    "architecture": ("code path", 0.12),
    "threads": ("threads", 0.08),
    "lapack": ("LAPACK", 0.10),
    "numpy": ("NumPy", 0.08),
    "python": ("Python", 0.08),
    "wrong": ("wrong results", 0.08),
}
_READING = (
    "Medians with quartiles of the samples; ratios with their confidence intervals, hollow where there is no "
    "difference; crosses: wrong results; dashed: the limit. Each at one n: the largest that all kernels have."
)
_PANEL_INCHES = (3.1, 2.3)
_LETTERS = 190
_MISSING_LETTERS = 50

Drawing = Callable[[Axes], None]


def summary_page(
    frame: pd.DataFrame,
    pairs: pd.DataFrame | None = None,
    *,
    threads: pd.DataFrame | None = None,
    variants: pd.DataFrame | None = None,
    operation: str | None = None,
    theme: Theme = "light",
    peak: float | None = None,
) -> Figure:
    """Draw a page, A4 landscape: rates, ratios, thread scaling, roofline, accuracy and code paths of one operation.

    `frame` has the measurements, `pairs` the pairs that `mambakernels.bench.pairs` makes of it; `threads` and
    `variants` are measurements at several numbers of threads and of variants, by default `frame`. `operation` is by
    default gemm, or the first there is. A panel without measurements says what is missing. Needs the columns of
    `gflops_by_size`; raises `InvalidRequestError` if no measurement has a rate.
    """
    palette, rows = PALETTES[theme], usual_threads(rated(frame, figure="the summary"))
    scaled, varied = (frame if other is None else other for other in (threads, variants))
    known = appearances(pd.concat([rows, checked(scaled, ("kernel",), figure="thread scaling")], ignore_index=True))
    main, compared = _operation(rows, operation), pd.DataFrame() if pairs is None else pairs
    figure = Figure(
        figsize=_A4_LANDSCAPE, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05), facecolor=palette.paper
    )
    lines = min(rows["kernel"].nunique(), _MOST_KERNELS)
    grid = figure.add_gridspec(3, 3, height_ratios=(1, 1, 0.12 + 0.082 * (1 + lines)))
    drawings: Sequence[tuple[str, Drawing]] = (
        (f"{main}: rate", lambda axis: _rates(axis, _only(rows, main), known, palette, peak)),
        ("ratios", lambda axis: _ratios(axis, ratios.drawable(compared, frame), known, palette)),
        (f"{main}: threads", lambda axis: scaling.draw(axis, _case(scaling.drawable(scaled), main), known, palette)),
        ("roofline", lambda axis: _roofline(axis, roof.drawable(rows), known, palette, peak)),
        (f"{main}: accuracy", lambda axis: accuracy.draw(axis, _of(accuracy.drawable(rows), main), known, palette)),
        (f"{main}: code paths", lambda axis: _paths(axis, _case(architectures.drawable(varied), main), palette)),
    )
    for number, (title, draw) in enumerate(drawings):
        _panel(figure.add_subplot(grid[divmod(number, 3)]), title, draw, palette)
    _table(figure.add_subplot(grid[2, :]), rows, palette, lines=lines)
    handles = [one.handle(palette) for kernel, one in known.items() if kernel in set(rows["kernel"])]
    surround(figure, handles, Surroundings(handles, (facts(rows), _READING)).caption(_LETTERS), palette)
    return figure


def _panel(axis: Axes, title: str, draw: Drawing, palette: Palette) -> None:
    """Draw a panel, or say in its place what is missing."""
    try:
        draw(axis)
        entitle(axis, palette, title, axis.get_title("right"))
    except InvalidRequestError as missing:
        axis.clear()
        axis.axis("off")
        entitle(axis, palette, title)
        text = textwrap.fill(str(missing.what).replace("There is nothing to draw: ", "not drawn: "), _MISSING_LETTERS)
        axis.text(0, 0.95, text, transform=axis.transAxes, fontsize=SMALL, color=palette.muted, va="top")


def _operation(rows: pd.DataFrame, wanted: str | None) -> str:
    names = list(dict.fromkeys(rows["operation"]))
    preferred = [wanted] if wanted else ["gemm", *names]
    found = next((str(name) for name in preferred if name in names), None)
    if found is None:
        raise InvalidRequestError(
            f"There is nothing to draw: {wanted} was not measured.",
            next_step=f"Measured operations: {', '.join(names)}.",
        )
    return found


def _of(rows: pd.DataFrame, operation: str) -> pd.DataFrame:
    """Return the rows of one operation; InvalidRequestError if there are none."""
    mine = rows[rows["operation"] == operation]
    if mine.empty:
        raise nothing(f"{operation} was not measured for this", f"Measure {operation}.")
    return mine


def _only(rows: pd.DataFrame, operation: str) -> pd.DataFrame:
    """Return the rows of one operation and one dtype."""
    mine = _of(rows, operation)
    return mine[mine["dtype"] == _dtype(mine)]


def _case(rows: pd.DataFrame, operation: str) -> pd.DataFrame:
    """Return the rows of one operation, dtype and size."""
    return largest_common(_only(rows, operation))


def _dtype(rows: pd.DataFrame) -> str:
    present = {str(dtype) for dtype in rows["dtype"]}
    return next(dtype for dtype in (*_DTYPES, *sorted(present)) if dtype in present)


def _rates(
    axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette, peak: float | None
) -> None:
    by_threads = {key: known[key[0]] for key, _ in groups(rows, "kernel", "threads")}
    rates.draw(axis, rows, by_threads, palette, peak=peak)


def _ratios(axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette) -> None:
    first = usual_threads(rows[rows["reference"] == rows["reference"].iloc[0]])
    dtype = _dtype(first[first["operation"] == first["operation"].iloc[0]])
    cases = [largest_common(part) for part in per_panel(first[first["dtype"] == dtype], "operation")]
    shown = pd.concat(cases[:_MOST_CASES])
    names = [f"{operation}\n{size}" for operation, size in zip(shown["operation"], shown["size"], strict=True)]
    by_pair = {key: known.get(key[0], one) for key, one in ratios.appearances_of(shown).items()}
    ratios.draw(axis, shown.assign(case=names), by_pair, palette)
    entitle(axis, palette, "", dtype)


def _roofline(
    axis: Axes, rows: pd.DataFrame, known: Mapping[Name, Appearance], palette: Palette, peak: float | None
) -> None:
    roof.draw(axis, rows, known, palette, peak=peak, bandwidth=None, inches=_PANEL_INCHES)
    entitle(axis, palette, "roofline", str(rows["dtype"].iloc[0]))


def _paths(axis: Axes, rows: pd.DataFrame, palette: Palette) -> None:
    architectures.draw(axis, rows, appearances(rows), palette)


def _table(axis: Axes, rows: pd.DataFrame, palette: Palette, *, lines: int) -> None:
    """Write what ran, a line per kernel."""
    firsts = rows.drop_duplicates("kernel").set_index("kernel", drop=False)
    wrong = (~rows["correct"].astype(bool)).groupby(rows["kernel"]).sum()
    table = firsts.reindex(columns=[*_COLUMNS]).assign(wrong=wrong)
    dress(axis, palette, x="", y="")
    axis.axis("off")
    axis.set(xlim=(0, 1), ylim=(lines + 1.2, 0))
    left = 0.0
    for column, (heading, share) in _COLUMNS.items():
        axis.text(left, 0.6, heading, fontsize=SMALL, fontweight="bold", color=palette.ink, va="center")
        for number, value in enumerate(table[column].iloc[:lines]):
            axis.text(left, number + 1.6, _cell(value), fontsize=SMALL, color=palette.ink, va="center")
        left += share
    axis.axhline(1.1, color=palette.ink, linewidth=0.8)
    if len(table) > lines:
        remark(axis, palette, (1, 0.6), f"and {len(table) - lines} more", ha="right", va="center")


def _cell(value: object) -> str:
    return "-" if pd.isna(value) else shortened(str(value), 30)  # type: ignore[call-overload]
