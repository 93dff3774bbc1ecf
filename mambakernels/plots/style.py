"""Themes, colours that people can tell apart, and the parts that every panel is drawn with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

Theme = Literal["light", "dark"]

TITLE, LABEL, SMALL, TINY = 11, 9, 8, 7.5  # points
HATCHES = ("", "////", "\\\\\\\\", "....", "xxxx", "----", "++++", "oooo", "||||")
DASHES = (0, (6, 2))


@dataclass(frozen=True)
class Mark:
    """The colour of a BLAS in each theme, and its marker and hatch for people who cannot tell the colours apart.

    `hatch` is an index into `HATCHES`.
    """

    light: str
    dark: str
    marker: str
    hatch: int


@dataclass(frozen=True)
class Palette:
    """The colours of a theme, other than those of the libraries."""

    theme: Theme
    ink: str
    faint: str
    soft: str
    paper: str
    muted: str

    def color(self, mark: Mark) -> str:
        """Return a mark's colour on this paper."""
        return mark.light if self.theme == "light" else mark.dark


# The colours of the logos. Where one is too faint or too dark on its paper (contrast below 3), or closer to another
# than tests/plots/test_style.py allows for any eyes, the hue is kept and the lightness changed.
MARKS: Mapping[str, Mark] = {
    "mkl": Mark("#0072B2", "#0072B2", "o", 0),
    "openblas": Mark("#AA3B00", "#D55E00", "s", 1),
    "blis": Mark("#009E73", "#38B686", "^", 2),
    "netlib": Mark("#A56B95", "#E6A2CC", "D", 3),
    "accelerate": Mark("#A79400", "#F5D94A", "v", 4),
    "nvpl": Mark("#242F03", "#496F3D", "P", 5),
}
UNKNOWN = Mark("#4D4D4D", "#6E6E6E", "X", 6)

PALETTES: Mapping[Theme, Palette] = {
    "light": Palette("light", ink="#1f2328", faint="#d5d9df", soft="#eceef1", paper="#ffffff", muted="#59636e"),
    "dark": Palette("dark", ink="#e6edf3", faint="#3a424c", soft="#252c34", paper="#15191e", muted="#9aa5b1"),
}


def dress(axis: Axes, palette: Palette, *, x: str, y: str) -> None:
    """Give an axis its paper, its grid and its labels; a label includes the unit."""
    axis.set_facecolor(palette.paper)
    axis.set_axisbelow(True)
    axis.grid(visible=True, color=palette.faint, linewidth=0.6)
    axis.set_xlabel(x, fontsize=LABEL, color=palette.ink)
    axis.set_ylabel(y, fontsize=LABEL, color=palette.ink)
    axis.tick_params(which="both", colors=palette.ink, labelsize=SMALL, length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(palette.ink)


def entitle(axis: Axes, palette: Palette, title: str, note: str = "") -> None:
    """Write a panel's title above it, and in small letters at the right which case it shows."""
    axis.set_title(title, loc="left", fontsize=TITLE, fontweight="bold", color=palette.ink)
    axis.set_title(note, loc="right", fontsize=SMALL, color=palette.ink)


def remark(axis: Axes, palette: Palette, place: tuple[float, float], text: str, **how: object) -> None:
    """Write a few small, muted words into a panel, on paper that hides the grid behind them."""
    paper = {"facecolor": palette.paper, "edgecolor": "none", "pad": 1}
    chosen: dict[str, object] = {"fontsize": TINY, "color": palette.muted, "bbox": paper, "zorder": 2} | how
    axis.text(*place, text, **chosen)  # type: ignore[arg-type]


def shade_beyond(axis: Axes, palette: Palette, x: Sequence[float], y: Sequence[float], words: str) -> None:
    """Shade what lies beyond a limit, and write at its top left what it is: unlike a line, it never looks like data."""
    across, up = axis.get_xlim(), axis.get_ylim()
    axis.fill_between(x, y, up[1], color=palette.soft, linewidth=0, zorder=0.8, label="_beyond")
    axis.set(xlim=across, ylim=up)
    axis.annotate(words, (0, 1), xycoords="axes fraction", xytext=(4, -3), textcoords="offset points", ha="left",
                  va="top", fontsize=TINY, color=palette.muted, zorder=2,
                  bbox={"facecolor": palette.soft, "edgecolor": "none", "pad": 1})  # fmt: skip


def cross_out(axis: Axes, palette: Palette, x: Any, y: Any, *, zorder: float = 4) -> None:
    """Mark points as wrong results."""
    axis.plot(x, y, linestyle="", marker="x", color=palette.ink, markersize=10, zorder=zorder)


def label_plainly(axis: Axis, ticks: Sequence[float] | None = None) -> None:
    """Label the major ticks (these, if given) with plain numbers instead of powers, and leave out minor ticks."""
    if ticks is not None:
        axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def reach(middle: float, low: float, high: float) -> list[list[float]]:
    """Return how far an error bar reaches below and above its point; never less than nothing."""
    return [[max(middle - low, 0)], [max(high - middle, 0)]]
