"""Where the command line begins: signals, exit codes, and errors put into words instead of tracebacks."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

from mambakernels import errors


class Interrupted(SystemExit):
    """Somebody asked the program to end."""


def main() -> None:
    """Run the command line; exit 0, 1 for an error that is explained, 2 for wrong usage, 130 if interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]  # wherever it stands
    from mambakernels import cli

    try:
        cli.app()
    except (errors.MambakernelsError, OSError) as error:
        if debug:
            raise
        _fail(error if isinstance(error, errors.MambakernelsError) else errors.from_os_error(error))
    except Interrupted:
        sys.stderr.write("Interrupted; nothing half-made was left.\n")
        raise


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Treat Ctrl-C and a request to end alike: children are stopped, and what is half-made is removed, on the way out.

    The command-line library would turn a KeyboardInterrupt into words of its own.
    """
    raise Interrupted(130)


def _fail(error: errors.MambakernelsError) -> NoReturn:
    sys.stderr.write(f"Error: {error}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
