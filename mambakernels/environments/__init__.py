"""Environments: what is asked for, what was made, and their whole life: each step atomic and locked."""

from mambakernels.environments.changes import (
    Change,
    clone_environment,
    discard_environment,
    install_specs,
    repair,
    uninstall_packages,
    update_packages,
)
from mambakernels.environments.cleanup import Cleaned, clean
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
from mambakernels.environments.exports import Format, export, lock
from mambakernels.environments.parallel import create_in_parallel
from mambakernels.environments.spec import EnvironmentSpec, read_file, requested
from mambakernels.environments.staging import pip_installed
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
    "Verification",
    "check_environment_name",
    "clean",
    "clone_environment",
    "create_environment",
    "create_in_parallel",
    "discard_environment",
    "export",
    "get",
    "held",
    "install_specs",
    "list_environments",
    "lock",
    "owned",
    "pip_installed",
    "read_file",
    "repair",
    "requested",
    "solve",
    "uninstall_packages",
    "update_packages",
    "verify",
]
list = list_environments  # noqa: A001 (the public name: mambakernels.list)
