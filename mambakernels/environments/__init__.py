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
from mambakernels.environments.cleanup import Cleaned, delete_leftovers
from mambakernels.environments.creation import create_environment, solve_spec
from mambakernels.environments.environment import (
    MANIFEST,
    Environment,
    Location,
    NameOrPath,
    check_environment_name,
    environments_under,
    find_environment,
    held,
    owned,
)
from mambakernels.environments.exports import Format, export_text, lock_environment, lock_spec
from mambakernels.environments.parallel import create_in_parallel
from mambakernels.environments.spec import EnvironmentSpec, read_file
from mambakernels.environments.staging import pip_installed
from mambakernels.environments.verification import Damage, Verification, verify_files

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
    "clone_environment",
    "create_environment",
    "create_in_parallel",
    "delete_leftovers",
    "discard_environment",
    "environments_under",
    "export_text",
    "find_environment",
    "held",
    "install_specs",
    "lock_environment",
    "lock_spec",
    "owned",
    "pip_installed",
    "read_file",
    "repair",
    "solve_spec",
    "uninstall_packages",
    "update_packages",
    "verify_files",
]
