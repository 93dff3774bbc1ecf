"""The logos: which kernel has which, what is in the files, and that people can tell them apart."""

from __future__ import annotations

import io
import itertools
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from browser import logos as drawing
from numpy.typing import NDArray
from PIL import Image

from mambakernels.doctor.numpy_libraries import fits
from mambakernels.engines import Package
from mambakernels.environments import Environment
from mambakernels.kernels import logo
from mambakernels.paths import Root

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = Path(logo.__file__).parent / "logos"
BLAS = ["accelerate", "blis", "mkl", "netlib", "nvpl", "openblas"]
LANGUAGES = {"python": "python", "R": "r", "julia": "julia", "C++17": "cpp", "c++": "cpp", "cpp": "cpp", "bash": "bash"}
NAMES = sorted({*BLAS, *LANGUAGES.values()})
SVG = "{http://www.w3.org/2000/svg}"
FEW_BYTES = 3000
SAME_PICTURE = 3  # of 255, on average: browsers smooth edges in their own ways
GRAPHIC_CONTRAST = 3  # WCAG 2.2, success criterion 1.4.11
APART = 20  # CIE 1976 colour difference; about 2 can just be seen side by side
APART_RARE = 15  # one in some ten thousand people lacks the third kind of cone
GREY_APART = 25  # of 255, on average, between two motifs

# Linear RGB as seen without one kind of cone: Machado, Oliveira and Fernandes (2009), doi:10.1109/TVCG.2009.113.
EYES = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# Linear sRGB to CIE XYZ relative to the white D65 (IEC 61966-2-1).
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
XYZ = XYZ / XYZ.sum(axis=1, keepdims=True)


def linear(colour: str) -> NDArray[np.float64]:
    parts = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(light: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = (
        np.cbrt(part) if part > (6 / 29) ** 3 else part * (29 / 6) ** 2 / 3 + 4 / 29
        for part in XYZ @ np.clip(light, 0, 1)
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    dark, light = sorted(float(XYZ[1] @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def pixels(png: bytes, mode: str = "RGBA") -> NDArray[np.float64]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert(mode), dtype=np.float64)


@pytest.mark.parametrize("blas", BLAS)
def test_a_python_kernel_has_the_logo_of_its_blas(blas: str) -> None:
    assert logo.logos("python", blas) == {
        "logo-svg.svg": FOLDER / f"{blas}.svg",
        "logo-32x32.png": FOLDER / f"{blas}-32x32.png",
        "logo-64x64.png": FOLDER / f"{blas}-64x64.png",
    }


@pytest.mark.parametrize("blas", [None, "unknown", ""])
@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_known_blas_the_language_counts(language: str, blas: str | None) -> None:
    assert logo.logos(language, blas)["logo-svg.svg"] == FOLDER / f"{LANGUAGES[language]}.svg"


def test_other_languages_have_their_own_logo_whatever_the_blas() -> None:
    assert logo.logos("R", "mkl") == logo.logos("R", None) != logo.logos("python", "mkl")


@pytest.mark.parametrize("language", ["", "17", "octave", "rust", "mkl", "pythonic", "../python"])
def test_an_unknown_language_keeps_what_its_environment_ships(language: str) -> None:
    assert logo.logos(language, "mkl") == {}


def test_every_logo_has_its_files_and_no_file_is_left_over() -> None:
    expected = {f"{name}{end}" for name in NAMES for end in (".svg", "-32x32.png", "-64x64.png")}
    assert {file.name for file in FOLDER.iterdir()} == expected
    chosen = [logo.logos("python", blas) for blas in BLAS] + [logo.logos(language, None) for language in LANGUAGES]
    assert {file.name for files in chosen for file in files.values()} == expected


def test_choosing_loads_nothing_heavy() -> None:
    code = (
        f"import runpy, sys; runpy.run_path({logo.__file__!r}); print(*({{'numpy', 'PIL', 'json'}} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


@pytest.mark.parametrize("name", NAMES)
def test_an_svg_is_small_and_needs_nothing_else(name: str) -> None:
    file = FOLDER / f"{name}.svg"
    assert file.stat().st_size < FEW_BYTES
    root = ET.fromstring(file.read_bytes())
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox") == "0 0 32 32"
    assert {element.tag for element in root.iter()} <= {f"{SVG}{tag}" for tag in ("svg", "title", "rect", "path")}
    said = " ".join(f"{key}={value}" for element in root.iter() for key, value in element.items())
    assert not re.search(r"href|url\(|://|\bon\w+=|style|font", said)


@pytest.mark.parametrize("name", NAMES)
def test_an_svg_is_as_the_facts_say(name: str) -> None:
    assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == drawing.svg(drawing.FACTS[name])


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("name", NAMES)
def test_a_png_has_the_size_it_is_called_after(name: str, side: int) -> None:
    content = (FOLDER / f"{name}-{side}x{side}.png").read_bytes()
    signature, _, header, width, height = struct.unpack(">8sI4sII", content[:24])
    assert (signature, header, width, height) == (b"\x89PNG\r\n\x1a\n", b"IHDR", side, side)
    assert len(content) < FEW_BYTES
    opaque = pixels(content)[..., 3]
    assert opaque[0, 0] == 0, "the tile's corner is round"
    assert opaque[side // 2, side // 2] == 255


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser."""
    if shutil.which("chromium") is None:
        pytest.skip("This machine lacks chromium.")
    from browser import driving

    with driving.chromium() as started:
        yield started


@pytest.mark.browser
@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("name", NAMES)
def test_a_png_is_the_svg(name: str, side: int, chromium: Browser) -> None:
    drawn = drawing.picture(chromium, (FOLDER / f"{name}.svg").read_text(encoding="utf-8"), side)
    kept = pixels((FOLDER / f"{name}-{side}x{side}.png").read_bytes())
    assert np.abs(pixels(drawn) - kept).mean() < SAME_PICTURE
    others = (pixels((FOLDER / f"{other}-{side}x{side}.png").read_bytes()) for other in NAMES if other != name)
    assert all(np.abs(pixels(drawn) - other).mean() > SAME_PICTURE for other in others)


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(BLAS, 2)))
def test_people_tell_the_colours_of_any_two_blas_apart(one: str, other: str, eyes: str) -> None:
    seen = [lab(EYES[eyes] @ linear(drawing.FACTS[name].tile)) for name in (one, other)]
    assert np.linalg.norm(seen[0] - seen[1]) > (APART_RARE if eyes == "tritanopia" else APART)


def test_the_measure_tells_red_from_green_only_where_people_do() -> None:
    red, green = linear("#A07000"), linear("#749000")
    apart = {name: np.linalg.norm(lab(eyes @ red) - lab(eyes @ green)) for name, eyes in EYES.items()}
    assert apart["all cones"] > APART > apart["protanopia"]
    assert np.linalg.norm(lab(linear("#ffffff")) - lab(linear("#000000"))) == pytest.approx(100)


@pytest.mark.parametrize("name", NAMES)
def test_the_letters_are_seen_on_the_tile(name: str) -> None:
    facts = drawing.FACTS[name]
    assert contrast(facts.ink, facts.tile) > GRAPHIC_CONTRAST
    assert contrast(facts.accent or facts.ink, facts.tile) > GRAPHIC_CONTRAST


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(NAMES, 2)))
def test_the_motifs_differ_without_any_colour(one: str, other: str) -> None:
    motifs = []
    for name in (one, other):
        grey = pixels((FOLDER / f"{name}-32x32.png").read_bytes(), "L")[3:16, 2:30]
        tile = pixels((FOLDER / f"{name}-32x32.png").read_bytes(), "L")[2, 16]
        motifs.append(np.abs(grey - tile))  # what is drawn, light on dark or dark on light
    assert np.abs(motifs[0] - motifs[1]).mean() > GREY_APART


@pytest.mark.parametrize("build", ["5_h1a8c8d9_accelerate", "5_h7b0cf1f_newaccelerate"])
def test_both_of_conda_forges_builds_of_accelerate_are_accelerate(build: str, tmp_path: Path) -> None:
    libblas = Package("libblas", "3.11.0", build, "osx-arm64", "", "")
    made = Environment("np", tmp_path, Root(tmp_path), (), (), "rattler", (libblas,), "")
    assert made.blas == "accelerate"
    assert logo.logos("python", made.blas)["logo-svg.svg"].name == "accelerate.svg"
    assert fits("accelerate", f"*_{build.rpartition('_')[2]}")
    assert not fits("openblas", f"*_{build.rpartition('_')[2]}")
