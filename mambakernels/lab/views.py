"""The widgets of the panel that ipywidgets does not have: a table whose rows can be chosen, and what goes on.

They are anywidgets: one small file of JavaScript each, which travels with the notebook's messages, so that neither a
build, nor an extension of ours, nor a network is needed.
"""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

_HERE = Path(__file__).parent
_STYLE = (_HERE / "panel.css").read_text(encoding="utf-8")


class EnvironmentTable(anywidget.AnyWidget):
    """Environments, a row each; `selected` is the key of the chosen one. It sends `shown`, `hidden` and `look`.

    A change of `generation` makes the front end ask its server which kernels there are.
    """

    _esm = (_HERE / "table.js").read_text(encoding="utf-8")
    _css = _STYLE
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)
    counts = traitlets.Unicode().tag(sync=True)
    news = traitlets.Unicode().tag(sync=True)
    empty = traitlets.Unicode().tag(sync=True)
    generation = traitlets.Int().tag(sync=True)


class Activity(anywidget.AnyWidget):
    """What goes on: the lines of a status, its kind, the part that is done (-1: unknown), a line of Python, a log.

    It sends `cancel`, as long as it is `stoppable`.
    """

    _esm = (_HERE / "activity.js").read_text(encoding="utf-8")
    _css = _STYLE
    status = traitlets.List(traitlets.Unicode()).tag(sync=True)
    kind = traitlets.Enum(["idle", "working", "done", "error"], "idle").tag(sync=True)
    stoppable = traitlets.Bool().tag(sync=True)
    part = traitlets.Float(-1.0).tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)
    log = traitlets.List(traitlets.Unicode()).tag(sync=True)
