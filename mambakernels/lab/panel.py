"""The panel: the table, the forms, and what goes on; it looks again when something else has changed what it shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets

import mambakernels
from mambakernels import errors
from mambakernels.lab import overview as overviews
from mambakernels.lab.calls import BackgroundCall, Call, CallOutcome, lines_about
from mambakernels.lab.forms import Action, CreateForm, FindingsForm, KernelsForm, RemoveForm, findings_in_words
from mambakernels.lab.overview import ListedEnvironment, Overview
from mambakernels.lab.views import Activity, EnvironmentTable
from mambakernels.numeric.rules import Finding
from mambakernels.paths import DiskUsage, PathLike, Root
from mambakernels.progress import Event, Lines, event_in_words
from mambakernels.system.quantities import amount, duration_in_words, size

if TYPE_CHECKING:
    from mambakernels.doctor import Examination

_LOOK_SECONDS = 1.0
_SHOW_SECONDS = 0.2  # between two changes of what a front end draws
_LOG_LINES = 200
_EMPTY = "There are no environments yet. Make one below: choose a preset and press Create."
_MOODS = {"ready": "good", "no kernel": "warning", "cannot start": "error", "is gone": "error"}


class Panel:
    """The widgets of `manager()`, and what they do. All work is done in threads; a lock keeps their state whole."""

    def __init__(self, root: Root, overview: Overview, *, given: PathLike | None = None) -> None:
        self.options: Mapping[str, Any] = {} if given is None else {"root": str(root.path)}
        self.table = EnvironmentTable(empty=_EMPTY)
        self.activity = Activity(status=["Nothing is going on."])
        self.forms = (CreateForm(self), KernelsForm(self), FindingsForm(self), RemoveForm(self))
        self.job: BackgroundCall | None = None
        self._root = root
        self._overview = overview
        self._findings: Mapping[str, Sequence[Finding]] | None = None  # by the key of their environment
        self._sizes: dict[tuple[str, str], DiskUsage] = {}
        self._stamps: overviews.Stamps | None = None
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._views = 0
        self._watching = False
        self._drawn = 0.0
        self._new_line = Lines()
        self._pages = ipywidgets.Tab(
            children=[form.box for form in self.forms],
            titles=[form.title for form in self.forms],
            selected_index=0,
            layout={"height": "204px"},
        )
        self.box = ipywidgets.VBox([self.table, self._pages, self.activity]).add_class("mbk")
        if overview.entries:
            self.table.selected = next(iter(overview.entries))
        for field in (field for form in self.forms for field in form.fields):
            field.observe(lambda _: self.show_code(), "value")
        self.table.observe(lambda _: self._show(), "selected")
        self.table.on_msg(self._on_message)
        self.activity.on_msg(lambda *_: self.cancel())
        self._pages.observe(lambda _: self._turn(), "selected_index")
        self._show()
        self.show_code()

    # ------------------------------------------------------------------------------------------- what a user does

    def act(self, make: Callable[[], Action]) -> None:
        """Do what a form says, in a thread, unless something is going on."""
        with self._lock:
            if self.job is not None:
                return
            try:
                action = make()
            except errors.MambakernelsError as error:
                self._say("error", *lines_about(error))
                return
            self.activity.code = str(action.call)
            self._log(f">>> {action.call}")
            self._say("working", f"{action.doing}…")
            self._new_line = Lines()
            self.job = BackgroundCall(action.call, progress=self._report, ended=partial(self._ended, action))
            self._enable()

    def cancel(self) -> None:
        """Stop what goes on."""
        with self._lock:
            if self.job is not None:
                self.activity.stoppable = False
                self._say("working", "Stopping, and removing what is half-made…")
                self.job.stop()

    def look_again(self) -> None:
        """Read everything again, also what `doctor` finds and the sizes."""
        with self._lock:
            self._stamps = self._findings = None
            self._sizes.clear()
        self._wake.set()

    def show_code(self) -> None:
        """Show the line of Python of the page that is open, unless that of what goes on is shown."""
        with self._lock:
            if self.job is None:
                self.activity.code = self._code()

    def _turn(self) -> None:
        self._keep_order()
        self.show_code()

    def _keep_order(self) -> None:
        """Send something from every control.

        ipykernel 7.4 handles a control's messages in the subshell of what the control sent last, and the first ones in
        the main shell: a click was handled before what was typed until then.
        """
        for control in (control for form in self.forms for control in (*form.fields, *form.buttons)):
            control.send_state("disabled")

    def _code(self) -> str:
        try:
            return str(self.forms[self._pages.selected_index or 0].action().call)
        except errors.MambakernelsError as error:
            return " ".join(lines_about(error))

    # ----------------------------------------------------------------------------------------------- what goes on

    def _report(self, event: Event) -> None:
        text = event_in_words(event)
        with self._lock:
            if line := self._new_line(event):
                self._log(line)
            now = time.monotonic()
            if not self.activity.stoppable or now < self._drawn + _SHOW_SECONDS:
                return
            self._drawn = now
            self.activity.status = [self.activity.status[0], text]
            self.activity.part = min(1.0, (event.done or 0) / event.total) if event.total else -1.0

    def _ended(self, action: Action, outcome: CallOutcome) -> None:
        with self._lock:
            self.job = None
            took = f"({duration_in_words(outcome.seconds)})"
            if outcome.stopped:
                self._say("done", f"Cancelled; nothing half-made was left. {took}")
            elif outcome.error is not None:
                self._say("error", *lines_about(outcome.error))
            else:
                self._say("done", f"{action.done(outcome.value)} {took}")
            self._log("\n".join(self.activity.status))
            try:
                self._refresh()
            except errors.MambakernelsError as error:
                self.table.news = " ".join(lines_about(error))
            if action.call.function == "doctor" and outcome.value is not None:
                self._take(action.call, outcome.value)
            self._show()
            self.table.generation += 1
        self._wake.set()

    def _take(self, call: Call, examination: Examination) -> None:
        """Keep what an examination found; that of one environment takes the place of what was known of it."""
        found = self._overview.by_key(examination.findings)
        if not call.arguments:
            self._findings = found
        elif self._findings is not None:
            keys = [key for key, entry in self._overview.entries.items() if entry.name in call.arguments]
            self._findings = {**self._findings, **{key: found.get(key, []) for key in keys}}

    def _say(self, kind: str, *lines: str) -> None:
        self.activity.kind = kind
        self.activity.status = [*lines]
        self.activity.part = -1.0

    def _log(self, text: str) -> None:
        now = f"{datetime.now().astimezone():%H:%M:%S}"
        self.activity.log = [*self.activity.log, *(f"{now} {line}" for line in text.splitlines())][-_LOG_LINES:]

    def _enable(self) -> None:
        self.activity.stoppable = self.job is not None
        for form in self.forms:
            form.enable(idle=self.job is None)

    # ------------------------------------------------------------------------------------------- what others change

    def _on_message(self, _widget: Any, content: Mapping[str, str], _buffers: Any) -> None:
        """Watch as long as a front end shows the table; look again when asked to."""
        if content.get("kind") == "look":
            self.look_again()
        if content.get("kind") == "shown":
            self._keep_order()
        with self._lock:
            self._views += {"shown": 1, "hidden": -1}.get(content.get("kind", ""), 0)
            if self._views > 0 and not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="mambakernels.lab", daemon=True).start()
        self._wake.set()

    def _watch(self) -> None:
        while self._is_watched():
            try:
                self._follow()
                self._complete()
            except Exception as error:  # noqa: BLE001 (said in the panel; the next look may succeed)
                self.table.news = " ".join(lines_about(error))
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()

    def _is_watched(self) -> bool:
        with self._lock:
            self._watching = self._views > 0
            return self._watching

    def _follow(self) -> None:
        """Look again if something has changed, and say what."""
        found = overviews.stamps(self._root)
        with self._lock:
            if found == self._stamps:
                return
            begun = self._stamps is None
            self._stamps = found
            before = self._overview
            self._refresh()
            changes = self._overview.changes_since(before)
            if changes and self.job is None:
                self.table.news = f"Looked again at {datetime.now().astimezone():%H:%M:%S}: {'; '.join(changes)}."
                self.table.generation += 1
            elif begun:
                self.table.news = f"Looked at {datetime.now().astimezone():%H:%M:%S}"

    def _refresh(self) -> None:
        """Read environments and kernels."""
        before, self._overview = self._overview, overviews.look(self._root)
        if before != self._overview:
            self._findings = None
        if self.table.selected not in self._overview.entries:
            fresh = [key for key in self._overview.entries if key not in before.entries]
            self.table.selected = next(iter([*fresh, *self._overview.entries]), "")
        self._enable()
        self._show()

    def _complete(self) -> None:
        """Find out what takes longer: what `doctor` finds, and sizes."""
        if self._findings is None and self.job is None:
            overview = self._overview
            findings = mambakernels.doctor(root=self._root).findings
            with self._lock:
                if overview is self._overview:
                    self._findings = overview.by_key(findings)
                    self._show()
        shown = time.monotonic()
        for entry in list(self._overview.entries.values()):
            if self._views <= 0 or entry.environment is None or self._usage(entry) is not None:
                continue
            self._sizes[_identity(entry)] = entry.environment.disk_usage()
            if time.monotonic() > shown + _SHOW_SECONDS:
                self._show()
                shown = time.monotonic()
        self._show()

    # ---------------------------------------------------------------------------------------------- what is shown

    def _show(self) -> None:
        """Show what is known."""
        with self._lock:
            entries = self._overview.entries
            kernels = sum(len(entry.kernels) for entry in entries.values())
            self.table.counts = (
                f"{amount(len(entries), 'environment')}, {amount(kernels, 'kernel')} · {self._root.path}"
            )
            self.table.rows = [dict(self._row(key, entry)) for key, entry in entries.items()]
            chosen = self._chosen()
            found = self._findings
            findings = None if found is None else [*found.get(self.table.selected, ()), *found.get("", ())]
            usage = self._usage(chosen) if chosen else None
            for form in self.forms:
                form.show(chosen, findings, usage.own if usage else None)
            self._enable()
            self.show_code()

    def _row(self, key: str, entry: ListedEnvironment) -> Iterator[tuple[str, str]]:
        names = ", ".join(kernel.name for kernel in entry.kernels)
        yield from {"key": key, "name": entry.name, "name_title": str(entry.prefix), "blas": entry.blas}.items()
        yield from {"kernels": names, "state": entry.state, "state_mood": _MOODS[entry.state]}.items()
        usage = self._usage(entry)
        if usage is not None:
            yield "size", size(usage.total)
            yield "size_title", f"{size(usage.own)} of it belong to this environment alone"
        else:
            yield "size", "…" if entry.environment else "-"
        if self._findings is None:
            yield from {"findings": "…", "findings_mood": "unknown"}.items()
        else:
            found = self._findings.get(key, ())
            yield "findings", findings_in_words(found) or "nothing"
            yield "findings_title", "\n".join(item.text for item in found)
            yield "findings_mood", _worst(found)

    def _chosen(self) -> ListedEnvironment | None:
        return self._overview.entries.get(self.table.selected)

    def _usage(self, entry: ListedEnvironment) -> DiskUsage | None:
        return self._sizes.get(_identity(entry))


def _identity(entry: ListedEnvironment) -> tuple[str, str]:
    return str(entry.prefix), entry.environment.created if entry.environment else ""


def _worst(findings: Sequence[Finding]) -> str:
    kinds = {finding.severity for finding in findings}
    return "error" if "error" in kinds else "warning" if "warning" in kinds else "good"
