"""What the try-out shares: a channel with a real CPython in it, and processes that must be gone."""

from __future__ import annotations

import sys

collect_ignore_glob = [] if sys.platform == "win32" else ["test_*.py"]
