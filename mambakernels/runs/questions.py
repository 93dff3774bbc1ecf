"""Questions to kernels that are started for this only: whether they answer, and what a piece of code displays."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traitlets import TraitError

from mambakernels.progress import Event, Progress, silent
from mambakernels.runs import session
from mambakernels.runs.kernelspecs import Kernel
from mambakernels.runs.notebooks import Json
from mambakernels.runs.records import Failure
from mambakernels.system.background import in_a_thread


@dataclass(frozen=True)
class Question:
    """A kernelspec, by its folder and the content of its `kernel.json`, and the code to execute, if any."""

    name: str
    folder: Path
    document: Json
    code: str | None = None


@dataclass(frozen=True)
class Answer:
    """A kernel's `kernel_info` (empty if it never answered), the MIME bundles it displayed, and its failure, if any."""

    info: Mapping[str, Any] = field(default_factory=dict)
    displayed: Sequence[Json] = ()
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
    displayed: list[Json] = []
    try:
        async with session.start(_kernel(question), question.folder) as kernel:
            info = await kernel.ready(timeout)
            if question.code is not None:
                displayed = await kernel.run(question.code, timeout)
    except session.RunStoppedError as stopped:
        return Answer(info, displayed, stopped.failure)
    except (TypeError, TraitError) as error:  # a value in kernel.json that Jupyter cannot use
        return Answer(info, failure=Failure(cell=None, ename=type(error).__name__, evalue=str(error)))
    return Answer(info, displayed)


def _kernel(question: Question) -> Kernel:
    from jupyter_client.kernelspec import KernelSpec

    spec = KernelSpec(resource_dir=str(question.folder), **question.document)
    return Kernel(question.name, spec, fingerprint="")
