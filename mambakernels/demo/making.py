"""The environments and kernels of a demo: one for each BLAS that is available here."""

from __future__ import annotations

from collections.abc import Sequence

from mambakernels import channels, engines, environments, errors, kernels, paths
from mambakernels.channels import blas_libraries
from mambakernels.demo import belongings
from mambakernels.engines import EngineName
from mambakernels.environments import Environment
from mambakernels.paths import Root
from mambakernels.progress import Event, Progress


def make_environments(
    blas: Sequence[str], *, channel: str, engine: EngineName, root: Root, progress: Progress
) -> tuple[list[Environment], dict[str, str]]:
    """Make an environment and its kernel for each BLAS; return them, and why other libraries are left out."""
    _, why = engines.choose(engine, root, progress=progress)
    progress(Event("engine", why))
    chosen = channels.choose(channel, root)
    progress(Event("channel", chosen.why))
    names, missing = _choose(blas, chosen.is_wheels)
    if chosen.is_wheels and names:
        missing = {**missing, **_provide(names, root, progress)}
    made = _create([name for name in names if name not in missing], chosen, engine, root, progress)
    if not made:
        raise errors.ChannelError("No BLAS is available here: " + "; ".join(missing.values()) + ".")
    for environment in made:
        progress(Event("register", environment.name))
        kernels.register(environment.name, root=root)
    return made, missing


def _choose(asked: Sequence[str], from_wheels: bool) -> tuple[list[str], dict[str, str]]:  # noqa: FBT001 (private)
    """Return the BLAS libraries to compare, and the reasons why others are left out."""
    known = list(blas_libraries.BY_NAME) if from_wheels else list(blas_libraries.CONDA_FORGE.get(paths.subdir(), ()))
    if unknown := [name for name in asked if name not in known]:
        raise errors.InvalidRequestError(
            f"No BLAS called {', '.join(unknown)} is available here.", next_step=f"Available: {', '.join(known)}."
        )
    made_for_here = [blas.name for blas in blas_libraries.TABLE if blas_libraries.is_made_for_here(blas)]
    wanted = list(asked) or (made_for_here if from_wheels else known)
    reasons = {name: blas_libraries.why_not(blas_libraries.BY_NAME[name]) for name in wanted} if from_wheels else {}
    missing = {name: reason for name, reason in reasons.items() if reason}
    return [name for name in wanted if name not in missing], missing


def _provide(names: Sequence[str], root: Root, progress: Progress) -> dict[str, str]:
    """Build the channel for all libraries at once; return the reasons why some are unavailable."""
    from mambakernels.channels import wheels

    state = wheels.ensure(root, [belongings.libblas(name) for name in names], progress=progress)
    return {name: reason for name, reason in state.unavailable.items() if name in names}


def _create(
    names: Sequence[str], channel: channels.Channel, engine: EngineName, root: Root, progress: Progress
) -> list[Environment]:
    """Create an environment per BLAS, in parallel; remember them first, so that they can be cleaned up."""
    specs = [
        environments.EnvironmentSpec(belongings.PREFIX + name, belongings.specs(name), (channel.name,), engine)
        for name in names
    ]
    belongings.remember(
        root, environments=[spec.name for spec in specs if not (root.environments / spec.name).exists()]
    )
    made = environments.create_in_parallel(specs, root=root, progress=_without_choices(progress))
    if others := [environment for environment in made if channel.url not in environment.channels]:
        raise errors.InvalidRequestError(
            f"{others[0].name} comes from another channel than {channel.name}, so the comparison would not be fair.",
            where=", ".join(others[0].channels),
            next_step=f"Remove it, then run the demo again: mambakernels remove {others[0].name}",
        )
    return made


def _without_choices(progress: Progress) -> Progress:
    """Leave out the events that were reported for all environments already."""
    return lambda event: None if event.step in {"engine", "channel"} else progress(event)
