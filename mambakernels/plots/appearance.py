"""The appearance of each kernel in all panels of a figure: its name in the legend, mark, line and hatch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mambakernels.plots.captions import in_threads
from mambakernels.plots.frames import Name, groups
from mambakernels.plots.style import HATCHES, MARKS, UNKNOWN, Mark, Palette

# Filled markers or hollow ones, and lines: two neighbours differ in both, as a single point has no line.
_STYLES = (
    (True, "-"), (False, "--"), (True, ":"), (False, "-."), (False, "-"), (True, "--"), (False, ":"), (True, "-."),
)  # fmt: skip
_MOST_LETTERS = 36


@dataclass(frozen=True)
class Appearance:
    """Label, mark, line and hatch of one kernel; markers are filled or hollow."""

    label: str
    mark: Mark
    line: str = "-"
    filled: bool = True
    hatch: str = ""

    def strokes(self, palette: Palette) -> dict[str, Any]:
        """Return how matplotlib draws its line and markers."""
        color = palette.color(self.mark)
        face, edge = (color, palette.paper) if self.filled else (palette.paper, color)
        return {
            "color": color, "linestyle": self.line, "linewidth": 1.8, "marker": self.mark.marker, "markersize": 6.5,
            "markerfacecolor": face, "markeredgecolor": edge, "markeredgewidth": 0.8 if self.filled else 1.3,
        }  # fmt: skip

    def handle(self, palette: Palette) -> Line2D:
        """Return its legend entry in a figure of lines."""
        return Line2D([], [], label=self.label, **self.strokes(palette))

    def patch(self, palette: Palette) -> Patch:
        """Return its legend entry in a figure of bars."""
        return Patch(facecolor=palette.color(self.mark), edgecolor=palette.paper, hatch=self.hatch, label=self.label)


def appearances(rows: pd.DataFrame, by: Sequence[str] = ("kernel",)) -> dict[Name, Appearance]:
    """Choose colour and marker by BLAS, and line and hatch so that kernels with the same BLAS differ.

    The keys are the values of the columns `by`: kernels, or pairs for `("kernel", "threads")`.
    """
    styles: defaultdict[Mark, Iterator[tuple[bool, str]]] = defaultdict(lambda: cycle(_STYLES))
    firsts = {key: group.iloc[0] for key, group in groups(rows, *by)}
    names = _names(firsts, several_threads=_several_threads(rows) if "threads" in by else frozenset())
    found: dict[Name, Appearance] = {}
    hatches = _free_hatches(list(firsts.values()))
    for key, first in firsts.items():
        mark = _mark_of(first)
        filled, line = next(styles[mark])
        found[key] = Appearance(names[key], mark, line, filled, next(hatches[mark]))
    return found


def _mark_of(row: Mapping[str, Any] | pd.Series[Any]) -> Mark:
    """Return the mark of the BLAS that a row was measured with."""
    blas = row["blas"]
    return UNKNOWN if pd.isna(blas) else MARKS.get(str(blas), UNKNOWN)


def shortened(name: str, most: int = _MOST_LETTERS) -> str:
    """Cut the middle out of a long name: the names of kernels differ at their ends."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[head + 1 - most :]}"


def _names(firsts: Mapping[Name, pd.Series[Any]], *, several_threads: frozenset[str]) -> dict[Name, str]:
    """Return the names for the legend; long ones are shortened unless two would then be the same."""
    short = {key: shortened(str(first["kernel"])) for key, first in firsts.items()}
    kernels = {str(first["kernel"]) for first in firsts.values()}
    unclear = len(set(short.values())) < len(kernels)
    versions = _versions_differ(list(firsts.values()))
    return {
        key: f"{first['kernel'] if unclear else short[key]}{_threads(first, several_threads)} "
        f"({_library(first, version=str(first['blas']) in versions)})"
        for key, first in firsts.items()
    }


def _threads(first: pd.Series[Any], several: frozenset[str]) -> str:
    if first["kernel"] not in several or pd.isna(first["threads"]):
        return ""
    return f", {in_threads(first['threads'])}"


def _several_threads(rows: pd.DataFrame) -> frozenset[str]:
    counts = rows.groupby("kernel")["threads"].nunique()
    return frozenset(counts[counts > 1].index)


def _versions_differ(firsts: Sequence[pd.Series[Any]]) -> set[str]:
    """Return the libraries that ran in several versions: the legend gives the versions of these only."""
    versions: defaultdict[str, set[str]] = defaultdict(set)
    for first in firsts:
        versions[str(first["blas"])].add(str(first["blas_version"]))
    return {blas for blas, known in versions.items() if len(known) > 1}


def _library(row: pd.Series[Any], *, version: bool) -> str:
    words = [row["blas"], row["blas_version"]] if version else [row["blas"]]
    name = " ".join(str(word) for word in words if not pd.isna(word)) or "unknown"
    return name if pd.isna(row["architecture"]) else f"{name}, {row['architecture']}"


def _free_hatches(firsts: Sequence[pd.Series[Any]]) -> dict[Mark, Iterator[str]]:
    """Return the hatches of each mark: first its own, then those that belong to no mark in this figure."""
    marks = list(dict.fromkeys(_mark_of(first) for first in firsts))
    owned = {HATCHES[mark.hatch] for mark in marks}
    spare = cycle([hatch for hatch in HATCHES if hatch not in owned] or HATCHES)
    return {mark: _first_then(HATCHES[mark.hatch], spare) for mark in marks}


def _first_then(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others
