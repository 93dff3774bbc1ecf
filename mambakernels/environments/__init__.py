"""Environments: what is asked for, what was made, and their whole life: each step atomic and locked."""

from mambakernels.environments.changing import (
    Change,
    clone,
    discard,
    install,
    remove,
    repair,
    uninstall,
    update,
)
from mambakernels.environments.cleaning import Cleaned, clean
from mambakernels.environments.environment import (
    MANIFEST,
    Environment,
    NameOrPath,
    Place,
    check_name,
    get,
    held,
    list_environments,
    owned,
)
from mambakernels.environments.exporting import Format, export, lock_environment, lock_spec
from mambakernels.environments.making import create, solve
from mambakernels.environments.several import create_several
from mambakernels.environments.spec import EnvironmentSpec, read_file
from mambakernels.environments.staging import pip_installed
from mambakernels.environments.verifying import Damage, Verification, verify

__all__ = [
    "MANIFEST",
    "Change",
    "Cleaned",
    "Damage",
    "Environment",
    "EnvironmentSpec",
    "Format",
    "NameOrPath",
    "Place",
    "Verification",
    "check_name",
    "clean",
    "clone",
    "create",
    "create_several",
    "discard",
    "export",
    "get",
    "held",
    "install",
    "list_environments",
    "lock_environment",
    "lock_spec",
    "owned",
    "pip_installed",
    "read_file",
    "remove",
    "repair",
    "solve",
    "uninstall",
    "update",
    "verify",
]
