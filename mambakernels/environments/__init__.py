"""Environments: their specs, their manifests, and every change of them, each atomic and under a lock."""

from mambakernels.environments.changes import (
    Change,
    Planner,
    change,
    clone_environment,
    discard_environment,
    installing,
    repair,
    uninstalling,
    updating,
)
from mambakernels.environments.cleanup import Cleaned, clean_root
from mambakernels.environments.creation import create_environment, solve
from mambakernels.environments.environment import (
    MANIFEST,
    Environment,
    Location,
    NameOrPath,
    check_environment_name,
    get,
    held,
    list_environments,
    owned,
)
from mambakernels.environments.exports import Format, export, lock, lock_of
from mambakernels.environments.parallel import create_in_parallel
from mambakernels.environments.spec import EnvironmentSpec, of_packages, read_file, requested
from mambakernels.environments.staging import check_unused, pip_installed
from mambakernels.environments.verification import Damage, Verification, verify

__all__ = [
    "MANIFEST",
    "Change",
    "Cleaned",
    "Damage",
    "Environment",
    "EnvironmentSpec",
    "Format",
    "Location",
    "NameOrPath",
    "Planner",
    "Verification",
    "change",
    "check_environment_name",
    "check_unused",
    "clean_root",
    "clone_environment",
    "create_environment",
    "create_in_parallel",
    "discard_environment",
    "export",
    "get",
    "held",
    "installing",
    "list_environments",
    "lock",
    "lock_of",
    "of_packages",
    "owned",
    "pip_installed",
    "read_file",
    "repair",
    "requested",
    "solve",
    "uninstalling",
    "updating",
    "verify",
]
list = list_environments  # noqa: A001 (the public name: mambakernels.list)
