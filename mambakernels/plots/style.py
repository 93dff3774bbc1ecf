"""How everything is drawn: themes, colours that people can tell apart, and the dress of an axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.text import Text

Theme = Literal["light", "dark"]

TITLE, LABEL, SMALL, TINY = 11, 9, 8, 7.5  # points
HATCHES = ("", "////", "\\\\\\\\", "....", "xxxx", "----", "++++", "oooo", "||||")


@dataclass(frozen=True)
class Mark:
    """How one BLAS is drawn, always: a colour for each theme, and marker and hatch for those who cannot tell colours.

    `hatch` is the place in `HATCHES`.
    """

    light: str
    dark: str
    marker: str
    hatch: int


@dataclass(frozen=True)
class Palette:
    """The colours of a theme other than those of the libraries."""

    theme: Theme
    ink: str
    faint: str
    paper: str
    muted: str

    def color(self, mark: Mark) -> str:
        """Return a mark's colour on this paper."""
        return mark.light if self.theme == "light" else mark.dark


# Those of the logos, but where they would be too faint or too dark on this paper (contrast below 3), or less apart than
# tests/plots/test_style.py wants for any eyes: there hue stays and lightness moves.
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
    "light": Palette("light", ink="#1f2328", faint="#d5d9df", paper="#ffffff", muted="#59636e"),
    "dark": Palette("dark", ink="#e6edf3", faint="#3a424c", paper="#15191e", muted="#9aa5b1"),
}


def dress(axis: Axes, palette: Palette, *, x: str, y: str) -> None:
    """Give an axis its paper, grid and labels; units belong into the labels."""
    axis.set_facecolor(palette.paper)
    axis.set_axisbelow(True)
    axis.grid(visible=True, color=palette.faint, linewidth=0.6)
    axis.set_xlabel(x, fontsize=LABEL, color=palette.ink)
    axis.set_ylabel(y, fontsize=LABEL, color=palette.ink)
    axis.tick_params(which="both", colors=palette.ink, labelsize=SMALL, length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(palette.ink)


def entitle(axis: Axes, palette: Palette, title: str, note: str = "") -> None:
    """Write what a panel shows above it, and what is to be known of it at the right, in small."""
    axis.set_title(title, loc="left", fontsize=TITLE, fontweight="bold", color=palette.ink)
    axis.set_title(note, loc="right", fontsize=SMALL, color=palette.ink)


def write(axis: Axes, palette: Palette, place: tuple[float, float], text: str, **how: object) -> Text:
    """Write a small remark into a panel, on a bit of paper of its own."""
    chosen: dict[str, object] = {"fontsize": TINY, "color": palette.muted, "zorder": 5} | how
    return axis.text(*place, text, **chosen)  # type: ignore[arg-type]
