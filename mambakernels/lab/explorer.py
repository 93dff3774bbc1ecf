"""The explorer: kernels compared in a notebook, with figures that grow while rounds come in.

Everything is ipywidgets' own: the figures are HTML (`mambakernels.plots.hover`), so nothing else has to be installed,
loaded or kept up, and it works offline.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mambakernels
from mambakernels.errors import MambakernelsError
from mambakernels.kernels import KernelSpec
from mambakernels.lab.calls import BackgroundCall, Call, CallOutcome, lines_about
from mambakernels.numeric.operation import DTYPES
from mambakernels.numeric.operations import OPERATIONS
from mambakernels.paths import PathLike, Root
from mambakernels.progress import Event
from mambakernels.system.files import write_atomically

if TYPE_CHECKING:
    from mambakernels.bench.comparison import Comparison
    from mambakernels.bench.measured import Measured

_VIEW = "application/vnd.jupyter.widget-view+json"
_INSTEAD = """\
The explorer needs a notebook with widgets: JupyterLab, Jupyter Notebook or Voilà, and in the notebook's Python
    python -m pip install "mambakernels[lab]"
In a terminal, these two do the same:
    mambakernels bench --kernel np-mkl --kernel np-openblas --operations gemm --sizes 256,512 --save comparison.parquet
    mambakernels plot comparison.parquet"""
_MOST_CHOSEN = 4
_PROGRESS_SECONDS = 0.25
_USUAL = ("gemm", "solve", "svd")
_TABS = ("Rate", "Ratio", "Threads", "Roofline", "Accuracy")
_EMPTY = '<p class="mk-text">Choose kernels and operations, then Run. The figures grow while rounds come in.</p>'
_CSS = """
.jp-OutputArea:has(.mk-explorer) .mk-static { display: none; }
.mk-explorer { max-width: 1100px; color: var(--jp-content-font-color1); }
.mk-explorer .widget-tab > .widget-tab-contents { min-height: 420px; }
.mk-explorer .mk-kernels { display: grid; grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); }
.mk-explorer .mk-status { height: 2.8em; font-size: 14px; line-height: 1.4; overflow: hidden; }
.mk-explorer .mk-error { color: var(--jp-error-color1, #b00020); overflow: auto; }
.mk-explorer .mk-text { font-size: 14px; max-width: 70ch; }
.mk-explorer .mk-warning { font-weight: bold; color: var(--jp-error-color1, #b00020); }
.mk-explorer table { font-size: 13px; border-collapse: collapse; margin-bottom: 12px; }
.mk-explorer td, .mk-explorer th { padding: 2px 6px; border-bottom: 1px solid var(--jp-border-color2); line-height: 1.4;
  white-space: nowrap; }
.mk-explorer td:last-child, .mk-explorer th { white-space: normal; }
.mk-explorer .widget-tab > .widget-tab-contents { background: var(--jp-layout-color0); }
.mk-explorer caption { font-weight: bold; }
.mk-explorer .mk-said { font-size: 14px; max-width: 90ch; }
.mk-explorer :focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px; }
"""


def explorer(kernels: Sequence[str] = (), *, root: PathLike | None = None) -> None:
    """Show the explorer: choose kernels, operations, sizes, dtype and threads; *Run* compares them as `bench` does.

    `kernels` are chosen at first; without any, one of each BLAS. Figures come as rounds do, each with its numbers under
    the mouse; *Cancel* keeps what was measured. The last measurement is shown again when this is called again, and the
    notebook keeps its figures as an output of the cell.
    Without widgets it prints what to use instead.
    """
    shell = _shell()
    if shell is None or find_spec("ipywidgets") is None:
        print(_INSTEAD)  # noqa: T201 (there is no other place for it)
        return
    Explorer(Root.find(root), kernels).display()


def _shell() -> Any:
    """Return IPython's shell if it belongs to a kernel."""
    import sys

    ipython = sys.modules.get("IPython")  # not imported: if it is not loaded, nothing can be displayed
    shell = None if ipython is None else ipython.get_ipython()
    return shell if hasattr(shell, "kernel") else None


class Explorer:
    """The widgets of one explorer, and what it measured last."""

    def __init__(self, root: Root, chosen: Sequence[str]) -> None:
        import ipywidgets

        self._root = root
        self._file = _last_file(root)
        self._found: Comparison | None = None
        self._drawn: dict[str, Comparison] = {}
        self._job: BackgroundCall | None = None
        self._busy = self._stopping = False
        self._static: Any = None
        self._lock = threading.RLock()
        self._said_at = 0.0
        self._widgets = ipywidgets
        self._small = {"layout": ipywidgets.Layout(width="auto"), "style": {"description_width": "86px"}}
        self.style = ipywidgets.HTML(f"<style>{_CSS}</style>", layout={"display": "none"})
        self.kernels = ipywidgets.Box()
        self.kernels.add_class("mk-kernels")
        self.operations = self._field(
            ipywidgets.SelectMultiple, "Operations", options=list(OPERATIONS), value=_USUAL, rows=5,
            tooltip="Ctrl or Shift chooses several",
        )  # fmt: skip
        self.sizes = self._field(ipywidgets.Text, "Sizes", value="128,256,512", tooltip="128,256 or 64:1024:log2")
        self.dtype = self._field(ipywidgets.Dropdown, "dtype", options=DTYPES, value="float64")
        self.threads = self._field(
            ipywidgets.Text, "Threads", placeholder="as registered", tooltip="1,2: one process for each count"
        )
        self.seconds = self._field(
            ipywidgets.BoundedFloatText, "Seconds", value=30, min=1, max=86_400, tooltip="For the whole measurement"
        )
        self.run = self._button("Run", self._begin, "Measure the chosen kernels in turns", "primary")
        self.cancel = self._button("Cancel", self._stop, "Stop, and keep what was measured")
        self.cancel.disabled = True
        self.progress = ipywidgets.FloatProgress(
            max=1, layout={"width": "180px"}, tooltip="How much of the time has passed"
        )
        self.status = ipywidgets.HTML(layout={"flex": "1 1 0", "min_width": "0"})
        self.figures = [ipywidgets.HTML(_EMPTY) for _ in _TABS]
        self.tabs = ipywidgets.Tab(self.figures, titles=_TABS)
        self.tabs.observe(lambda _: self._draw(), "selected_index")
        self.tables = ipywidgets.HTML()
        self.exports = [
            self._button(name, lambda kind=kind: self._export(kind), what)
            for name, kind, what in (
                ("CSV", "csv", "Save the figures of all kernels as a table"),
                ("PNG", "png", "Save the picture of the chosen tab"),
                ("Notebook", "ipynb", "Save a notebook that measures and draws the same again"),
            )
        ]
        self.exported = ipywidgets.HTML()
        self.box = self._arranged()
        self._list_kernels(chosen)
        self._enable()

    def display(self) -> None:
        """Show it in the cell that runs now, and then what was measured last, if anything was."""
        from IPython.display import display

        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        show: Callable[..., Any] = display
        show({_VIEW: view, "text/plain": _INSTEAD}, raw=True)
        self._static = show({"text/plain": ""}, raw=True, display_id=True)
        threading.Thread(target=self._restore, daemon=True).start()  # pandas and matplotlib take a second to load

    # What is shown.

    def _arranged(self) -> Any:
        box = self._widgets
        row = {"flex": "1 1 0", "min_width": "0", "align_items": "stretch"}
        kernels = box.VBox(
            [box.HTML("<b>Kernels</b>"), box.VBox([self.kernels], layout={"max_height": "124px", "overflow": "auto"})],
            layout=row,
        )
        right = box.VBox([self.sizes, self.dtype, self.threads, self.seconds], layout=row)
        whole = box.VBox(
            [
                self.style,
                box.HBox([kernels, box.VBox([self.operations], layout=row), right]),
                box.HBox([self.run, self.cancel, self.progress, self.status], layout={"align_items": "center"}),
                self.tabs,
                box.HBox([box.HTML("<b>Export</b>"), *self.exports, self.exported], layout={"align_items": "center"}),
                self.tables,
            ]
        )
        whole.add_class("mk-explorer")
        return whole

    def _field(self, kind: Any, label: str, **options: Any) -> Any:
        if issubclass(kind, self._widgets.Text):
            options["continuous_update"] = False  # as in the panel's forms
        return kind(description=label, **self._small, **options)

    def _button(self, text: str, call: Any, tooltip: str, style: str = "") -> Any:
        button = self._widgets.Button(
            description=text, tooltip=tooltip, button_style=style, layout={"width": "auto", "flex": "0 0 auto"}
        )
        button.on_click(lambda _: call())
        return button

    def _list_kernels(self, chosen: Sequence[str]) -> None:
        """Offer the kernels that can measure, some of them chosen: by default one of each BLAS."""
        from ipywidgets.widgets.widget_bool import CheckboxStyle

        box = self._widgets
        specs = [spec for spec in mambakernels.kernels.list(root=self._root) if spec.working and _is_python(spec)]
        of_each = {spec.blas: spec.name for spec in reversed(specs) if spec.blas}.values()
        first = list(chosen) or list(of_each)[::-1][:_MOST_CHOSEN]
        specs.sort(key=lambda spec: first.index(spec.name) if spec.name in first else len(first))
        layout, style = box.Layout(width="auto", margin="0"), CheckboxStyle()  # one for all: each is a message
        self.kernels.children = [
            box.Checkbox(
                spec.name in first, description=spec.name, tooltip=spec.display_name, indent=False,
                layout=layout, style=style,
            )
            for spec in specs
        ]  # fmt: skip
        if not specs:
            self._say("There is no kernel to measure yet: mambakernels.lab.manager() makes some.", look="mk-error")

    def _say(self, text: str, *, look: str = "") -> None:
        role = "alert" if look else "status"
        self.status.value = f'<div class="mk-status {look}" role="{role}" title="{escape(text)}">{escape(text)}</div>'

    def _enable(self, *, stoppable: bool = True) -> None:
        """Let those buttons be pressed that make sense now."""
        self.run.disabled = self._busy
        self.cancel.disabled = not (self._busy and stoppable)
        for button in self.exports:
            button.disabled = self._found is None

    def _show(self, found: Comparison) -> None:
        """Show a comparison, or what there is of one; it can be exported from now on."""
        with self._lock:
            self._found = found
            self._draw()
        self._enable(stoppable=not self._stopping)

    def _draw(self, tab: str = "") -> None:
        """Draw a tab, by default the chosen one, unless it shows this comparison already."""
        from mambakernels.lab.shown_comparison import tab_html

        tab = tab or _TABS[self.tabs.selected_index or 0]
        with self._lock:
            if self._found is not None and self._drawn.get(tab) is not self._found:
                self.figures[_TABS.index(tab)].value = tab_html(self._found, tab)
                self._drawn[tab] = self._found

    def _conclude(self, found: Comparison, text: str, *, look: str = "") -> None:
        """Show a comparison that is over, and say so; the buttons are as the text says before it is there."""
        from mambakernels.lab.shown_comparison import tables_html

        self._show(found)
        self.tables.value = tables_html(found)
        self._say(text, look=look)

    def _complete(self, found: Comparison) -> None:
        """Draw what the notebook keeps, and the other tabs: it takes seconds, in which all else can be used."""
        from mambakernels.lab.shown_comparison import as_output

        output = None if self._static is None else as_output(found)
        if output is not None and self._found is found:
            self._static.update(output, raw=True)
        for tab in _TABS:
            self._draw(tab)

    # What it does.

    def _restore(self) -> None:
        """Show what was measured last."""
        from mambakernels.bench.comparison import evaluate
        from mambakernels.bench.measured import Measured
        from mambakernels.lab.shown_comparison import date_in_words
        from mambakernels.plots import hover

        self.style.value = f"<style>{_CSS}{hover.CSS}</style>"
        untouched = self._request()
        if not self._file.is_file():
            return
        self._say("Reading the last measurement …")
        try:
            measured = Measured.load(self._file)
        except MambakernelsError as error:
            self._say(f"The last measurement cannot be read: {error.what}", look="mk-error")
            return
        found = evaluate(measured)
        if not self._busy:
            if self._request() == untouched:
                self._choose(measured)
            self._conclude(found, f"Measured {date_in_words(measured.started)} on {measured.host}. Run measures again.")
            self._complete(found)

    def _choose(self, measured: Measured) -> None:
        """Choose what was measured, so that Run measures the same."""
        from mambakernels.bench.reproducing import request_of

        request = request_of(measured.settings)
        for box in self.kernels.children:
            box.value = box.description in request["kernels"]
        self.operations.value = [name for name in request["operations"] if name in OPERATIONS]
        self.sizes.value = ",".join(map(str, request["sizes"]))
        self.dtype.value = request["dtypes"][0]
        self.threads.value = ",".join(map(str, request.get("threads", ())))
        self.seconds.value = request["budget"]

    def _request(self) -> dict[str, Any]:
        """Return what is chosen, as the options of `mambakernels.bench`."""
        return {
            "kernels": [box.description for box in self.kernels.children if box.value],
            "operations": list(self.operations.value),
            "sizes": self.sizes.value,
            "dtypes": [self.dtype.value],
            "threads": self.threads.value,
            "budget": self.seconds.value,
        }

    def _begin(self) -> None:
        """Measure in a thread: this one has to answer the front end."""
        call = Call("bench", (), {**self._request(), "partial": self._arrive})
        self.progress.value = 0.0
        self._say("Starting …")
        self._busy, self._stopping = True, False
        self._enable()
        self._job = BackgroundCall(call, progress=self._report, ended=self._ended)

    def _stop(self) -> None:
        if self._job is not None:
            self._stopping = True
            self._enable(stoppable=False)
            self._say("Stopping …")
            self._job.stop()

    def _ended(self, outcome: CallOutcome) -> None:
        """Show what was measured, or why nothing was."""
        unkept = "" if outcome.value is None else self._keep(outcome.value)
        self._busy = False
        self._enable()  # first, as someone who reads that it is over presses the next button
        if outcome.error is not None:
            self._say(" ".join(lines_about(outcome.error)), look="mk-error")
        elif outcome.stopped:
            self._say("Stopped before anything was measured.")
        else:
            found: Comparison = outcome.value
            self._conclude(found, f"{_ending(found)}{unkept}", look="mk-error" if unkept else "")
            self._complete(found)

    def _keep(self, found: Comparison) -> str:
        """Keep a comparison for the next time; return what is to be said if that is impossible."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            found.measured.save(self._file)
        except (OSError, MambakernelsError) as error:
            return f" It cannot be kept for the next time: {error}"
        return ""

    def _report(self, event: Event) -> None:
        """Show progress, a few times a second: the front end runs on the cores that are measured."""
        now = time.monotonic()
        if self._stopping or now - self._said_at < _PROGRESS_SECONDS:
            return
        self._said_at = now
        self._say(event.detail if event.step in {"measuring", "wait", "note"} else f"{event.step} {event.detail}")
        if event.done is not None and event.total and event.step == "measuring":
            self.progress.value = event.done / event.total

    def _arrive(self, measured: Measured) -> None:
        """Show what was measured so far, once every operation is among it: more of them would change the layout."""
        from mambakernels.bench.comparison import evaluate

        wanted = {case.operation for case in measured.settings.cases}
        if measured.rounds > 1 or wanted <= set(measured.frame["operation"]):
            self._show(evaluate(measured))

    def _export(self, kind: str) -> None:
        """Write a file next to the notebook, and offer it as a download: a dashboard's readers have no other access."""
        with self._lock:
            found, tab = self._found, _TABS[self.tabs.selected_index or 0]
        if found is None:
            return
        self.exported.value = '<span role="status">Writing …</span>'  # the same file again is an answer, too
        try:
            name, content = _exported(found, kind, tab)
        except Exception as error:  # noqa: BLE001 (said next to the button, whatever it is)
            self.exported.value = f'<span class="mk-error" role="alert">{escape(" ".join(lines_about(error)))}</span>'
            return
        link = f'<a download="{name}" href="data:application/octet-stream;base64,{b64encode(content).decode()}">'
        try:
            write_atomically(Path(name), content)
            where = f"Saved {name} in {escape(str(Path.cwd()))} at {datetime.now().astimezone():%H:%M:%S}."
        except (OSError, MambakernelsError) as error:
            where = f"Not saved here ({escape(str(error))})."
        self.exported.value = f'<span role="status">{where} {link}Download {name}</a></span>'


def _exported(found: Comparison, kind: str, tab: str) -> tuple[str, bytes]:
    """Return a file's name and content."""
    from mambakernels.bench.reproducing import as_notebook
    from mambakernels.lab.shown_comparison import tab_png

    if kind == "csv":
        return "comparison.csv", found.table.to_csv(index=False).encode()
    if kind == "png":
        return f"{tab.lower()}.png", tab_png(found, tab)
    return "comparison-again.ipynb", as_notebook(found.measured).encode()


def _ending(found: Comparison) -> str:
    measured = found.measured
    rounds = f"{measured.rounds} round{'s' * (measured.rounds != 1)} in {measured.seconds:.0f} seconds"
    doubt = "" if found.ok else " Something is wrong: see below."
    trust = " The controls differ, so nothing is ranked." if found.controls.verdict == "differ" else ""
    return f"{'Cancelled after' if measured.interrupted else 'Done:'} {rounds}.{doubt}{trust}"


def _is_python(spec: KernelSpec) -> bool:
    return spec.language == "python"


def _last_file(root: Root) -> Path:
    """Return where this notebook's last measurement is kept; Jupyter's server names the notebook in a variable."""
    notebook = os.environ.get("JPY_SESSION_NAME") or str(Path.cwd())
    return root.explored / f"{hashlib.sha256(notebook.encode()).hexdigest()[:16]}.parquet"
