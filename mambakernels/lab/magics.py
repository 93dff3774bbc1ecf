"""`%%kernels`, `%kernels` and `%%bench`: a cell on many kernels, which live until the notebook's own kernel ends."""

from __future__ import annotations

import ast
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from html import escape
from typing import Any, NoReturn

from IPython.core.magic import Magics, cell_magic, line_cell_magic, magics_class

from mambakernels.errors import InvalidRequestError, MambakernelsError, RunError
from mambakernels.lab.live_columns import LiveColumns
from mambakernels.numeric.formatting import html_table, text_table
from mambakernels.runs.kernelspecs import known_kernels
from mambakernels.sessions.kernel_session import KernelSession
from mambakernels.system.quantities import read_duration
from mambakernels.system.ranges import split_list

_ACTIONS = ("status", "stop", "restart")


def load_ipython_extension(shell: Any) -> None:
    """Define the magics in IPython: `%load_ext mambakernels`."""
    shell.register_magics(KernelMagics(shell))


def unload_ipython_extension(shell: Any) -> None:
    """End the kernels of the magics: `%unload_ext mambakernels`."""
    magics = shell.magics_manager.registry.get(KernelMagics.__name__)
    if magics is not None:
        magics.session.stop()


@magics_class
class KernelMagics(Magics):
    """The magics of one IPython shell, and the session that they share."""

    shell: Any

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.session = KernelSession()
        self._last: tuple[str, ...] = ()

    @line_cell_magic
    def kernels(self, line: str, cell: str | None = None) -> Any:
        """Run a cell on many kernels, or as a line: look after those kernels.

        ::

            %%kernels np-mkl 'np-b*'       run this cell on these kernels: names, patterns or all; none: as last time
              --threads 1,2                each kernel once with each number of threads
              --serial                     one after another, so that their times can be compared
              --timeout 1m                 interrupt the cell after that time

            %kernels                       list the kernels that the cells use
            %kernels stop [KERNELS]        end kernels; what was defined in them is gone
            %kernels restart [KERNELS]     end them and start them again
            %kernels [KERNELS] --push A B  define this notebook's A and B in the kernels
            %kernels [KERNELS] --pull x    return each kernel's x, a dict by kernel

        What a line does without names, it does with all kernels that the cells use.
        """
        with _plain_errors():
            return self._line(line) if cell is None else self._cell(line, cell)

    @cell_magic
    def bench(self, line: str, cell: str) -> None:
        """Measure the last statement of a cell on kernels, in turns; what comes before it is the setup.

        ::

            %%bench np-mkl np-openblas     names, patterns or all; none: those of the last %%kernels
              --threads 1,2                each kernel with each number of threads
              --budget 20                  seconds of measuring
            import numpy as np
            a = np.ones((500, 500))
            a @ a

        The kernels are others than those of %%kernels, so that nothing else is in them. The others are compared with
        the first. `mambakernels.compare` does the same from Python.
        """
        from mambakernels.bench.comparing import compare  # slow to import, as is pandas
        from mambakernels.lab.bench_display import BenchDisplay

        with _plain_errors():
            options = _parsed(_bench_parser(), line)
            setup, code = _divided(cell)
            display = BenchDisplay(self.shell)
            found = compare(
                code,
                setup=setup,
                kernels=options.kernels or list(dict.fromkeys(name.partition(" (")[0] for name in self._last)),
                threads=options.threads or (),
                budget=read_duration(options.budget, "budget"),
                progress=display.report,
            )
            display.finish(found)

    def _cell(self, line: str, cell: str) -> None:
        options = _parsed(_cell_parser(), line)
        names = self._named(options.kernels, options.threads)
        timeout = None if options.timeout is None else read_duration(options.timeout)
        columns = LiveColumns(self.shell, whole=self._is_whole_cell())
        try:
            results = self.session.run(cell, kernels=names, serial=options.serial, timeout=timeout, show=columns.show)
        finally:
            columns.finish()
        if results.failed:
            failed = ", ".join(one.kernel for one in results.failed)
            raise RunError(f"{len(results.failed)} of {len(results)} kernels failed: {failed}.")

    def _line(self, line: str) -> Any:
        options = _parsed(_line_parser(), line)
        action, *rest = options.words or ["status"]
        if options.push or options.pull:
            names = self.session.add(options.words) if options.words else self.session.kernels
            return self._push(options.push, names) if options.push else self.session.pull(options.pull, kernels=names)
        if action not in _ACTIONS:
            raise InvalidRequestError(
                f"%kernels cannot {action!r}.",
                next_step="%kernels status, stop or restart; to run a cell, begin it with %%kernels.",
            )
        chosen = [name for name in self.session.kernels if _is_named(name, rest)]
        if rest and not chosen:
            raise InvalidRequestError(f"No kernel of the session is called {' or '.join(rest)}.", next_step="%kernels")
        if action != "status":
            (self.session.stop if action == "stop" else self.session.restart)(chosen)
        return self._status(chosen)

    def _push(self, names: Sequence[str], kernels: Sequence[str]) -> None:
        missing = [name for name in names if name not in self.shell.user_ns]
        if missing:
            raise InvalidRequestError(f"This notebook has no {' and no '.join(missing)}.", next_step="Define it first.")
        self.session.push(kernels=kernels, **{name: self.shell.user_ns[name] for name in names})

    def _status(self, names: Sequence[str]) -> None:
        rows = [
            (one.name, one.state, str(one.pid or ""), one.failure or "")
            for one in self.session.status()
            if one.name in names
        ]
        header = ("kernel", "state", "process", "why")
        text = text_table(header, rows) if rows else "No kernel yet: begin a cell with %%kernels NAME."
        html = html_table(header, rows) if rows else f"<p>{escape(text)}</p>"
        self.shell.display_pub.publish({"text/plain": text, "text/html": html})

    def _named(self, kernels: Sequence[str], threads: str | None) -> tuple[str, ...]:
        """Return the session's names of a cell's kernels; without names, those of the cell before."""
        if kernels:
            self._last = self.session.add(kernels, threads=None if threads is None else _counts(threads))
        elif not self._last:
            raise InvalidRequestError("No kernel was named.", next_step=f"%%kernels NAMES. {known_kernels()}")
        return self._last

    def _is_whole_cell(self) -> bool:
        """Whether the cell that runs is one cell magic, rather than code that calls it."""
        if not hasattr(self.shell, "kernel"):
            return False
        request: dict[str, Any] = self.shell.get_parent()
        return str(request.get("content", {}).get("code", "")).lstrip().startswith("%%kernels")


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Show errors that users can understand without the way through our code."""
    try:
        yield
    except (MambakernelsError, KeyboardInterrupt) as error:
        said = [f"{type(error).__name__}: {error}" if str(error) else type(error).__name__]
        error._render_traceback_ = lambda: said  # type: ignore[union-attr]
        raise


class _Parser(ArgumentParser):
    """Reads the options of a magic; a mistake is one of ours."""

    def error(self, message: str) -> NoReturn:
        raise InvalidRequestError(f"{self.prog}: {message}.", next_step="%kernels? explains the options.")


def _cell_parser() -> _Parser:
    parser = _Parser("%%kernels", add_help=False)
    parser.add_argument("kernels", nargs="*")
    parser.add_argument("--threads")
    parser.add_argument("--serial", action="store_true", default=None)
    parser.add_argument("--timeout")
    return parser


def _line_parser() -> _Parser:
    parser = _Parser("%kernels", add_help=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--push", nargs="+", metavar="NAME")
    parser.add_argument("--pull", metavar="NAME")
    return parser


def _bench_parser() -> _Parser:
    parser = _Parser("%%bench", add_help=False)
    parser.add_argument("kernels", nargs="*")
    parser.add_argument("--threads")
    parser.add_argument("--budget", default="20")
    return parser


def _divided(cell: str) -> tuple[str | None, str]:
    """Return the statements before the last one of a cell, and the last one."""
    try:
        statements = ast.parse(cell).body
    except SyntaxError as error:
        raise InvalidRequestError(
            f"Line {error.lineno} is not Python: {error.msg}.", next_step="%%bench measures Python, without magics."
        ) from error
    if not statements:
        raise InvalidRequestError("There is nothing to measure.", next_step="Write a statement below %%bench.")
    lines = cell.splitlines(keepends=True)
    begin = statements[-1].lineno - 1
    return "".join(lines[:begin]) if len(statements) > 1 else None, "".join(lines[begin:]).strip()


def _parsed(parser: _Parser, line: str) -> Namespace:
    """Return the options of a line, in any order."""
    return parser.parse_intermixed_args(shlex.split(line, comments=True))


def _counts(threads: str) -> list[int]:
    try:
        return [int(part) for part in split_list(threads)]
    except ValueError:
        raise InvalidRequestError(f"{threads!r} is not a list of thread counts, such as 1,2,4.") from None


def _is_named(name: str, patterns: Sequence[str]) -> bool:
    kernel = name.partition(" (")[0]
    return not patterns or any(
        pattern == "all" or fnmatchcase(kernel, pattern) or name == pattern for pattern in patterns
    )
