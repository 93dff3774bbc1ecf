"""The measurements of BLAS libraries as a page."""
