"""A verified micromamba: found, downloaded, checked, installed, removed."""
