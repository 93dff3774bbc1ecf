"""Checks of running kernels: each is started, and the rulebook judges the libraries that it really loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mambakernels import errors
from mambakernels.activation import capture
from mambakernels.doctor import targets
from mambakernels.doctor.numpy_libraries import blas_name, fits, mismatch, wanted_build
from mambakernels.doctor.survey import RegisteredKernel, Survey
from mambakernels.kernels.specs import is_gone
from mambakernels.numeric import rules
from mambakernels.numeric.rules import Finding
from mambakernels.progress import Progress
from mambakernels.runs.questions import Answer, Question, ask

_MIME_TYPE = "application/vnd.mambakernels.doctor+json"
# Runs in Python kernels; of others, only whether they answer can be known.
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
_FROM_FILES = frozenset({"setting", "outside"})  # checked without the rulebook, also where numeric is not installed


def check_started(survey: Survey, *, timeout: float, progress: Progress) -> Iterator[Finding]:
    """Start each kernel that can start, a few at a time, and yield those that fail or do not run as they should.

    Each kernel has `timeout` seconds to answer.
    """
    started = [kernel for kernel in survey.kernels if not (is_gone(kernel.spec.prefix) or kernel.malformed)]
    for kernel in started:
        yield from _activating(kernel)
    questions = [
        Question(kernel.spec.name, kernel.spec.path, kernel.document, _PROBE if kernel.is_python else None)
        for kernel in started
    ]
    answers = ask(questions, timeout=timeout, jobs=survey.processors.threads, progress=progress)
    for kernel, answer in zip(started, answers, strict=True):
        yield from _judge(kernel, answer, survey)


def _activating(kernel: RegisteredKernel) -> Iterator[Finding]:
    """Try to activate the environment again if its activation has changed, as registering again would do."""
    try:
        drifted = targets.has_drifted(kernel)
    except errors.ActivationError:
        return  # the files have shown it already
    try:
        if drifted:
            capture.capture(kernel.spec.prefix, root=kernel.spec.root)
    except errors.ActivationError as error:
        yield targets.not_activated(kernel, error)


def _judge(kernel: RegisteredKernel, answer: Answer, survey: Survey) -> Iterator[Finding]:
    stands_in = answer.info.get("implementation") == _STAND_IN
    if answer.failure is not None or stands_in:
        yield _failed(kernel, answer, stands_in=stands_in)
        return
    displayed = (bundle[_MIME_TYPE] for bundle in answer.displayed if _MIME_TYPE in bundle)
    probe: Mapping[str, Any] = next(displayed, {})
    if probe:
        yield from _shadowed(kernel, probe)
    if "blas" in probe:
        yield from _by_the_rules(kernel, probe, survey)


def _failed(kernel: RegisteredKernel, answer: Answer, *, stands_in: bool) -> Finding:
    """Return how a start failed, in the words of the stand-in, of Python, or of the kernel's standard error."""
    failure = answer.failure
    reason = f"{failure.ename}: {failure.evalue}" if failure else "the stand-in answered in its place."
    began = answer.info and not stands_in
    output = failure.stderr.strip() if failure else ""
    return kernel.finding(
        "start",
        "error",
        f"NumPy cannot be imported in it: {reason}" if began else f"It does not start: {reason}",
        why=f"The kernel's output:\n{output}" if output else "It gave no output.",
        remedy=_remedy(kernel),
    )


def _remedy(kernel: RegisteredKernel) -> str:
    managed = kernel.prefix.environment is not None
    return kernel.prefix.command("verify", "--repair") if managed else kernel.register_command()


def _shadowed(kernel: RegisteredKernel, probe: Mapping[str, Any]) -> Iterator[Finding]:
    file, site = Path(probe["numpy_file"] or ""), kernel.prefix.site
    has_numpy = site is not None and (site / "numpy").is_dir()
    if has_numpy and not file.resolve().is_relative_to(kernel.spec.prefix.resolve()):
        yield kernel.finding(
            "user-site",
            "warning",
            f"It imports a NumPy that is not the environment's: {file}.",
            why=rules.RULES["outside"].why,
            remedy=kernel.register_command(without=("PYTHONNOUSERSITE", "PYTHONPATH")),
        )


def _by_the_rules(kernel: RegisteredKernel, probe: Mapping[str, Any], survey: Survey) -> Iterator[Finding]:
    """Ask the rulebook; its notes explain differences between libraries, and are left to `bench`."""
    want = wanted_build(kernel.prefix)
    made_for = None if want is None or fits(probe["blas"]["name"], want) else blas_name(want)
    for finding in rules.findings(probe, asked=kernel.spec.threads, made_for=made_for):
        if finding.is_problem and finding.rule not in _FROM_FILES:
            yield _with_remedy(kernel, finding, want, probe, survey)


def _with_remedy(
    kernel: RegisteredKernel, finding: Finding, want: str | None, probe: Mapping[str, Any], survey: Survey
) -> Finding:
    remedy = _remedy(kernel)
    if finding.rule == "blas" and want is not None:
        library = probe["blas"]["library"] or ""
        bundled = not Path(library).is_relative_to(kernel.spec.prefix / "lib") or ".libs" in library
        other = mismatch(kernel.prefix, want, finding.text, numpy_of_pip=bundled)
        finding, remedy = replace(finding, why=other.why), other.remedy
    elif finding.rule == "openmp":
        remedy = kernel.prefix.command("verify")
    elif finding.rule == "cpu-quota":
        remedy = kernel.register_command(threads=survey.processors.threads)
    return kernel.finding(finding.rule, finding.severity, finding.text, why=finding.why, remedy=remedy)
