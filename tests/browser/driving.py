"""A real JupyterLab and a real browser: each there for a block of code, and gone after it whatever happens."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, ViewportSize, sync_playwright
from support.python_kernels import ABSENT_FROM_SERVERS, without_what_is_slow

START_SECONDS = 180
STOP_SECONDS = 60
VIEWPORT: ViewportSize = {"width": 1280, "height": 800}
WAIT_MILLISECONDS = 120_000  # for anything on a page: Playwright's own 30 s are too few on a machine that is busy
CHROMIUM = (
    "--no-sandbox",  # root, as containers and CI machines often are
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Neither news nor updates are looked for on the network; every cell is in the page, in view or not.
SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
SHOWN = ":not(.lm-mod-hidden)"  # of the tabs
CARDS = f".jp-MainAreaWidget{SHOWN} .jp-LauncherCard[data-category=Notebook]"
ERRORS = ("application/vnd.jupyter.error", "application/vnd.jupyter.stderr")


def lacking() -> list[str]:
    """Return what driving JupyterLab needs and this machine does not have."""
    programs = [name for name in ("chromium",) if shutil.which(name) is None]
    return programs + [name for name in ("jupyterlab",) if find_spec(name) is None]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's browser, without a window.

    While it is there, an event loop runs in this thread: `mambakernels.run` has to come before or after.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def jupyterlab(folder: Path, *, state: Path) -> Iterator[Lab]:
    """Serve `folder` with this Python's JupyterLab; settings, connection files and the log go to `state`."""
    _write_settings(state / "config" / "lab" / "user-settings" / "@jupyterlab")
    token = os.urandom(16).hex()
    argv = ["--no-browser", "--allow-root", "--ServerApp.port=0", f"--ServerApp.root_dir={folder}"]
    places = {"JUPYTER_CONFIG_DIR": str(state / "config"), "JUPYTER_RUNTIME_DIR": str(state / "runtime")}
    # Its kernels have a debugger: JupyterLab complains of those that have none.
    quick = without_what_is_slow(ABSENT_FROM_SERVERS)
    with (state / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *argv],
            env={**os.environ, **places, **quick, "JUPYTER_TOKEN": token},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Lab(_address(server, state), token, server.pid)
        finally:
            _stop(server)


@dataclass(frozen=True)
class Lab:
    """A server that answers."""

    url: str
    token: str
    pid: int

    def set_settings(self, page: Page, plugin: str, values: dict[str, Any]) -> None:
        """Set a plug-in's settings, for pages that are opened from now on."""
        address = f"{self.url}lab/api/settings/{plugin}"
        answer = page.request.put(
            address, data={"raw": json.dumps(values)}, headers={"Authorization": f"token {self.token}"}
        )
        assert answer.ok, answer.text()

    def load(self, page: Page) -> None:
        """Load JupyterLab as for the first time."""
        page.goto(f"{self.url}lab?token={self.token}&reset")
        page.locator(CARDS).first.wait_for()

    def launcher(self, page: Page) -> Locator:
        """Return the launcher's cards for new notebooks: of JupyterLab as the page has it, loaded if it has none.

        Loading takes seconds of work. JupyterLab looks for kernels then, and seldom later.
        """
        cards = page.locator(CARDS)
        if not self._is_ready_in(page):
            self.load(page)
        elif cards.count() == 0:
            page.locator(f".lm-TabBar-addButton{SHOWN}").click()
            cards.first.wait_for()
        return cards

    def new(self, page: Page, display_name: str) -> Notebook:
        """Make a notebook by a click on a kernel's card in the launcher, and wait for the kernel."""
        self.launcher(page).filter(has=page.get_by_text(display_name, exact=True)).click()
        notebook = Notebook(page)
        notebook.wait_for_kernel(display_name)
        return notebook

    def open(self, page: Page, name: str) -> Notebook:
        """Load JupyterLab with a notebook of the served folder, and wait until it has the kernel that it names."""
        page.goto(f"{self.url}lab/tree/{name}?token={self.token}&reset")
        notebook = Notebook(page)
        notebook.wait_for_kernel()
        return notebook

    def open_from_list(self, page: Page, name: str) -> Notebook:
        """Open a notebook with a double click in the list of files, and wait until it has the kernel that it names."""
        if not self._is_ready_in(page):
            self.load(page)
        page.locator(".jp-DirListing-item").filter(has_text=name).dblclick()
        page.locator(".lm-DockPanel-tabBar .lm-mod-current").filter(has_text=name).wait_for()
        notebook = Notebook(page)
        notebook.panel.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
        notebook.wait_for_kernel()
        return notebook

    def _is_ready_in(self, page: Page) -> bool:
        """Whether a page has this JupyterLab, and no dialog that a test left open."""
        return page.url.startswith(f"{self.url}lab") and page.locator(".jp-Dialog").count() == 0


class Notebook:
    """The notebook that a page shows, used as a student uses it: with mouse and keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.locator(f".jp-NotebookPanel{SHOWN}")
        self.cells = self.panel.locator(".jp-Notebook .jp-CodeCell")
        self.outputs = self.panel.locator(".jp-Notebook .jp-OutputArea-output")
        self.errors = self.panel.locator(", ".join(f".jp-Notebook [data-mime-type='{kind}']" for kind in ERRORS))
        self.kernel_name = self.panel.locator(".jp-NotebookPanel-toolbar [data-jp-item-name=kernelName]")

    def wait_for_kernel(self, display_name: str = "") -> None:
        """Wait until the status bar says that the kernel (that one, if named) is connected and has nothing to do."""
        status = re.compile(f"{re.escape(display_name)} [|] Idle$")
        self.page.locator("#jp-main-statusbar").get_by_text(status).wait_for()

    def choose_kernel(self, display_name: str) -> None:
        """Switch to another kernel with the kernel picker, and wait for it."""
        self.kernel_name.click()
        dialog = self.page.locator(".jp-Dialog")
        dialog.locator("select").select_option(label=display_name)
        dialog.get_by_role("button", name="Select Kernel").click()
        self.wait_for_kernel(display_name)

    def write(self, cell: Locator, code: str) -> None:
        """Replace what a code cell says."""
        cell.locator(".cm-content").fill(code)

    def run_all(self) -> None:
        """Run every cell from the menu, and wait until the last has run or one has failed."""
        self._choose("Edit", "Clear Outputs of All Cells")
        self._choose("Run", "Run All Cells")
        last = self.cells.last.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[\d+\]"))
        last.or_(self.errors).first.wait_for()

    def run(self, cell: Locator) -> None:
        """Run one cell and do not wait."""
        cell.locator(".cm-content").press("Control+Enter")

    def restart(self) -> None:
        """Press the toolbar's arrow, confirm, and wait for the kernel."""
        self.panel.locator("jp-button[data-command='notebook:restart-kernel']").click()
        self.page.locator(".jp-Dialog").get_by_role("button", name="Confirm Kernel Restart").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.wait_for_kernel()

    def restart_from_menu(self) -> None:
        """Restart the kernel from the menu, confirm, and wait for it."""
        self._choose("Kernel", "Restart Kernel…")
        self.page.locator(".jp-Dialog").get_by_role("button", name="Confirm Kernel Restart").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.wait_for_kernel()

    def shut_down(self) -> None:
        """Shut the kernel down from the menu, and do not wait."""
        self._choose("Kernel", "Shut Down Kernel")

    def interrupt(self) -> None:
        """Press the toolbar's square."""
        self.panel.locator("jp-button[data-command='notebook:interrupt-kernel']").click()

    def _choose(self, menu: str, item: str) -> None:
        self.page.locator(".lm-MenuBar-item").filter(has_text=re.compile(f"^{menu}$")).click()
        self.page.locator(".lm-Menu-item").filter(has_text=re.compile(f"^{item}")).click()


def _write_settings(folder: Path) -> None:
    for name, values in SETTINGS.items():
        file = folder / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")


def _address(server: subprocess.Popen[bytes], state: Path) -> str:
    """Wait for the file in which a running server says where it listens."""
    file = state / "runtime" / f"jpserver-{server.pid}.json"
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            return str(json.loads(file.read_text(encoding="utf-8"))["url"])
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.05)
    log = (state / "server.log").read_text(encoding="utf-8", errors="replace")
    raise RuntimeError(f"JupyterLab did not start (status {server.poll()}):\n{log}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Let the server shut its kernels down; if it does not, end it: kernels leave when their parent has gone."""
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
