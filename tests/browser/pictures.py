"""The pictures of README and docs, which tests take of what they show: `PICTURES=FOLDER pytest -m browser`.

Tests that take one show more than they have to if the folder is given, as a reader expects to see real sizes.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page

COLORS = 256


def wanted() -> bool:
    """Whether pictures are asked for."""
    return "PICTURES" in os.environ


def take(shown: Page | Locator, name: str) -> None:
    """Write a picture with a palette, which is small, to the folder that is asked for, if one is."""
    if not wanted():
        return
    folder = Path(os.environ["PICTURES"])
    folder.mkdir(parents=True, exist_ok=True)
    (shown if isinstance(shown, Page) else shown.page).mouse.move(0, 0)  # a row under it has another colour
    with Image.open(BytesIO(shown.screenshot())) as full:
        few = full.convert("RGB").quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(folder / f"{name}.png", optimize=True)
