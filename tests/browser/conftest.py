"""A browser and a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """What no test here can do without."""
    from browser import driving

    if lacking := driving.lacking():
        pytest.skip(f"This machine lacks {' and '.join(lacking)}.")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser per module: it must be gone before tests elsewhere start event loops of their own."""
    from browser import driving
    from playwright.sync_api import expect

    expect.set_options(timeout=driving.WAIT_MILLISECONDS)
    with driving.chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page that knows nothing of earlier ones; what it showed last is kept beside the test's files."""
    with _new_page(browser) as page:
        yield page
        page.screenshot(path=tmp_path / "last.png")


@pytest.fixture(scope="module")
def lasting(browser: Browser) -> Iterator[Page]:
    """One page for the tests of a module: whatever it has loaded need not be loaded again, which takes seconds."""
    with _new_page(browser) as page:
        yield page


@contextmanager
def _new_page(browser: Browser) -> Iterator[Page]:
    from browser import driving

    page = browser.new_page(viewport=driving.VIEWPORT)
    page.set_default_timeout(driving.WAIT_MILLISECONDS)
    try:
        yield page
    finally:
        page.context.close()
