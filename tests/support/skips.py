"""The reasons for which a test may be skipped; any other reason fails the session: a pytest plugin."""

from __future__ import annotations

import os
import re

import pytest

# What no machine has to have.
ELSEWHERE = (
    "no micromamba: ",
    "this micromamba can",
    "only on Linux: ",
    "only where there is no Windows: ",
    "only on Debian: ",
    "PowerShell is here",
    "there is no wheel of NumPy 1.26 for this Python",
)
# What CI has, and another machine may lack; the reason says what to install.
LACKING = (
    r"\w+ is not installed",
    "This machine lacks ",
    "no C compiler: ",
    "two threads need two cores",
    "a process may not mount anything for itself here",
)
EXIT_STATUS = 8  # not that of tests that failed, which `.ci/run` runs once more
_unexpected: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a skip that is not allowed here."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    allowed = ELSEWHERE if os.environ.get("CI") == "true" else (*ELSEWHERE, *LACKING)
    if not re.match(f"(Skipped: )?({'|'.join(allowed)})", reason):
        _unexpected.append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test was skipped that is not allowed to be."""
    if _unexpected:
        session.exitstatus = EXIT_STATUS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were skipped and are not allowed to be."""
    if _unexpected:
        terminalreporter.section("skipped for a reason that support/skips.py does not list", red=True)
        for line in _unexpected:
            terminalreporter.line(line)
