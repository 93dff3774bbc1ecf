"""The entry point: signals, exit codes, and errors as sentences instead of tracebacks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from mambakernels import errors
from mambakernels.system import text_output
from mambakernels.system.interruption import Interrupted, interruptible


def main() -> None:
    """Run the command line.

    It exits with 0, 1 for an explained error, 2 for wrong usage, 130 after SIGINT and 143 after SIGTERM.
    """
    text_output.make_encodable(sys.stdout)
    text_output.make_encodable(sys.stderr)
    end = 1 + _own_words(sys.argv[1:])
    debug = "--debug" in sys.argv[:end]
    sys.argv = [*(word for word in sys.argv[:end] if word != "--debug"), *sys.argv[end:]]  # accepted anywhere
    try:
        with interruptible():
            from mambakernels import cli

            cli.app(windows_expand_args=False)  # arguments arrive as typed: specs have `*`
    except (errors.MambakernelsError, OSError) as error:
        if debug:
            raise
        _fail(error if isinstance(error, errors.MambakernelsError) else errors.from_os_error(error))
    except Interrupted:
        sys.stderr.write("Interrupted; nothing half-made was left.\n")
        raise


def _own_words(words: Sequence[str]) -> int:
    """Return the number of words that are ours; those after `--` or after the environment of `exec` are not."""
    end = words.index("--") if "--" in words else len(words)
    command = next((index for index, word in enumerate(words) if not word.startswith("-")), end)
    if words[command : command + 1] != ["exec"]:
        return end
    name = command + 1
    while name < end and words[name].startswith("-"):
        name += 2 if words[name] in {"--root", "-r"} else 1
    return min(name + 1, end)


def _fail(error: errors.MambakernelsError) -> NoReturn:
    sys.stderr.write(f"Error: {error}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
