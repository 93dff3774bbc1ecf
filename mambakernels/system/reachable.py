"""Reachability: recent answers of servers, so that `auto` does not wait for them again."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from mambakernels.paths import Root
from mambakernels.system.files import write_atomically

_SECONDS = 600.0
T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns; TimeoutError if that takes longer than `seconds`.

    A thread calls it, as looking up a name cannot be interrupted; the thread ends with the program at the latest.
    """
    from concurrent import futures

    answer: futures.Future[T] = futures.Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that waits)
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return answer.result(seconds)
    except futures.TimeoutError:  # a separate class before Python 3.11
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None


def remembered(root: Root, question: str, ask: Callable[[], str | None]) -> str | None:
    """Return the answer to a question of reachability: None for yes, else why not. Ask again after ten minutes.

    With another proxy, the same question is asked again. A file of answers that cannot be read counts as empty.
    """
    key = _key(question)
    known = _read(root)
    match known.get(key):
        case {"at": float(at), "why_not": (str() | None) as why_not} if 0 <= time.time() - at < _SECONDS:
            return why_not
    answer = ask()
    answers = {**known, key: {"at": time.time(), "why_not": answer}}
    write_atomically(root.reachability, json.dumps(answers))
    return answer


def forget(root: Root) -> None:
    """Remove all answers, so that every question is asked again."""
    root.reachability.unlink(missing_ok=True)


def _key(question: str) -> str:
    """Hash the question with what it depends on: neither may be read from the file if it holds a password."""
    around = {name: value for name, value in os.environ.items() if name.lower().endswith(("_proxy", "_ca_bundle"))}
    circumstances = json.dumps([question, around], sort_keys=True)
    return hashlib.sha256(circumstances.encode()).hexdigest()[:16]


def _read(root: Root) -> dict[str, object]:
    try:
        known = json.loads(root.reachability.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
