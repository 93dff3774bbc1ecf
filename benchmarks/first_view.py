"""How long a panel takes from the cell that asks for it to its first useful view in JupyterLab, with many environments.

    cd tests && VENV/bin/python ../benchmarks/first_view.py --environments 50

It makes environments of this Python, each with a kernel, starts JupyterLab and a browser, and runs a cell with
`mambakernels.lab.manager()` or `mambakernels.lab.explorer()` in a kernel that is just started, so what has to be
imported counts. The time runs in the browser: from the key that runs the cell until the panel shows every environment,
or the explorer every kernel. Exits with 1 if a median is over a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import driving
from browser.driving import Lab
from playwright.sync_api import Page
from support.running_kernels import make_environment

from mambakernels.environments import staging
from mambakernels.kernels import registration
from mambakernels.paths import ROOT_VARIABLE, Root

MOST_SECONDS = 1.0
ROWS = {"manager": ".mbk-table tbody tr", "explorer": ".mk-kernels input"}
# The seconds from now until as many of a kind are painted.
WATCH = """([selector, count]) => { window.shownAfter = new Promise((resolve) => {
  const begin = performance.now();
  const look = () => {
    const all = document.querySelectorAll(selector);
    if (all.length >= count && all[0].checkVisibility()) setTimeout(() => resolve((performance.now() - begin) / 1000));
    else requestAnimationFrame(look);
  };
  look();
}); }"""


class _Engine:
    """What the manifests say that made the environments: nothing is solved or linked here."""

    name, version = "rattler", "0"


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        os.environ.update({ROOT_VARIABLE: str(base / "root"), "JUPYTER_DATA_DIR": str(base / "jupyter")})
        _make(Root(base / "root"), options.environments)
        for name in ("notebooks", "state"):
            (base / name).mkdir()
        with driving.jupyterlab(base / "notebooks", state=base / "state") as lab, driving.chromium() as browser:
            page = browser.new_page()
            page.set_default_timeout(driving.WAIT_MILLISECONDS)
            taken = {
                panel: [_seconds(lab, page, panel, options.environments) for _ in range(options.rounds)]
                for panel in ROWS
            }
    for panel, seconds in taken.items():
        shown = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"{panel}: median {statistics.median(seconds):.2f} s of {shown}; load {os.getloadavg()[0]:.1f}")
    return int(any(statistics.median(seconds) > MOST_SECONDS for seconds in taken.values()))


def _make(root: Root, count: int) -> None:
    for number in range(count):
        made = make_environment(root.path, f"environment-{number:03}")
        staging.write_manifest(made.prefix, made, _Engine())  # type: ignore[arg-type]
        registration.register_kernels(made)


def _seconds(lab: Lab, page: Page, panel: str, count: int) -> float:
    notebook = lab.new(page, "Python 3 (ipykernel)")
    notebook.write(notebook.cells.first, f"import mambakernels\nmambakernels.lab.{panel}()")
    page.evaluate(WATCH, [ROWS[panel], count])
    notebook.run(notebook.cells.first)
    seconds = float(page.evaluate("window.shownAfter"))
    notebook.shut_down()
    return seconds


if __name__ == "__main__":
    sys.exit(main())
