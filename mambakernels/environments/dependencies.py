"""The graph of an environment's packages: what a package needs, and what stays when packages go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mambakernels import errors
from mambakernels.engines import Package
from mambakernels.engines.match_spec import dependency_name
from mambakernels.environments.environment import Environment
from mambakernels.environments.linker import NUMERIC
from mambakernels.environments.spec import is_numeric


def _depends(package: Package) -> set[str]:
    """Return the names of the packages that a package needs."""
    return set(map(dependency_name, package.record.get("depends", ())))


def closure(records: Mapping[str, Package], names: Collection[str]) -> set[str]:
    """Return the names and those of all their dependencies."""
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in records and name not in reached:
            reached.add(name)
            waiting += _depends(records[name])
    return reached


def remaining(
    environment: Environment, records: Mapping[str, Package], roots: set[str], names: Sequence[str]
) -> set[str]:
    """Return the packages that stay when `names` go with all that only they needed.

    `roots` are the names in the specs that stay. InvalidRequestError if a package that stays needs one that goes.
    """
    if not any(name in roots for name in records) or "ipykernel" in names:
        raise errors.InvalidRequestError(
            f"Without {', '.join(names)}, {environment.name!r} would no longer be a kernel.",
            next_step=f"Remove the whole environment: mambakernels remove {environment.place.argument}",
        )
    if is_numeric([*(closure(records, roots) - set(names))]):
        roots = roots | {NUMERIC}
    orphans = closure(records, names) - set(names)
    independent = records.keys() - orphans - set(names) - {NUMERIC}
    kept = closure(records, {*roots, *(independent & _without_parents(records, names))})
    for name in names:
        if name in kept:
            users = sorted(other for other in kept if name in _depends(records[other]))
            raise errors.InvalidRequestError(
                f"{name} is needed by {', '.join(users)}.",
                where=str(environment.prefix),
                next_step="Uninstall those as well, or keep it.",
            )
    return kept


def _without_parents(records: Mapping[str, Package], gone: Sequence[str]) -> set[str]:
    """Return the packages that no other package needs, so that a user must have asked for them."""
    children = {child for package in records.values() for child in _depends(package)}
    return set(records) - children - set(gone)
