"""Which tests are quick, and how workers share the others: a pytest plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

EXPENSIVE = {"root", "environments", "browser"}  # fixtures
WIDE = {"class", "module", "package"}  # scopes; a session's fixtures are made for all workers together


@pytest.hookimpl(tryfirst=True)  # pytest-xdist then reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is quick; give every test a group, which one worker runs, and put what takes long first."""
    for item in items:
        if not _is_slow(item):
            item.add_marker("quick")
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_module(item) if _is_kept_together(item) else item.nodeid))
    builder = next((_module(item) for item in items if "root" in _fixtures(item)), "")
    items.sort(key=lambda item: _turn(item, builder))


def _turn(item: pytest.Item, builder: str) -> int:
    """Return 0 for the module that builds the channel, 1 for slow tests without it, 2 for those with it, 3 for others.

    While one worker builds the channel, another has work that does not need it; quick tests even out the end.
    """
    if _module(item) == builder:
        return 0
    if "root" in _fixtures(item):
        return 2
    return 1 if _is_slow(item) else 3


def _is_slow(item: pytest.Item) -> bool:
    marked = any(item.get_closest_marker(name) for name in ("slow", "browser"))
    return marked or not EXPENSIVE.isdisjoint(_fixtures(item))


def _is_kept_together(item: pytest.Item) -> bool:
    """Whether a test belongs with its module: it shares fixtures with others, or is quick."""
    shares = any(definitions[-1].scope in WIDE for definitions in _fixtures(item).values())
    return shares or item.get_closest_marker("slow") is None


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _fixtures(item: pytest.Item) -> Mapping[str, Sequence[pytest.FixtureDef[Any]]]:
    found: Mapping[str, Sequence[pytest.FixtureDef[Any]]] = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    return found
