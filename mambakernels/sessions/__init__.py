"""Kernels that stay alive, side by side: the same code in each, and what each of them showed."""
