"""What this machine could or could not reach a moment ago, so that `auto` does not wait for the same answer again."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable

from mambakernels.paths import Root

_SECONDS = 600.0


def remembered(root: Root, question: str, ask: Callable[[], str | None]) -> str | None:
    """Return the answer to a question of reachability: None for yes, else why not; asked anew after ten minutes.

    Another proxy is another question. Whatever is wrong with the file of answers only means asking again.
    """
    key = _key(question)
    known = _read(root)
    match known.get(key):
        case {"at": float(at), "why_not": (str() | None) as why_not} if 0 <= time.time() - at < _SECONDS:
            return why_not
    answer = ask()
    _write(root, {**known, key: {"at": time.time(), "why_not": answer}})
    return answer


def forget(root: Root) -> None:
    """Ask everything anew from now on."""
    root.verdicts.unlink(missing_ok=True)


def _key(question: str) -> str:
    """Hash the question with what it depends on: neither may be read from the file if it holds a password."""
    around = {name: value for name, value in os.environ.items() if name.lower().endswith(("_proxy", "_ca_bundle"))}
    circumstances = json.dumps([question, around], sort_keys=True)
    return hashlib.sha256(circumstances.encode()).hexdigest()[:16]


def _read(root: Root) -> dict[str, object]:
    try:
        known = json.loads(root.verdicts.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(root: Root, known: dict[str, object]) -> None:
    root.path.mkdir(parents=True, exist_ok=True)
    staged = root.verdicts.with_suffix(f".{secrets.token_hex(4)}")
    staged.write_text(json.dumps(known), encoding="utf-8")
    staged.replace(root.verdicts)
