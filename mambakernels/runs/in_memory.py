"""One run whose record is not on disk: for reports and tests."""

from __future__ import annotations

from mambakernels.progress import Event, Progress, silent
from mambakernels.runs.execution import code_cells, execute
from mambakernels.runs.records import Run
from mambakernels.runs.tasks import Task
from mambakernels.system.background import in_a_thread


def execute_in_memory(task: Task, progress: Progress = silent) -> tuple[Run, str]:
    """Execute a task and return its run and its executed notebook.

    The run's path is where the record would be. An exception here, Ctrl-C included, shuts the kernel down first.
    """
    executed: list[str] = []

    async def work(say: Progress) -> Run:
        total, name = len(code_cells(task.content())), task.notebook.path.name
        return await execute(
            task,
            task.output / task.names[0],
            attempt=1,
            report=lambda what, done: say(Event("report", f"{name}: {what}", done=done, total=total)),
            keep=lambda _, text: executed.append(text),
        )

    run = in_a_thread(work, progress)
    return run, executed[-1]
