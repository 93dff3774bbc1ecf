"""The report as a reader sees it: opened from the disk, light and dark, on a wide screen and on a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BLAS
from playwright.sync_api import Browser, Page

import mambakernels
from mambakernels import paths
from mambakernels.environments import Environment
from mambakernels.report import write_report

pytestmark = pytest.mark.browser

TINY = {"operations": ["gemm", "dot", "cholesky", "svd", "fft"], "sizes": [16, 32, 48], "repeats": 3, "budget": 0.05}
SCREENS = [
    pytest.param(scheme, width, id=f"{scheme}-{width}") for scheme in ("light", "dark") for width in (360, 1280)
]
# A sum of how light a colour is, 0 to 255; good enough to tell ink from paper.
LIGHTNESS = """element => {
    const colors = getComputedStyle(element)
    const light = color => color.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3
    return [light(colors.color), light(getComputedStyle(document.body).backgroundColor)]
}"""
