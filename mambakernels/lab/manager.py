"""The panel of environments and kernels for a notebook, and what is said where no panel can be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mambakernels.lab.overview import Overview, look
from mambakernels.paths import PathLike, Root, storage_errors

if TYPE_CHECKING:
    from mambakernels.lab.panel import Panel

_INSTEAD = """\
In a terminal:  mambakernels list | create | register | remove | doctor
In Python:      mambakernels.list(), .create(…), .kernels.register(…), .remove(…), .doctor()"""
_NO_FRONT_END = "The panel needs a front end with widgets, such as JupyterLab, Notebook 7 or VS Code. Instead of it:"
_NO_WIDGETS = """\
The panel needs ipywidgets and anywidget. To install them:  python -m pip install "mambakernels[lab]"
Then restart the kernel and reload the page. Until then:"""


class Manager:
    """What `manager()` returns: a notebook shows its panel, everything else its text."""

    def __init__(self, panel: Panel | None, text: str) -> None:
        self.panel = panel
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the panel for front ends with widgets, and the text for the others."""
        shown: dict[str, Any] = {} if self.panel is None else self.panel.box._repr_mimebundle_(**options)
        return {**shown, "text/plain": self._text}


@storage_errors
def manager(root: PathLike | None = None) -> Manager:
    """Return a panel that shows the environments and kernels of a root, and makes, registers and removes them.

    A notebook displays it. It follows what other programs change, and shows the line of Python for all that it does.
    """
    place = Root.find(root)
    overview = look(place)
    try:
        from mambakernels.lab.panel import Panel
    except ImportError:
        return Manager(None, f"{_in_words(overview, place)}\n{_NO_WIDGETS}\n{_INSTEAD}")
    return Manager(Panel(place, overview, given=root), f"{_in_words(overview, place)}\n{_NO_FRONT_END}\n{_INSTEAD}")


def _in_words(overview: Overview, root: Root) -> str:
    names = ", ".join(entry.name for entry in overview.entries.values()) or "none yet"
    return f"Environments in {root.path}: {names}."
