"""Frames to draw, and the visible parts of a figure: its texts, their places, and which of them overlap."""

from __future__ import annotations

import functools
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

DATA = pathlib.Path(__file__).parents[1] / "data" / "measured"
LIBRARIES: Mapping[str, tuple[str, str | None, str | None]] = {
    "np-openblas": ("openblas", "0.3.31", "SkylakeX"),
    "np-mkl": ("mkl", "2026.2", "avx512"),
    "np-blis": ("blis", "0.9.0", "haswell"),
    "np-netlib": ("netlib", None, None),
}
_FLOPS = {"gemm": 2.0, "solve": 2 / 3, "dot": 2.0, "gemv": 2.0}
_CUBIC = {"gemm", "solve"}
_TOUCH = 0.5  # pixels by which boxes may meet: letters do not fill theirs


def measured(
    kernels: Sequence[str] = tuple(LIBRARIES),
    operations: Sequence[str] = ("gemm", "gemv", "dot"),
    sizes: Sequence[int] = (64, 256, 512),
    *,
    threads: Sequence[int] = (1,),
    rounds: int = 2,
    **changed: Any,
) -> pd.DataFrame:
    """Return a frame as a comparison gives it; later kernels are slower, threads help by the root of their number."""
    cases = itertools.product(range(rounds), enumerate(kernels), operations, sizes, threads)
    return pd.DataFrame([_row(*case) | changed for case in cases]).astype({"threads": "Int64", "cores": "Int64"})


def compared(
    kernels: Sequence[str] = ("np-mkl", "np-blis", "np-netlib"),
    operations: Sequence[str] = ("gemm", "gemv"),
    sizes: Sequence[int] = (64, 256),
    **changed: Any,
) -> pd.DataFrame:
    """Return a frame as `mambakernels.bench.pairs` gives it."""
    ratios = (0.8, 1.01, 1.4, 12.0, 1.1, 1.2)
    outcomes = zip(ratios, ("faster", "equal", "slower", "slower", "undecided", "wrong"), strict=True)
    cases = zip(itertools.product(kernels, operations, sizes), itertools.cycle(outcomes), strict=False)
    rows = [
        {"kernel": kernel, "operation": operation, "size": size, "verdict": verdict, **_interval(ratio)}
        for (kernel, operation, size), (ratio, verdict) in cases
    ]
    always = {"reference": "np-openblas", "threads": 1, "dtype": "float64", "control": False, "margin": 0.03}
    return pd.DataFrame([row | always | changed for row in rows]).astype({"threads": "Int64"})


def _interval(ratio: float) -> dict[str, float]:
    return {"ratio": ratio, "low": ratio * 0.95, "high": ratio * 1.05}


def _row(turn: int, kernel: tuple[int, str], operation: str, size: int, threads: int) -> dict[str, Any]:
    number, name = kernel
    blas, version, path = LIBRARIES.get(name, ("unknown", None, None))
    power = 3 if operation in _CUBIC else 2
    flops, moved = _FLOPS[operation] * size**power, 24.0 * size**2
    seconds = flops / (40e9 if operation in _CUBIC else 2e9) * (1 + number) / threads**0.5 * (1 + 0.02 * turn)
    return {
        "kernel": name, "blas": blas, "blas_version": version, "architecture": path, "threads": threads, "cores": 2,
        "lapack": blas, "numpy": "2.4.0", "python": "3.12.1", "cpu": "A <Processor>", "system": "Linux 6",
        "operation": operation, "dtype": "float64", "size": size, "shape": json.dumps({"n": size}), "control": False,
        "flops": flops, "flops_nominal": False, "bytes": moved, "round": turn, "seconds": seconds,
        "samples": [seconds, seconds * 1.1, seconds * 1.2], "gflops": flops / seconds / 1e9,
        "residual": 1e-15 * (1 + number), "residual_bound": 1e-12, "correct": True,
    }  # fmt: skip


@functools.cache
def texts(figure: Figure) -> Sequence[Text]:
    """Return every visible text, after laying the figure out; a figure is laid out once, as that takes longest."""
    figure.draw_without_rendering()
    unseen = {text for axis in figure.axes for text in _unseen(axis)}
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text not in unseen]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def words(figure: Figure) -> str:
    """Return all that is written."""
    return "\n".join(text.get_text() for text in texts(figure))


def cut_off(figure: Figure) -> list[str]:
    """Return the texts that reach past the edge of the sheet."""
    edge = figure.bbox.padded(_TOUCH)
    return [text.get_text() for text in texts(figure) if not _within(_box(text), edge)]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts that lie on one another."""
    found = texts(figure)
    boxes = np.array([_box(text).extents for text in found]).reshape(-1, 4)
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    shared = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    meet = np.triu((shared > _TOUCH).all(axis=2), k=1)
    return [(found[one].get_text(), found[other].get_text()) for one, other in np.argwhere(meet)]


def crossed(figure: Figure) -> list[str]:
    """Return the texts in panels that lie on a line of the grid which nothing hides, or touch a line of reference."""
    return [
        text.get_text()
        for axis in figure.axes
        for text in axis.texts
        if text in texts(figure) and any(path.intersects_bbox(_box(text), filled=False) for path in _lines(axis, text))
    ]


def outside(figure: Figure) -> list[tuple[str, float, float]]:
    """Return the points of data and the ends of bars that lie beyond the ends of their axes, with the panel's title."""
    texts(figure)  # lays it out
    return [
        (axis.get_title("left"), float(x), float(y))
        for axis in figure.axes
        for x, y in _points(axis)
        if not axis.bbox.padded(_TOUCH).contains(*axis.transData.transform((x, y)))
    ]


def _lines(axis: Axes, text: Text) -> Iterator[Path]:
    """Yield the lines that a text must not touch, in pixels: across the whole panel, behind the text or not."""
    if text.get_bbox_patch() is None:
        for each in (axis.xaxis, axis.yaxis):
            yield from (_pixels(tick.gridline) for tick in each.get_major_ticks() if tick.gridline.get_visible())
    for line in axis.get_lines():
        drawn = _pixels(line)
        if line.get_marker() == "None" and np.isclose(drawn.get_extents().size, axis.bbox.size).any():
            yield drawn


def _pixels(line: Line2D) -> Path:
    return line.get_transform().transform_path(line.get_path())


def _points(axis: Axes) -> Iterator[tuple[float, float]]:
    """Yield each point that a line or a bar of data ends at."""
    for line in axis.get_lines():
        if line.get_transform() == axis.transData and line.get_marker() != "None":
            yield from np.asarray(line.get_xydata(), dtype=float)
    for collection in axis.collections:
        if isinstance(collection, LineCollection):
            yield from itertools.chain.from_iterable(collection.get_segments())
    for bar in axis.patches:
        if isinstance(bar, Rectangle) and bar.get_data_transform() == axis.transData:
            yield from bar.get_corners()


def _unseen(axis: Axes) -> Iterator[Text]:
    """Yield the texts of an axis that are not drawn: labels of ticks beyond its ends, or all if it is off."""
    for each, ends, place in ((axis.xaxis, axis.get_xlim(), 0), (axis.yaxis, axis.get_ylim(), 1)):
        low, high = sorted(ends)
        for tick in (*each.get_major_ticks(), *each.get_minor_ticks()):
            yield tick.label2
            if not axis.axison or not low <= tick.label1.get_position()[place] <= high:
                yield tick.label1
        if not axis.axison:
            yield each.label


@functools.cache
def _box(text: Text) -> Bbox:
    return Text.get_window_extent(text) if isinstance(text, Annotation) else text.get_window_extent()


def _within(inner: Bbox, outer: Bbox) -> bool:
    return bool(
        outer.x0 <= inner.x0 and outer.y0 <= inner.y0 and inner.x1 <= outer.x1 and inner.y1 <= outer.y1
    )  # fmt: skip


def forget() -> None:
    """Let go of the figures that were laid out."""
    texts.cache_clear()
    _box.cache_clear()
