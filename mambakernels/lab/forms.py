"""The forms of the panel: each makes one action of what was entered, for the environment that is chosen."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Protocol

import ipywidgets

from mambakernels import errors
from mambakernels.channels import blas_libraries
from mambakernels.environments import Environment
from mambakernels.kernels import KernelSpec
from mambakernels.kernels.blas import TITLES, Processors
from mambakernels.lab.calls import Call
from mambakernels.lab.overview import ListedEnvironment
from mambakernels.numeric.rules import Finding
from mambakernels.system.quantities import amount, size

_FILES = ("*.yml", "*.yaml", "*.lock", "*.txt")
_ENGINES = ("auto", "rattler", "micromamba")
_CHANNELS = ("auto", "conda-forge", "wheels")
_OWN = "own specs"
_BY_QUOTA = -1  # None would be no choice at all
_KINDS = ("error", "warning", "note")
_NOTHING = "<p>Choose an environment in the table.</p>"


@dataclass(frozen=True)
class Action:
    """A call, what is said while it goes on, and what is said of its value."""

    call: Call
    doing: str
    done: Callable[[Any], str]


class Host(Protocol):
    """The panel, as its forms know it."""

    options: Mapping[str, Any]  # what each call gets: the root, if one was given

    def act(self, make: Callable[[], Action]) -> None:
        """Do what a form says."""

    def show_code(self) -> None:
        """Show the line of Python again."""


class Form:
    """A page of the panel."""

    title: str
    box: Any

    def __init__(self, host: Host) -> None:
        self.host = host
        self.entry: ListedEnvironment | None = None
        self.buttons: list[Any] = []
        self.fields: list[Any] = []

    def action(self) -> Action:
        """Return what the form's button does; InvalidRequestError for what cannot be read."""
        raise NotImplementedError

    def show(self, entry: ListedEnvironment | None, findings: Sequence[Finding] | None, own_size: int | None) -> None:
        """Show the chosen environment."""

    def enable(self, *, idle: bool) -> None:
        """Let the buttons be pressed, unless something is going on or they make no sense."""
        for button in self.buttons:
            button.disabled = not idle or not self.is_possible(button)

    def is_possible(self, button: Any) -> bool:  # noqa: ARG002 (for those that override it)
        """Whether a button makes sense for the chosen environment."""
        return self.entry is not None

    def _button(self, text: str, make: Callable[[], Action], tooltip: str, style: str = "") -> Any:
        button = ipywidgets.Button(
            description=text, tooltip=tooltip, button_style=style, layout={"width": "auto", "flex": "0 0 auto"}
        )
        button.on_click(lambda _: self.host.act(make))
        self.buttons.append(button)
        return button

    def _field(self, kind: Any, label: str, tooltip: str, *, grow: int = 1, least: int = 150, **options: Any) -> Any:
        if issubclass(kind, ipywidgets.Text):
            # Sent when it is complete: while a kernel is busy, front ends send only the first of several changes, and
            # every click, so that a button found the first letter of what was typed.
            options["continuous_update"] = False
        field = kind(
            description=label,
            tooltip=tooltip,
            style={"description_width": "72px"},
            layout={"flex": f"{grow} 1 0", "min_width": f"{least}px", "width": "auto"},
            **options,
        )
        self.fields.append(field)
        return field

    def _call(self, function: str, *arguments: Any, **options: Any) -> Call:
        """Return a call with the options that are not empty, and the root, if one was given."""
        given = {name: value for name, value in options.items() if value not in (None, "", {})}
        return Call(function, arguments, {**given, **self.host.options})


class CreateForm(Form):
    """Makes an environment: from a preset, from specs, or from a file."""

    title = "Create"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        presets = {f"NumPy on {TITLES.get(name, name)}": name for name in blas_libraries.offered()}
        self.preset = self._field(
            ipywidgets.Dropdown, "Preset", "Fills in the name and the specs", options=[*presets.items(), (_OWN, "")]
        )
        self.name = self._field(ipywidgets.Text, "Name", "The environment's name, and its kernel's")
        self.specs = self._field(
            ipywidgets.Text, "Specs", "Match specs with spaces between them, as on a command line", grow=3
        )
        self.file = self._field(
            ipywidgets.Combobox,
            "File",
            "An environment.yml, a list of specs, or a lockfile",
            placeholder="environment.yml",
            options=_files(Path()),
            grow=2,
        )
        self.channel = self._field(
            ipywidgets.Combobox,
            "Channel",
            "auto, conda-forge, wheels, an address or a folder",
            options=_CHANNELS,
            value="auto",
        )
        self.engine = self._field(
            ipywidgets.Dropdown, "Engine", "The program that solves and links packages", options=_ENGINES
        )
        self.preset.observe(lambda _: self._fill_in(), "value")
        self._fill_in()
        create = self._button("Create", self.action, "Make the environment and register its kernel", "primary")
        self.box = ipywidgets.VBox(
            [
                ipywidgets.HBox([self.preset, self.name]),
                ipywidgets.HBox([self.specs, self.engine]),
                ipywidgets.HBox([self.file, self.channel, create]),
            ]
        )

    def is_possible(self, button: Any) -> bool:
        """Allow it always."""
        del button
        return True

    def action(self) -> Action:
        """Return the creation."""
        name, file, channel = (field.value.strip() for field in (self.name, self.file, self.channel))
        specs = _words(self.specs.value, "specs")
        chosen = {"channel": channel, "engine": self.engine.value}
        more = {"file": file, **{option: value for option, value in chosen.items() if value != "auto"}}
        call = self._call("create", name, specs, **more) if specs or not file else self._call("create", name, **more)
        return Action(call, f"Making {name or file}", _made)

    def _fill_in(self) -> None:
        blas = self.preset.value
        self.name.value = f"np-{blas}" if blas else ""
        self.specs.value = shlex.join(blas_libraries.numpy_specs(blas)) if blas else ""


class KernelsForm(Form):
    """Registers kernels of the chosen environment: variants, threads, variables; and unregisters them."""

    title = "Kernels"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.listed = ipywidgets.HTML(layout={"height": "48px"})
        self.variant = self._field(
            ipywidgets.Text, "Variant", "For one more kernel: NAME-VARIANT. Empty: the kernel itself, again"
        )
        counts = [("by the CPU quota", _BY_QUOTA), ("by each library", 0)]
        counts += [(str(count), count) for count in range(1, Processors.here().cores + 1)]
        self.threads = self._field(
            ipywidgets.Dropdown, "Threads", "How many threads the kernel's libraries use", options=counts, least=235
        )
        self.variables = self._field(
            ipywidgets.Text, "Variables", "Variables of the kernel: NAME=VALUE, with spaces between them", grow=2
        )
        self.shown_as = self._field(
            ipywidgets.Text, "Shown as", "Its name in the launcher; {blas}, {version} and others are filled in", grow=2
        )
        self.kernel = self._field(ipywidgets.Dropdown, "Kernel", "The kernel to unregister", options=[])
        self._register = self._button("Register", self.action, "Register this kernel with Jupyter", "primary")
        self._unregister = self._button("Unregister", self._removal, "Remove the kernel; the environment stays")
        self.box = ipywidgets.VBox(
            [
                self.listed,
                ipywidgets.HBox([self.variant, self.shown_as]),
                ipywidgets.HBox([self.threads, self.variables, self._register]),
                ipywidgets.HBox([self.kernel, self._unregister]),
            ]
        )

    def is_possible(self, button: Any) -> bool:
        """Allow unregistering where there is a kernel."""
        return self.entry is not None and (button is not self._unregister or bool(self.entry.kernels))

    def show(self, entry: ListedEnvironment | None, findings: Sequence[Finding] | None, own_size: int | None) -> None:
        """List the kernels."""
        del findings, own_size
        self.entry = entry
        lines = [_kernel_in_words(kernel) for kernel in entry.kernels] if entry else []
        none = "<p>It has no kernel.</p>" if entry else _NOTHING
        self.listed.value = f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if lines else none
        names = tuple(kernel.name for kernel in entry.kernels) if entry else ()
        if self.kernel.options != names:
            self.kernel.options = names
            self.kernel.value = next(iter(names), None)

    def action(self) -> Action:
        """Return the registration."""
        entry = _chosen(self.entry)
        call = self._call(
            "kernels.register",
            entry.argument,
            display_name=self.shown_as.value.strip(),
            variant=self.variant.value.strip(),
            env=_assignments(self.variables.value),
            threads=None if self.threads.value == _BY_QUOTA else self.threads.value,
        )
        return Action(call, f"Registering {entry.name}", _registered)

    def _removal(self) -> Action:
        call = self._call("kernels.unregister", self.kernel.value)
        return Action(call, f"Unregistering {self.kernel.value}", _unregistered)


class FindingsForm(Form):
    """Shows what `doctor` found of the chosen environment and of the session, and carries out repairs."""

    title = "Doctor"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.listed = ipywidgets.HTML(layout={"height": "96px"})
        examine = self._button("Start and examine", self.action, "Start its kernels, and look at what runs in them")
        repair = self._button("Repair", self._repair, "Carry out the repairs that are safe, for all environments")
        self.box = ipywidgets.VBox([self.listed, ipywidgets.HBox([examine, repair])])

    def show(self, entry: ListedEnvironment | None, findings: Sequence[Finding] | None, own_size: int | None) -> None:
        """List the findings."""
        del own_size
        self.entry = entry
        if entry is None:
            self.listed.value = _NOTHING
        elif findings is None:
            self.listed.value = f"<p>Examining {escape(entry.name)}…</p>"
        else:
            shown = "".join(map(_finding_in_html, sorted(findings, key=lambda item: _KINDS.index(item.severity))))
            self.listed.value = shown or f"<p>Nothing is wrong with {escape(entry.name)}.</p>"

    def action(self) -> Action:
        """Return the examination of the chosen environment's kernels."""
        entry = _chosen(self.entry)
        return Action(self._call("doctor", entry.name), f"Examining {entry.name}", _examined)

    def _repair(self) -> Action:
        return Action(self._call("doctor", fix=True), "Repairing what is safe", _repaired)


class RemoveForm(Form):
    """Removes the chosen environment with its kernels, after a question."""

    title = "Remove"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.text = ipywidgets.HTML(layout={"height": "84px"})
        self._ask = self._plain("Remove…", "Remove the environment and its kernels; you are asked first")
        self._yes = self._button("Yes, remove it", self.action, "Remove the environment and its kernels", "danger")
        self._no = self._plain("No, keep it", "Remove nothing")
        self._ask.on_click(lambda _: self._question(asked=True))
        self._no.on_click(lambda _: self._question(asked=False))
        self.buttons += [self._ask, self._no]
        self.box = ipywidgets.VBox([self.text, ipywidgets.HBox([self._ask, self._yes, self._no])])
        self._question(asked=False)

    def is_possible(self, button: Any) -> bool:
        """Allow removing what is under the root."""
        del button
        return self.entry is not None and self.entry.environment is not None

    def show(self, entry: ListedEnvironment | None, findings: Sequence[Finding] | None, own_size: int | None) -> None:
        """Say what would go; another environment takes the question back."""
        del findings
        if (entry and entry.prefix) != (self.entry and self.entry.prefix):
            self._question(asked=False)
        self.entry = entry
        self.text.value = _removal_in_html(entry, own_size)

    def action(self) -> Action:
        """Return the removal."""
        name = _chosen(self.entry).name
        return Action(self._call("remove", name), f"Removing {name}", lambda _: f"Removed {name} and its kernels.")

    def _plain(self, text: str, tooltip: str) -> Any:
        return ipywidgets.Button(description=text, tooltip=tooltip, layout={"width": "auto"})

    def _question(self, *, asked: bool) -> None:
        """Show the question's buttons, or the first one; those that are hidden keep their place."""
        for button, shown in ((self._ask, not asked), (self._yes, asked), (self._no, asked)):
            button.layout.visibility = "visible" if shown else "hidden"


def _chosen(entry: ListedEnvironment | None) -> ListedEnvironment:
    if entry is None:
        raise errors.InvalidRequestError("No environment is chosen.", next_step="Choose one in the table.")
    return entry


def _words(text: str, what: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise errors.InvalidRequestError(f"The {what} cannot be read: {error}.", where=text) from error


def _assignments(text: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in _words(text, "variables")]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise errors.InvalidRequestError(
                f"{name or '='!r} is not NAME=VALUE.", next_step="For example: OPENBLAS_CORETYPE=Haswell"
            )
    return {name: value for name, _, value in pairs}


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for pattern in _FILES for path in folder.glob(pattern)))


def _made(made: Environment) -> str:
    packages = amount(len(made.packages), "package")
    return f"{made.name} is ready: {packages} with {made.engine}. Its kernel is in the launcher."


def _registered(specs: Iterable[KernelSpec]) -> str:
    return f"Registered {', '.join(spec.name for spec in specs)}."


def _unregistered(specs: Iterable[KernelSpec]) -> str:
    return f"Unregistered {', '.join(spec.name for spec in specs)}. The environment stays."


def _examined(found: Any) -> str:
    return f"Examined {amount(found.kernels, 'kernel')}: {findings_in_words(found.findings) or 'nothing is wrong'}."


def _repaired(found: Any) -> str:
    done = "; ".join(f"failed ({item.done}): {item.error}" if item.error else item.done for item in found.repairs)
    left = findings_in_words(found.findings)
    return f"{f'Repaired: {done}.' if done else 'There was nothing to repair.'}{f' Left: {left}.' if left else ''}"


def findings_in_words(findings: Iterable[Finding]) -> str:
    """Return how many errors, warnings and notes there are; nothing if there are none."""
    kinds = [finding.severity for finding in findings]
    return ", ".join(amount(kinds.count(kind), kind) for kind in _KINDS if kind in kinds)


def _finding_in_html(finding: Finding) -> str:
    about = f"{escape(finding.kernel)}: " if finding.kernel else ""
    remedy = f"<br>To repair it: <code>{escape(finding.remedy)}</code>" if finding.remedy else ""
    mood = {"error": "error", "warning": "warning"}.get(finding.severity, "")
    title = f'<b data-mood="{mood}">{finding.severity}</b> {about}{escape(finding.text)}'
    return f"<p>{title}<br>{escape(finding.why)}{remedy}</p>"


def _kernel_in_words(kernel: KernelSpec) -> str:
    settings = [f"{name}={value}" for name, value in kernel.variables.items()]
    if kernel.threads or kernel.limit:
        settings.insert(0, amount(kernel.threads or kernel.limit or 0, "thread"))
    parts = [kernel.display_name, *settings, "" if kernel.working else "cannot start"]
    return f"<code>{escape(kernel.name)}</code> {escape(', '.join(filter(None, parts)))}"


def _removal_in_html(entry: ListedEnvironment | None, own_size: int | None) -> str:
    if entry is None:
        return _NOTHING
    name, where = escape(entry.name), f"<code>{escape(os.fspath(entry.prefix))}</code>"
    if entry.environment is None:
        return f"<p>{name} is not under this root, and stays. Its kernels can be unregistered.<br>{where}</p>"
    names = ", ".join(escape(kernel.name) for kernel in entry.kernels)
    kernels = f" and {'its kernels' if len(entry.kernels) > 1 else 'its kernel'} {names}" if names else ""
    freed = "" if own_size is None else f" This frees {size(own_size)}; packages stay in the cache."
    return f"<p>Removes the environment {name}{kernels}.{freed}<br>{where}</p>"
