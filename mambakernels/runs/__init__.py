"""Notebooks executed headlessly: parameters in, executed notebooks and tidy measurements out."""
