from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture
def flags_ignored() -> Iterator[None]:
    """As measuring has it: libraries leave flags behind that say nothing of the result, where processors have SME."""
    with np.errstate(all="ignore"):
        yield
