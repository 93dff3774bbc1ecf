"""Columns of results in a notebook, while they come in: one display that is replaced, not too often."""

from __future__ import annotations

import uuid
from typing import Any

from mambakernels.sessions.columns import elsewhere, page, plain
from mambakernels.sessions.shown import Results

_PAUSE_SECONDS = 0.1
_BYTES_PER_SECOND = 300_000  # Jupyter's server drops what comes faster than a million


class LiveColumns:
    """The display of one cell's results.

    `whole` says that the cell shows nothing else, so that the final display can take the place of the first: a front
    end that cannot update a display, as `jupyter console`, then has the final one too.
    """

    def __init__(self, shell: Any, *, whole: bool) -> None:
        self._shell = shell
        self._whole = whole
        self._has_front_end = hasattr(shell, "kernel")
        self._id = uuid.uuid4().hex
        self._begun = False
        self._results: Results | None = None

    def show(self, results: Results) -> float:
        """Show the results so far, and return for how many seconds not to show others."""
        self._results = results
        if not self._has_front_end:
            return _PAUSE_SECONDS
        html = page(results)
        self._publish({"text/html": html, "text/plain": ""}, update=self._begun)
        self._begun = True
        return max(_PAUSE_SECONDS, len(html) / _BYTES_PER_SECOND)

    def finish(self) -> None:
        """Show the final results."""
        results = self._results
        if results is None:
            return
        if not self._has_front_end:
            print(plain(results), end="")  # noqa: T201 (in a terminal, as IPython does)
            return
        if self._begun and self._whole:
            self._shell.display_pub.clear_output(wait=True)
        bundle = {"text/html": page(results, below=True), "text/plain": plain(results)}
        self._publish(bundle, update=self._begun and not self._whole)
        for kernel, output in elsewhere(results):
            self._shell.display_pub.publish({"text/plain": f"{kernel}:"})
            self._shell.display_pub.publish(output["data"], output["metadata"])

    def _publish(self, data: dict[str, str], *, update: bool) -> None:
        self._shell.display_pub.publish(data, transient={"display_id": self._id}, update=update)
