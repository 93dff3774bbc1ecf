"""The summary page: every figure of a comparison in small, and a table of what ran."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mambakernels.errors import InvalidRequestError
from mambakernels.plots import accuracy, architectures, rates, ratios, roof, scaling
from mambakernels.plots.appearance import Appearance, appearances, shortened
from mambakernels.plots.captions import caption
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
    "Estimates with quartiles of the samples; ratios with their confidence intervals, hollow where there is no "
    "difference; crosses: wrong results; grey: beyond a limit. Each at one n: the largest that all kernels have."
)
_PANEL_INCHES = (3.1, 2.3)
_LETTERS = 190

_COLUMNS_OF = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}  # panels in a row, by their number

Drawing = Callable[[Axes], None]
Looks = Mapping[Name, Appearance]


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
    default gemm, or the first there is. Panels that cannot be drawn are left out. Needs the columns of
    `gflops_by_size`; raises `InvalidRequestError` if no measurement has a rate.
    """
    palette, rows = PALETTES[theme], usual_threads(rated(frame, figure="the summary"))
    scaled, varied = (frame if other is None else other for other in (threads, variants))
    known = appearances(pd.concat([rows, checked(scaled, ("kernel",), figure="thread scaling")], ignore_index=True))
    main, compared = _operation(rows, operation), pd.DataFrame() if pairs is None else pairs
    panels: Mapping[str, Callable[[], Drawing]] = {
        f"{main}: rate": lambda: _rates(_only(rows, main), known, palette, peak),
        "ratios": lambda: _ratios(ratios.drawable(compared, frame), known, palette),
        f"{main}: threads": lambda: _threads(_case(scaling.drawable(scaled), main), known, palette),
        "roofline": lambda: _roofline(roof.drawable(rows), known, palette, peak),
        f"{main}: accuracy": lambda: _accuracy(_of(accuracy.drawable(rows), main), known, palette),
        f"{main}: code paths": lambda: _paths(_case(architectures.drawable(varied), main), palette),
    }
    drawings, left_out = _possible(panels)
    columns = _COLUMNS_OF[len(drawings)]
    lines, down = min(rows["kernel"].nunique(), _MOST_KERNELS), math.ceil(len(drawings) / columns)
    figure = Figure(
        figsize=_A4_LANDSCAPE, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.05), facecolor=palette.paper
    )
    grid = figure.add_gridspec(down + 1, columns, height_ratios=(*([2 / down] * down), 0.12 + 0.082 * (1 + lines)))
    for number, (title, draw) in enumerate(drawings.items()):
        axis = figure.add_subplot(grid[divmod(number, columns)])
        draw(axis)
        entitle(axis, palette, title, axis.get_title("right"))
    _table(figure.add_subplot(grid[-1, :]), rows, palette, lines=lines)
    handles = [one.handle(palette) for kernel, one in known.items() if kernel in set(rows["kernel"])]
    paragraphs = caption(frame, rows, " ".join([_READING, *left_out]))
    surround(figure, handles, Surroundings(handles, paragraphs).caption(_LETTERS), palette)
    return figure


def _possible(panels: Mapping[str, Callable[[], Drawing]]) -> tuple[dict[str, Drawing], list[str]]:
    """Return the panels that can be drawn, and a sentence for each reason why others cannot."""
    drawings: dict[str, Drawing] = {}
    reasons: dict[str, list[str]] = {}
    for title, prepare in panels.items():
        try:
            drawings[title] = prepare()
        except InvalidRequestError as error:
            reasons.setdefault(error.what.replace("There is nothing to draw: ", ""), []).append(
                title.rpartition(": ")[2]
            )
    return drawings, [f"Without {', '.join(titles)}: {reason}" for reason, titles in reasons.items()]


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


def _rates(rows: pd.DataFrame, known: Looks, palette: Palette, peak: float | None) -> Drawing:
    by_threads = {key: known[key[0]] for key, _ in groups(rows, "kernel", "threads")}
    return lambda axis: rates.draw(axis, rows, by_threads, palette, peak=peak)


def _ratios(rows: pd.DataFrame, known: Looks, palette: Palette) -> Drawing:
    first = usual_threads(rows[rows["reference"] == rows["reference"].iloc[0]])
    dtype = _dtype(first[first["operation"] == first["operation"].iloc[0]])
    cases = [largest_common(part) for part in per_panel(first[first["dtype"] == dtype], "operation")]
    shown = pd.concat(cases[:_MOST_CASES])
    names = [f"{operation}\n{size}" for operation, size in zip(shown["operation"], shown["size"], strict=True)]
    by_pair = {key: known.get(key[0], one) for key, one in ratios.appearances_of(shown).items()}

    def draw(axis: Axes) -> None:
        ratios.draw(axis, shown.assign(case=names), by_pair, palette)
        entitle(axis, palette, "", dtype)

    return draw


def _threads(rows: pd.DataFrame, known: Looks, palette: Palette) -> Drawing:
    return lambda axis: scaling.draw(axis, rows, known, palette)


def _roofline(rows: pd.DataFrame, known: Looks, palette: Palette, peak: float | None) -> Drawing:
    limits = roof.roof_of(rows, peak)

    def draw(axis: Axes) -> None:
        roof.draw(axis, rows, known, palette, roof=limits, inches=_PANEL_INCHES)
        entitle(axis, palette, "", str(rows["dtype"].iloc[0]))

    return draw


def _accuracy(rows: pd.DataFrame, known: Looks, palette: Palette) -> Drawing:
    return lambda axis: accuracy.draw(axis, rows, known, palette)


def _paths(rows: pd.DataFrame, palette: Palette) -> Drawing:
    return lambda axis: architectures.draw(axis, rows, appearances(rows), palette)


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
