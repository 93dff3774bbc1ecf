"""What lessons ask for: comparisons and values of functions on kernels, answered by this process in lines of JSON.

A lesson runs in a kernel whose environment holds NumPy, but not mambakernels. So it starts the Python that registered
its kernel, with this module, and sends a request; the answer is the last line. This process ends when its input does.
"""

from __future__ import annotations

import _thread
import json
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, TextIO

from mambakernels.bench.comparing import compare_codes, measurable, registered
from mambakernels.bench.live_kernel import LiveKernel
from mambakernels.errors import MambakernelsError
from mambakernels.numeric.user_code import UserCode
from mambakernels.progress import Progress
from mambakernels.runs.kernelspecs import find_kernels
from mambakernels.system.background import in_a_thread
from mambakernels.system.interruption import interruptible
from mambakernels.system.scratch import scratch_folder

Json = dict[str, Any]


def main() -> None:
    """Answer the request in the first line of standard input; signals end it, and the kernels that it has started."""
    with interruptible():
        _answer()


def _answer() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()

    def say(**line: Any) -> None:
        print(json.dumps(line), file=answers, flush=True)

    try:
        say(answer=_ANSWERS[request.pop("what")](request, lambda event: say(step=event.step, detail=event.detail)))
    except MambakernelsError as error:
        say(error=str(error))


def _end_with_input(lines: TextIO = sys.stdin) -> None:
    lines.read()
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:  # Windows
        _thread.interrupt_main()


def _comparison(request: Json, progress: Progress) -> Json:
    codes = [UserCode(**code) for code in request.pop("codes")]
    own = request.pop("own")
    kernels = request.pop("kernels") or registered() or [own]
    return compare_codes(codes, kernels=kernels, progress=progress, **request).as_dict()


def _values(request: Json, progress: Progress) -> Json:
    kernels, lines = measurable(find_kernels(request["kernels"] or registered() or [request["own"]]))
    code = UserCode(**request["code"])
    live = [LiveKernel(kernel, request["threads"]) for kernel in kernels]
    values = in_a_thread(lambda report: _evaluate(live, code, request, report), progress)
    lines += [f"{one.kernel.name} is left out: {one.failure}." for one in live if one.failure]
    return {"values": values, "left_out": lines}


async def _evaluate(kernels: Sequence[LiveKernel], code: UserCode, request: Json, progress: Progress) -> Json:
    """Call the function on one kernel after the other; a kernel on which it fails has no value."""
    import asyncio

    from mambakernels.progress import Event

    limit, values = request["limit"], {}
    with scratch_folder() as folder:
        try:
            for live in kernels:
                progress(Event("starting", live.kernel.name))
                await live.start(folder)
            await asyncio.gather(*(live.boot(limit) for live in kernels))
            for live in kernels:
                progress(Event("running", f"{code.name} on {live.kernel.name}"))
                await live.ask("define", vars(code), timeout=limit)
                answer = await live.ask("value", code.name, request["arguments"], timeout=limit)
                if answer is not None:
                    values[live.kernel.name] = answer["value"]
        finally:
            await asyncio.gather(*(live.stop() for live in kernels))
    return values


_ANSWERS = {"comparison": _comparison, "values": _values}
