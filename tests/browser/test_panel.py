"""The panel of environments in JupyterLab, used with mouse and keyboard; what it made is there, what it says is so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from browser import driving
from browser.driving import Lab, Notebook
from playwright.sync_api import Browser, Locator, Page, expect
from support import growing_channel
from support.channel_server import Fault, Site, serve

import mambakernels
from mambakernels.paths import Root

pytestmark = pytest.mark.browser
MILLISECONDS = 120_000
# The contrast of each text of the panel with what is behind it.
CONTRASTS = """() => {
  const context = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d");
  const over = (colors) => {
    for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
      .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  };
  const walker = document.createTreeWalker(document.querySelector(".mbk"), NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const visible = walker.currentNode.data.trim() && node.checkVisibility({visibilityProperty: true});
    if (!visible || node.closest(":disabled")) continue;
    const behind = [];
    for (let one = node; one; one = one.parentElement) behind.unshift(getComputedStyle(one).backgroundColor);
    const shades = [over(["#fff", ...behind]), over(["#fff", ...behind, getComputedStyle(node).color])];
    const [dark, light] = shades.sort((a, b) => a - b);
    found.push([walker.currentNode.data.trim(), (light + 0.05) / (dark + 0.05)]);
  }
  return found;
}"""


@dataclass(frozen=True)
class Shown:
    """The panel in a page, the root that it shows, and the channel to make environments from."""

    lab: Lab
    page: Page
    root: Root
    site: Site
    folder: Path  # of pictures
    errors: list[str]

    @property
    def status(self) -> Locator:
        return self.page.locator(".mbk-activity .status")

    @property
    def code(self) -> Locator:
        return self.page.get_by_label("The line of Python that does the same")

    @property
    def rows(self) -> Locator:
        return self.page.locator(".mbk-table tbody tr")

    def row(self, name: str) -> Locator:
        return self.rows.filter(has=self.page.get_by_role("radio", name=name, exact=True))

    def turn_to(self, title: str) -> None:
        self.page.locator(".mbk").get_by_role("tab", name=title).click()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def fill(self, **fields: str) -> None:
        for label, value in fields.items():
            self.page.get_by_label(label, exact=True).fill(value)

    def create(self, name: str, specs: str = "python grown") -> None:
        self.turn_to("Create")
        self.fill(Name=name, Specs=specs, Channel=self.site.url("channel"))
        self.press("Create")

    def walk_to(self, control: Locator) -> None:
        """Press the tabulator until a control has the focus."""
        for _ in range(12):
            if control.evaluate("control => control === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        expect(control).to_be_focused()

    def picture(self, name: str) -> None:
        """Keep what is seen."""
        self.page.locator(".mbk").first.screenshot(path=self.folder / f"{name}.png")


@pytest.fixture(scope="module")
def panel(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A notebook with the panel, in a root where nothing was made."""
    folder = tmp_path_factory.mktemp("panel")
    root = Root(folder / "racine é")
    growing_channel.write(folder / "channels" / "channel")
    with pytest.MonkeyPatch.context() as patch, serve(folder / "channels") as site:
        patch.setenv("MAMBAKERNELS_ROOT", str(root.path))
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
        mambakernels.lab.copy_notebooks(folder / "notebooks")
        with driving.jupyterlab(folder / "notebooks", state=tmp_path_factory.mktemp("lab")) as lab:
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.set_default_timeout(MILLISECONDS)
            expect.set_options(timeout=MILLISECONDS)
            errors: list[str] = []
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            notebook = lab.new(page, "Python 3 (ipykernel)")
            notebook.write(notebook.cells.first, "import mambakernels\nmambakernels.lab.manager()")
            notebook.run(notebook.cells.first)
            page.locator(".mbk-activity pre").wait_for()
            yield Shown(lab, page, root, site, folder, errors)
            page.screenshot(path=folder / "last.png")
            page.context.close()
            expect.set_options(timeout=None)


def test_an_environment_is_made_and_its_kernel_is_in_the_launcher(panel: Shown) -> None:
    expect(panel.page.locator(".mbk-table")).to_contain_text("There are no environments yet")
    panel.create("first")
    expect(panel.status).to_contain_text("first is ready")
    expect(panel.row("first")).to_contain_text("ready")
    expect(panel.row("first")).to_contain_text("nothing")  # that doctor found
    expect(panel.code).to_have_text(
        f"mambakernels.create('first', ['python', 'grown'], channel='{panel.site.url('channel')}')"
    )
    panel.picture("made")
    panel.page.keyboard.press("Control+Shift+L")
    panel.page.locator(".jp-LauncherCard[data-category=Notebook]").filter(has_text="first").wait_for()
    panel.page.locator(".lm-TabBar-tab").filter(has_text="Untitled").first.click()


def test_a_creation_is_cancelled_and_nothing_is_left(panel: Shown) -> None:
    panel.site.faults["big-1.0-pyh_0.conda"] = Fault("stall")
    panel.create("second", "python big")
    expect(panel.page.get_by_role("button", name="Cancel", exact=True)).to_be_enabled()
    while not panel.site.asked("big-1.0-pyh_0.conda"):
        panel.page.wait_for_timeout(50)
    panel.picture("half-way")
    panel.press("Cancel")
    expect(panel.status).to_contain_text("Cancelled; nothing half-made was left.")
    assert [item.name for item in panel.root.environments.glob("*second*")] == []
    expect(panel.row("second")).to_have_count(0)


def test_what_the_command_line_changes_is_shown(panel: Shown) -> None:
    words = ["register", "first", "--variant", "two", "--threads", "2"]
    subprocess.run([sys.executable, "-m", "mambakernels", *words], env=os.environ, check=True, timeout=100)
    expect(panel.row("first")).to_contain_text("first, first-two")
    expect(panel.page.locator(".mbk-table")).to_contain_text("the kernel first-two was registered")
    panel.turn_to("Kernels")
    expect(panel.page.locator(".mbk")).to_contain_text("2 threads")
    panel.picture("kernels")


def test_an_error_says_what_where_and_what_to_do(panel: Shown) -> None:
    panel.create("third", "python no-such-package")
    expect(panel.status).to_have_attribute("data-kind", "error")
    expect(panel.status).to_contain_text("no-such-package")
    expect(panel.status).to_contain_text("Check names and versions")
    assert "Traceback" not in panel.page.locator(".mbk").inner_text()
    panel.picture("error")


def test_a_variant_is_registered_with_the_keyboard_alone(panel: Shown) -> None:
    panel.turn_to("Create")
    panel.page.get_by_role("tab", name="Create").focus()
    panel.page.keyboard.press("ArrowRight")
    panel.page.keyboard.press("Enter")
    variant = panel.page.get_by_label("Variant", exact=True)
    expect(variant).to_be_visible()
    expect(panel.code).to_contain_text("kernels.register('first'")
    Notebook(panel.page).wait_for_kernel()  # of two changes, the front end sends the second when the first was handled
    [kernel] = psutil.Process(panel.lab.pid).children()
    kernel.suspend()  # as one that is busy: what is done meanwhile reaches it later, and in order
    try:
        panel.walk_to(variant)
        panel.page.keyboard.type("three")
        panel.walk_to(panel.page.get_by_role("button", name="Register", exact=True))
        panel.page.keyboard.press("Enter")
    finally:
        kernel.resume()
    expect(panel.status).to_contain_text("Registered first-three.")


def test_what_doctor_finds_is_explained_and_repaired(panel: Shown) -> None:
    [spec] = [spec for spec in mambakernels.kernels.list(root=panel.root) if spec.name == "first-two"]
    (spec.path / "start.sh").unlink()
    panel.press("Look again")
    expect(panel.row("first")).to_contain_text("1 error")
    panel.turn_to("Doctor")
    expect(panel.page.locator(".mbk")).to_contain_text("Its launcher is gone")
    panel.picture("doctor")
    panel.press("Repair")
    expect(panel.row("first")).to_contain_text("nothing")
    assert (spec.path / "start.sh").exists()


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
def test_every_text_can_be_read(panel: Shown, theme: str) -> None:
    """A contrast of 4.5 is what WCAG asks for; what is disabled may have less."""
    panel.page.locator(".lm-MenuBar-item").filter(has_text="Settings").click()
    panel.page.locator(".lm-Menu-item").filter(has_text="Theme").first.hover()
    panel.page.locator(".lm-Menu-item").filter(has_text=theme).first.click()
    light = str(theme.endswith("Light")).lower()
    panel.page.locator(f"body[data-jp-theme-light={light}]").wait_for(state="attached")
    found = panel.page.evaluate(CONTRASTS)
    panel.picture(theme)
    assert len(found) > 15
    assert {text: contrast for text, contrast in found if contrast < 4.5} == {}


def test_an_environment_is_removed_after_a_question(panel: Shown) -> None:
    panel.turn_to("Remove")
    panel.press("Remove…")
    panel.picture("question")
    panel.press("No, keep it")
    assert [made.name for made in mambakernels.list(root=panel.root)] == ["first"]
    panel.press("Remove…")
    panel.press("Yes, remove it")
    expect(panel.status).to_contain_text("Removed first and its kernels.")
    expect(panel.rows).to_have_count(0)
    assert mambakernels.list(root=panel.root) == []
    assert mambakernels.kernels.list(root=panel.root) == []


def test_the_start_page_opens_with_the_panel(panel: Shown) -> None:
    notebook = panel.lab.open_from_list(panel.page, "00_start_here.ipynb")
    notebook.run(notebook.cells.filter(has_text="mambakernels.lab import manager"))
    expect(notebook.panel.locator(".mbk-table")).to_contain_text("0 environments, 0 kernels")


def test_the_browser_has_nothing_to_complain_about(panel: Shown) -> None:
    assert panel.errors == []
