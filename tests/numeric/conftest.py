from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture
def flags_ignored() -> Iterator[None]:
    """As measuring has it: libraries leave flags behind that say nothing of the result, where processors have SME."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small matrices gain nothing from a second thread, which waits for work in a loop: half of the CPU time."""
    with threadpool_limits(1):
        yield
