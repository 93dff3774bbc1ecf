"""The `wheels` channel for its users: `mambakernels.channel.build`, `.list` and `.clean`."""

from mambakernels.channels.wheels import build, clean, list_packages

__all__ = ["build", "clean"]
list = list_packages  # noqa: A001 (the public name)
