"""Kernels that are started to be asked one thing: whether they answer, and what a piece of code prints in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traitlets import TraitError

from mambakernels.progress import Event, Progress, silent
from mambakernels.runs import session
from mambakernels.runs.execute import in_a_thread
from mambakernels.runs.imports import prepare_nbformat
from mambakernels.runs.kernelspecs import Kernel
from mambakernels.runs.notebooks import Json
from mambakernels.runs.records import Failure


@dataclass(frozen=True)
class Question:
    """A kernelspec, by its folder and what its `kernel.json` says, and the code to execute; None for none."""

    name: str
    folder: Path
    document: Json
    code: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a kernel says of itself (nothing if it never answered), what the code printed, and why it failed, if so."""

    info: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    failure: Failure | None = None


def ask(
    questions: Sequence[Question], *, timeout: float = 60, jobs: int = 1, progress: Progress = silent
) -> list[Answer]:
    """Start kernels, `jobs` at a time, and return their answers in the same order; all are gone when it returns.

    `timeout`, in seconds, is for a kernel to answer, and again for the code.
    """
    return in_a_thread(lambda report: _ask_all(questions, timeout, jobs, report), progress) if questions else []


async def _ask_all(questions: Sequence[Question], timeout: float, jobs: int, report: Progress) -> list[Answer]:
    free, done = asyncio.Semaphore(jobs), 0

    async def answered(question: Question) -> Answer:
        nonlocal done
        async with free:
            report(Event("starting", question.name, done, len(questions)))
            answer = await _ask(question, timeout)
            done += 1
            return answer

    return await asyncio.gather(*(asyncio.create_task(answered(question)) for question in questions))


async def _ask(question: Question, timeout: float) -> Answer:
    info: Json = {}
    notebook = _notebook(question.code or "")
    try:
        async with session.start(_kernel(question), question.folder) as kernel:
            info = await kernel.ready(timeout)
            if question.code is not None:
                kernel.attach(notebook)
                await kernel.execute(0, timeout)
    except session.RunStoppedError as stopped:
        return Answer(info, _printed(notebook), stopped.failure)
    except (TypeError, TraitError) as error:  # what somebody wrote into kernel.json, and Jupyter cannot use
        return Answer(info, failure=Failure(cell=None, ename=type(error).__name__, evalue=str(error)))
    return Answer(info, _printed(notebook))


def _kernel(question: Question) -> Kernel:
    from jupyter_client.kernelspec import KernelSpec

    spec = KernelSpec(resource_dir=str(question.folder), **question.document)
    return Kernel(question.name, spec, fingerprint="")


def _notebook(code: str) -> Any:
    prepare_nbformat()
    import nbformat

    cell: Json = {
        "cell_type": "code",
        "id": "asked",
        "source": code,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    return nbformat.v4.reads(json.dumps(content))  # type: ignore[no-untyped-call]


def _printed(notebook: Any) -> str:
    outputs = (output for output in notebook.cells[0].outputs if output.output_type == "stream")
    return "".join(output.text for output in outputs if output.name == "stdout")
