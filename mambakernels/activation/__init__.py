"""Activated environments: what activation changes, and programs and shells that run with it."""
