"""Notebooks executed headlessly: parameters in, executed notebooks and their records out. Nothing here knows BLAS."""
