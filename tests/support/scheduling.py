"""Which tests are quick, and how workers share the others: a pytest plugin.

The groups are our own, as those of `--dist loadgroup` come to nothing with pytest 9.2: pytest-xdist 3.8 adds a test's
group to its identity, which can no longer be changed. Then each test is a group, and every worker makes the fixtures of
every module.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

EXPENSIVE = {"root", "environments", "browser"}  # fixtures
WIDE = {"class", "module", "package"}  # scopes; a session's fixtures are made for all workers together


@pytest.hookimpl(tryfirst=True)  # before `-m quick` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is quick, and put what takes long first; in a worker, write down which tests belong together."""
    for item in items:
        if not _is_slow(item) and item.get_closest_marker("exhaustive") is None:
            item.add_marker("quick")
    builder = next((_module(item) for item in items if "root" in _fixtures(item)), "")
    with_channel = {_group(item) for item in items if "root" in _fixtures(item)}
    items.sort(key=lambda item: _turn(item, builder, with_channel))
    if "groups" in (given := getattr(config, "workerinput", {})):
        groups = {item.nodeid: _group(item) for item in items}
        Path(given["groups"], given["workerid"]).write_text(json.dumps(groups), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Let the process that has workers distribute the groups."""
    if not hasattr(config, "workerinput"):
        folder = TemporaryDirectory(prefix="groups-")
        config.add_cleanup(folder.cleanup)
        config.pluginmanager.register(_Distributing(Path(folder.name)))


class _Distributing:
    """Sends the tests of a group to one worker, and the next group to the worker that is ready first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Say to a worker where to write down the groups."""
        node.workerinput["groups"] = str(self._folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Return a scheduler that reads the groups when all workers have collected."""
        from xdist.scheduler import LoadScopeScheduling

        folder = self._folder

        class Groups(LoadScopeScheduling):
            groups: Mapping[str, str] = {}

            def _split_scope(self, nodeid: str) -> str:
                if not self.groups:
                    self.groups = json.loads(next(folder.iterdir()).read_text(encoding="utf-8"))
                return self.groups[nodeid]

        return Groups(config, log) if config.getvalue("dist") == "loadgroup" else None


def _turn(item: pytest.Item, builder: str, with_channel: Collection[str]) -> int:
    """Return 0 for the module that builds the channel, 1 for slow groups without it, 2 for those with it, 3 for others.

    While one worker builds the channel, another has work that does not need it; quick tests even out the end.
    """
    if _module(item) == builder:
        return 0
    if _group(item) in with_channel:
        return 2
    return 1 if _is_slow(item) else 3


def _is_slow(item: pytest.Item) -> bool:
    marked = any(item.get_closest_marker(name) for name in ("slow", "browser"))
    return marked or not EXPENSIVE.isdisjoint(_fixtures(item))


def _group(item: pytest.Item) -> str:
    return _module(item) if _is_kept_together(item) else item.nodeid


def _is_kept_together(item: pytest.Item) -> bool:
    """Whether a test belongs with its module: it shares fixtures with others, or is quick."""
    shares = any(definitions[-1].scope in WIDE for definitions in _fixtures(item).values())
    return shares or item.get_closest_marker("slow") is None


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _fixtures(item: pytest.Item) -> Mapping[str, Sequence[pytest.FixtureDef[Any]]]:
    found: Mapping[str, Sequence[pytest.FixtureDef[Any]]] = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    return found
