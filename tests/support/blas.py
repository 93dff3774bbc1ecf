"""The BLAS libraries that this machine can have, and the environment that tests make for one."""

from __future__ import annotations

from mambakernels.channels import blas_libraries
from mambakernels.environments import EnvironmentSpec

BLAS = [item.name for item in blas_libraries.available()]


def blas_spec(name: str, environment: str | None = None) -> EnvironmentSpec:
    """Return the spec of an environment with NumPy on a BLAS."""
    specs = blas_libraries.numpy_specs(name)
    return EnvironmentSpec(environment or f"np-{name}", specs, ("wheels",), "rattler")
