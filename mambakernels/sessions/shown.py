"""What a cell showed in a kernel, taken up message by message and bounded: a flood fills neither memory nor page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mambakernels.errors import RunError
from mambakernels.runs.messages import drawn
from mambakernels.runs.records import Failure
from mambakernels.runs.session import without_colours

Json = dict[str, Any]
State = Literal["starting", "waiting", "running", "ok", "failed"]

_MOST_CHARACTERS = 1_000_000  # of each text; then its middle is left out
_LINE = 2000  # characters that are shown of a line
_KEPT_OUTPUTS = 100  # of each cell


class Printed:
    """Text of one stream (`stdout`, `stderr`); of a very long one the beginning and the end are kept."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.left_out = 0
        """The lines that are not kept."""
        self._head = ""
        self._parts: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        """Add text as it comes."""
        self._parts.append(text)
        self._size += len(text)
        if self._size > _MOST_CHARACTERS:
            self._shorten()

    @property
    def text(self) -> str:
        """The text as a terminal would show it, with a line that says what is left out."""
        tail = drawn("".join(self._parts))
        return f"{self._head}\n{lines_left_out(self.left_out)}\n{tail}" if self._head else tail

    def excerpt(self, first: int, last: int) -> str:
        """Return the text, of a long one only the first lines and the last."""
        return excerpt(self.text, first, last, more=max(0, self.left_out - 1))

    def _shorten(self) -> None:
        text, keep = drawn("".join(self._parts)), _MOST_CHARACTERS // 4
        if len(text) > 2 * keep:
            if not self._head:
                end = text.rfind("\n", 0, keep)
                end = keep if end < 0 else end
                self._head, text = text[:end], text[end:].removeprefix("\n")
            start = text.find("\n", len(text) - keep) + 1 or len(text) - keep
            self.left_out += text.count("\n", 0, start)
            text = text[start:]
        self._parts, self._size = [text], len(text)


class Shown:
    """What one kernel showed of a cell, so far or in the end.

    `outputs` are as in a notebook file. `seconds` is the time that the kernel took, by its own clock, once it has
    ended; `error` says why it failed, if it did; `notes` are what a reader should know besides.
    """

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel
        self.state: State = "waiting"
        self.seconds: float | None = None
        self.error: Failure | None = None
        self.notes: list[str] = []
        self._items: list[Printed | Json] = []
        self._displays: dict[str, list[Json]] = {}
        self._clearing = False
        self._left_out = 0

    @property
    def outputs(self) -> list[Json]:
        """The outputs as nbformat has them: streams, displays, results and errors in their order."""
        return [
            {"output_type": "stream", "name": item.name, "text": item.text} if isinstance(item, Printed) else dict(item)
            for item in self.items
        ]

    @property
    def items(self) -> list[Printed | Json]:
        """The outputs, with the texts of streams as they are kept."""
        return list(self._items)

    @property
    def text(self) -> str:
        """All outputs as plain text, without colours."""
        return "".join(map(text_of, self.outputs))

    @property
    def outputs_left_out(self) -> int:
        """How many outputs are not kept, as there were too many."""
        return self._left_out

    def take(self, message: Json) -> None:
        """Take up one message of the kernel's output."""
        kind, content = message["msg_type"], message["content"]
        if kind == "clear_output":
            self._clearing = bool(content.get("wait"))
            if not self._clearing:
                self._items.clear()
        elif kind == "stream":
            self._print(content["name"], content["text"])
        elif kind == "update_display_data" and self._update(content):
            return
        elif kind in {"display_data", "update_display_data", "execute_result"}:
            self._display(kind, content)
        elif kind == "error":
            self._append({"output_type": "error"} | {key: content[key] for key in ("ename", "evalue", "traceback")})

    def fail(self, error: Failure) -> None:
        """Take note that the cell failed."""
        self.error, self.state = error, "failed"

    def _print(self, name: str, text: str) -> None:
        last = self._items[-1] if self._items and not self._clearing else None
        if not (isinstance(last, Printed) and last.name == name):
            last = Printed(name)
            self._append(last)
        last.add(text)

    def _display(self, kind: str, content: Json) -> None:
        output: Json = {"output_type": "display_data", "data": content["data"], "metadata": content["metadata"]}
        if kind == "execute_result":
            output |= {"output_type": kind, "execution_count": content.get("execution_count")}
        self._append(output)
        name = content.get("transient", {}).get("display_id")
        if name is not None:
            self._displays.setdefault(name, []).append(output)

    def _update(self, content: Json) -> bool:
        """Update the displays of an id, and return whether this cell has any."""
        found = self._displays.get(content.get("transient", {}).get("display_id"), ())
        for output in found:
            output.update(data=content["data"], metadata=content["metadata"])
        return bool(found)

    def _append(self, item: Printed | Json) -> None:
        if self._clearing:
            self._items.clear()
            self._clearing = False
        self._items.append(item)
        if len(self._items) > 2 * _KEPT_OUTPUTS:
            self._shorten()

    def _shorten(self) -> None:
        """Keep the first outputs and the last."""
        half = _KEPT_OUTPUTS // 2
        self._left_out += len(self._items) - 2 * half
        self._items = [*self._items[:half], *self._items[-half:]]
        there = set(map(id, self._items))
        displays = ((name, [one for one in outputs if id(one) in there]) for name, outputs in self._displays.items())
        self._displays = {name: kept for name, kept in displays if kept}


@dataclass(frozen=True, repr=False)
class Results(Mapping[str, Shown]):
    """What each kernel showed of a cell, by its name, in the order in which they were named.

    `serial` says that they ran one after another. In a notebook it is displayed in columns.
    """

    shown: Mapping[str, Shown]
    serial: bool = False

    def __getitem__(self, kernel: str) -> Shown:
        return self.shown[kernel]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shown)

    def __len__(self) -> int:
        return len(self.shown)

    @property
    def failed(self) -> tuple[Shown, ...]:
        """Those that failed."""
        return tuple(one for one in self.values() if one.error is not None)

    @property
    def fastest(self) -> float | None:
        """The least seconds of those that did not fail; None if there are none."""
        return min(
            (one.seconds for one in self.values() if one.seconds is not None and one.error is None), default=None
        )

    def __repr__(self) -> str:
        from mambakernels.sessions.columns import plain

        return plain(self)

    def _repr_html_(self) -> str:
        from mambakernels.sessions.columns import page

        return page(self)

    def check(self) -> Results:
        """Return these results; RunError if a kernel failed."""
        if self.failed:
            reasons = reasons_in_words({one.kernel: str(one.error) for one in self.failed})
            raise RunError(f"{len(self.failed)} of {len(self)} kernels failed.", next_step=reasons)
        return self


def excerpt(text: str, first: int, last: int, *, more: int = 0) -> str:
    """Return a text, of a long one only the first lines and the last; `more` lines were left out of it before."""
    lines = [line if len(line) <= _LINE else f"{line[:_LINE]}…" for line in text.rstrip("\n").split("\n")]
    if len(lines) > first + last + 1:
        lines[first:-last] = [lines_left_out(len(lines) - first - last + more)]
    return "\n".join(lines)


def lines_left_out(count: int) -> str:
    """Return the line that stands for lines which are not shown."""
    return f"… {count:,} lines left out …"


def text_of(output: Json) -> str:
    """Return an output as plain text that ends with a line break, without colours; an empty text if it has none."""
    if output["output_type"] == "stream":
        text = output["text"]
    elif output["output_type"] == "error":
        text = "\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}"
    else:
        text = output["data"].get("text/plain", "")
        text = text if isinstance(text, str) else "".join(text)
    text = without_colours(text)
    return text if not text or text.endswith("\n") else f"{text}\n"


def reasons_in_words(reasons: Mapping[str, str]) -> str:
    """Return why each of some kernels failed, a line per reason with all kernels that have it."""
    kernels: dict[str, list[str]] = {}
    for kernel, reason in reasons.items():
        kernels.setdefault(reason, []).append(kernel)
    return "\n".join(f"{', '.join(names)}: {reason}" for reason, names in kernels.items())
