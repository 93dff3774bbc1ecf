"""Importing nbformat without paying for what notebooks never use."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_GRAMMAR = "rfc3987_syntax"


def prepare_nbformat() -> None:
    """Make the first import of nbformat quick where JupyterLab is installed too; elsewhere it is already.

    nbformat imports jsonschema, which imports rfc3987_syntax if it can (jupyter-events asks for it), and that one
    compiles a grammar for international addresses while it is imported: two seconds, measured, of a run's three.
    A stand-in that is there during this import only puts that off until an address is really checked. So nothing
    changes in what jsonschema can do.
    """
    if "jsonschema" in sys.modules or _GRAMMAR in sys.modules or find_spec(_GRAMMAR) is None:
        return
    sys.modules[_GRAMMAR] = _StandIn(_GRAMMAR)
    try:
        import_module("jsonschema")
    finally:
        del sys.modules[_GRAMMAR]


class _StandIn(ModuleType):
    """What jsonschema takes from rfc3987_syntax: one function, which imports the real one when it is called."""

    @staticmethod
    def is_valid_syntax(rule: str, text: str) -> Any:
        return import_module(_GRAMMAR).is_valid_syntax(rule, text)
