"""Projects: a `kernels.toml` is read strictly, and its environments and kernels are brought in line with it."""
