"""Where the command line begins: signals, exit codes, and errors put into words instead of tracebacks."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

from mambakernels import errors

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; exit 0, 1 for an error that is explained, 2 for wrong usage, 130 if interrupted."""
    signal.signal(signal.SIGTERM, _stop)
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]  # wherever it stands
    from mambakernels import cli

    try:
        cli.app(standalone_mode=True)
    except (errors.MambakernelsError, OSError) as error:
        if debug:
            raise
        _fail(error if isinstance(error, errors.MambakernelsError) else errors.from_os_error(error))
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; nothing half-made was left.\n")
        sys.exit(_INTERRUPTED)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Treat a request to end like Ctrl-C, so that children are stopped and nothing half-made is left."""
    raise KeyboardInterrupt


def _fail(error: errors.MambakernelsError) -> NoReturn:
    sys.stderr.write(f"Error: {error}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
