"""Checks of what runs: each kernel is started, and says which libraries it really loaded."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mambakernels import errors
from mambakernels.activation import capture
from mambakernels.doctor import blas, pointing
from mambakernels.doctor.findings import Finding, about
from mambakernels.doctor.look import Kernel, Look
from mambakernels.kernels.specs import is_gone
from mambakernels.progress import Progress
from mambakernels.runs.questions import Answer, Question, ask

_MIME_TYPE = "application/vnd.mambakernels.doctor+json"
# Asked of Python kernels; elsewhere, that the kernel answers at all is what can be known.
_PROBE = f"""
import importlib.util
from IPython.display import display
facts = {{}}
if importlib.util.find_spec("numpy"):
    import numpy
    facts["numpy_file"] = numpy.__file__
    try:
        from mambakernels.numeric import probe
    except ImportError:
        pass
    else:
        facts = probe().as_dict()
display({{{_MIME_TYPE!r}: facts}}, raw=True)
"""
_STAND_IN = "mambakernels-standin"


def check(look: Look, *, timeout: float, progress: Progress) -> Iterator[Finding]:
    """Start each kernel that can be, a few at a time, and say which do not start, or are not what they should be.

    `timeout` is for one kernel to answer, in seconds.
    """
    started = [kernel for kernel in look.kernels if not (is_gone(kernel.spec.prefix) or kernel.malformed)]
    for kernel in started:
        yield from _activating(kernel)
    questions = [
        Question(kernel.spec.name, kernel.spec.path, kernel.document, _PROBE if kernel.is_python else None)
        for kernel in started
    ]
    answers = ask(questions, timeout=timeout, jobs=look.machine.threads, progress=progress)
    for kernel, answer in zip(started, answers, strict=True):
        yield from _judge(kernel, answer, look)


def _activating(kernel: Kernel) -> Iterator[Finding]:
    """Try what registering it again would need, where the environment's activation has changed."""
    try:
        drifted = pointing.has_drifted(kernel)
    except errors.ActivationError:
        return  # files alone told so already
    try:
        if drifted:
            capture.capture(kernel.spec.prefix, root=kernel.spec.root)
    except errors.ActivationError as error:
        yield pointing.not_activated(kernel, error)


def _judge(kernel: Kernel, answer: Answer, look: Look) -> Iterator[Finding]:
    stands_in = answer.info.get("implementation") == _STAND_IN
    if answer.failure is not None or stands_in:
        yield _failed(kernel, answer, stands_in=stands_in)
        return
    facts = _facts(answer)
    if facts:
        yield from _shadowed(kernel, facts)
    if "blas" in facts:
        yield from _another_blas(kernel, facts)
        yield from _two_openmp(kernel, facts)
        yield from _too_many_threads(kernel, facts, look)


def _failed(kernel: Kernel, answer: Answer, *, stands_in: bool) -> Finding:
    """Say how a start failed: in the words of the stand-in, of Python, or of nobody but its standard error."""
    failure = answer.failure
    reason = f"{failure.ename}: {failure.evalue}" if failure else "the stand-in answered in its place."
    began = answer.info and not stands_in
    what = f"NumPy cannot be imported in it: {reason}" if began else f"It does not start: {reason}"
    said = failure.stderr.strip() if failure else ""
    return about(
        kernel.spec,
        "start",
        "error",
        what=what,
        why=f"The kernel's own words:\n{said}" if said else "It said nothing.",
        remedy=_remedy(kernel),
    )


def _remedy(kernel: Kernel) -> str:
    if kernel.prefix.environment is not None:
        return kernel.prefix.command("verify", "--repair")
    return kernel.again()


def _facts(answer: Answer) -> Mapping[str, Any]:
    """Return what the probe displayed; nothing of a kernel that was not probed."""
    found: Mapping[str, Any] = next((bundle[_MIME_TYPE] for bundle in answer.displayed if _MIME_TYPE in bundle), {})
    return found


def _shadowed(kernel: Kernel, facts: Mapping[str, Any]) -> Iterator[Finding]:
    file = Path(facts["numpy_file"] or "")
    site = kernel.prefix.site
    if (
        site is not None
        and (site / "numpy").is_dir()
        and not file.resolve().is_relative_to(kernel.spec.prefix.resolve())
    ):
        yield about(
            kernel.spec,
            "user-site",
            "warning",
            what=f"It imports a NumPy that is not the environment's: {file}.",
            why="What is computed there says nothing about this environment.",
            remedy=kernel.again(without=("PYTHONNOUSERSITE", "PYTHONPATH")),
        )


def _another_blas(kernel: Kernel, facts: Mapping[str, Any]) -> Iterator[Finding]:
    want, name = blas.wanted(kernel.prefix), facts["blas"]["name"]
    if want is None or name == "unknown" or fnmatch.fnmatchcase(f"0_{name}", want.pattern) or want.name.endswith(name):
        return
    library = facts["blas"]["library"] or "not known"
    what = f"It was made for {want.name}, and NumPy runs on {name}: {library}."
    bundled = not Path(library).is_relative_to(kernel.spec.prefix / "lib") or ".libs" in library
    remedy = blas.mismatch(kernel.prefix, want, what, numpy_of_pip=bundled)
    yield about(kernel.spec, "blas", "error", what=what, why=remedy.why, remedy=remedy.remedy)


def _two_openmp(kernel: Kernel, facts: Mapping[str, Any]) -> Iterator[Finding]:
    runtimes = facts["openmp"]
    if len(runtimes) > 1:
        yield about(
            kernel.spec,
            "openmp",
            "warning",
            what=f"NumPy alone loads {len(runtimes)} OpenMP runtimes: {', '.join(runtimes)}.",
            why="They fight for the cores, and may hang or crash. Never set KMP_DUPLICATE_LIB_OK to silence that.",
            remedy=kernel.prefix.command("verify"),
        )


def _too_many_threads(kernel: Kernel, facts: Mapping[str, Any], look: Look) -> Iterator[Finding]:
    machine, count = look.machine, facts["blas"]["threads"]
    if machine.quota is not None and count and count > machine.threads:
        yield about(
            kernel.spec,
            "cpu-quota",
            "warning",
            what=f"Its BLAS uses {count} threads, and the control group allows {machine.quota:g} cores' worth of time.",
            why="Threads beyond the quota wait for each other: often slower than one alone.",
            remedy=kernel.again(threads=machine.threads),
        )
