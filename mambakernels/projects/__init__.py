"""A project's `kernels.toml`: read strictly, and made so."""
