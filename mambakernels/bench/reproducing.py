"""A comparison as something that can be run again: its call of `bench`, and a notebook with that call."""

from __future__ import annotations

import json
from typing import Any

from mambakernels.bench.cases import CONTROL_SIZE, Settings
from mambakernels.bench.measured import Measured

_FILE = "comparison.parquet"


def request_of(settings: Settings) -> dict[str, Any]:
    """Return the arguments of `bench` that lead to these settings; the controls are always added."""
    asked = {case.operation for case in settings.cases if not (case.control and case.size == CONTROL_SIZE)}
    cases = [case for case in settings.cases if case.operation in asked or not asked]
    columns = {"operations": "operation", "sizes": "size", "dtypes": "dtype"}
    chosen = {name: list(dict.fromkeys(getattr(case, field) for case in cases)) for name, field in columns.items()}
    return {
        "kernels": list(settings.kernels),
        **chosen,
        **({"threads": list(settings.threads)} if settings.threads else {}),
        "budget": settings.budget,
        "seed": settings.seed,
    }


def as_notebook(measured: Measured) -> str:
    """Return a notebook, as the text of its file, that measures and draws the same again; it has no outputs yet."""
    arguments = [f"    {name}={value!r}," for name, value in request_of(measured.settings).items()]
    cells = [
        _cell(
            "about",
            "markdown",
            "# Kernels compared",
            f"The measurement of {measured.started} on {measured.host}, to be repeated. "
            "It needs kernels of these names: "
            f"{', '.join(measured.settings.kernels)}.",
        ),
        _cell("measure", "code", "import mambakernels", "", "found = mambakernels.bench(", *arguments,
              f'    save="{_FILE}",', ")"),
        _cell("figures", "code", "found.table"),
        _cell("verdicts", "code", "print(*found.sentences, sep='\\n')", "found.pairs"),
        _cell("draw", "code", "from IPython.display import Image, display", "",
              f'for picture in mambakernels.plot("{_FILE}").files.values():', "    display(Image(picture))"),
    ]  # fmt: skip
    kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    content = {"cells": cells, "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cell(name: str, kind: str, *lines: str) -> dict[str, Any]:
    more: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"id": name, "cell_type": kind, "metadata": {}, "source": "\n".join(lines), **more}
