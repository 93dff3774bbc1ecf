"""Lockfiles of other tools, recognised by their content: their packages, their Python packages, and every hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import growing_channel
from support.engines import ENGINES, engine_of

from mambakernels import errors, paths
from mambakernels.engines import Package, locked_requirements, lockfile
from mambakernels.environments import read_file

SUBDIR = paths.subdir()
ZEROS = "0" * 64
SIX = "https://example.org/six-1.16.0-py2.py3-none-any.whl"
COMMIT = "0123456789012345678901234567890123456789"
CONDA = f"https://conda.anaconda.org/conda-forge/{SUBDIR}/zlib-1.2.13-hd590300_5.conda"
HASHES = {"md5": "68c34ec6149623be41a1933ab996a209", "sha256": ZEROS}


def conda_lock(**category: str) -> dict[str, Any]:
    """What conda-lock writes: everything in one list."""
    base = {"manager": "conda", "platform": SUBDIR, "dependencies": {}, "hash": HASHES, "optional": False, **category}
    return {
        "version": 1,
        "metadata": {
            "content_hash": {SUBDIR: ZEROS},
            "channels": [{"url": "conda-forge", "used_env_vars": []}],
            "platforms": [SUBDIR],
            "sources": ["environment.yml"],
        },
        "package": [
            {**base, "name": "zlib", "version": "1.2.13", "url": CONDA},
            {**base, "name": "dev", "version": "1", "url": CONDA.replace("zlib-1.2.13", "dev-1"), "category": "dev"},
            {**base, "name": "six", "version": "1.16.0", "url": SIX, "manager": "pip", "hash": {"sha256": ZEROS}},
        ],
    }


def pixi_lock(version: int, *environments: str) -> dict[str, Any]:
    """What pixi writes; the kinds of its packages are fields up to version 5, and keys from 6 on."""
    repository = f"git+https://example.org/a/b.git?rev={COMMIT}#{COMMIT}"
    conda = {"sha256": ZEROS, "md5": HASHES["md5"]}
    python = {"name": "six", "version": "1.16.0", "sha256": ZEROS}
    if version < 6:
        details = {"name": "zlib", "version": "1.2.13", "build": "hd590300_5", "subdir": SUBDIR}
        packages = [
            {"kind": "conda", **details, "url": CONDA, **conda},
            {"kind": "pypi", **python, "url": SIX},
            {"kind": "pypi", "name": "b", "version": "0.1.0", "url": repository},
            {"kind": "pypi", "name": "here", "version": "0.1.0", "path": "./here", "sha256": ZEROS, "editable": True},
        ]
    else:
        packages = [
            {"conda": CONDA, **conda},
            {"pypi": SIX, **python},
            {"pypi": repository, "name": "b", "version": "0.1.0"},
            {"pypi": "./here", "name": "here", "version": "0.1.0", "editable": True},
        ]
    used = [{"conda": CONDA}, {"pypi": SIX}, {"pypi": repository}, {"pypi": "./here"}]
    one = {"channels": [{"url": "https://conda.anaconda.org/conda-forge/"}], "packages": {SUBDIR: used}}
    one |= {"indexes": ["https://index.example.org/simple"]}
    return {"version": version, "environments": dict.fromkeys(environments or ("default",), one), "packages": packages}


def micromamba_lock() -> dict[str, Any]:
    """What mambajs and micromamba share: one platform, addresses by channel."""
    place = {"url": "https://repo.example.org/conda-forge/", "protocol": "https"}
    details = {"name": "zlib", "version": "1.2.13", "build": "hd590300_5", "subdir": SUBDIR, "channel": "conda-forge"}
    six = {"name": "six", "version": "1.16.0", "url": SIX, "registry": "PyPi", "hash": {"sha256": ZEROS}}
    return {
        "id": "1",
        "lockVersion": "1.0.0",
        "platform": SUBDIR,
        "specs": ["zlib"],
        "channels": ["conda-forge"],
        "channelInfo": {"conda-forge": [place]},
        "packages": {CONDA.rpartition("/")[2]: {**details, "hash": HASHES}},
        "pipPackages": {"six": six},
    }


def written(folder: Path, content: dict[str, Any], name: str = "x.lock") -> Path:
    text = json.dumps(content) if "lockVersion" in content else yaml.safe_dump(content, sort_keys=False)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("name", ["conda-lock.yml", "pixi.lock", "locked.txt", "any"])
def test_conda_locks_file_is_read_with_its_main_category(tmp_path: Path, name: str) -> None:
    spec = read_file(written(tmp_path, conda_lock(), name))
    assert [str(package) for package in spec.packages] == ["zlib=1.2.13=hd590300_5"]
    assert (spec.packages[0].url, spec.packages[0].sha256) == (CONDA, ZEROS)
    assert spec.pip == (f"six @ {SIX}#sha256={ZEROS}",)
    assert spec.channels == ("conda-forge",)


@pytest.mark.parametrize("version", [4, 5, 6])
def test_pixis_file_is_read_with_what_pip_understands(tmp_path: Path, version: int) -> None:
    spec = read_file(written(tmp_path, pixi_lock(version)))
    assert [package.sha256 for package in spec.packages] == [ZEROS]
    assert set(spec.pip) == {
        f"six @ {SIX}#sha256={ZEROS}",
        f"b @ git+https://example.org/a/b.git@{COMMIT}",
        "-e ./here",
    }
    assert (spec.folder, spec.notes) == (tmp_path, ())


def test_one_of_several_environments_is_chosen_and_said(tmp_path: Path) -> None:
    path = written(tmp_path, pixi_lock(6, "default", "test"))
    said = f"{path}: environment 'default' of default, test. For another: --environment NAME"
    assert read_file(path).notes == (said,)
    assert read_file(path, environment="test").notes == ()
    with pytest.raises(errors.InvalidRequestError, match="no environment 'doc'") as caught:
        read_file(path, environment="doc")
    assert caught.value.next_step == "Choose from: default, test."
    path = written(tmp_path, pixi_lock(6, "docs", "test"))
    with pytest.raises(errors.InvalidRequestError, match="several environments") as caught:
        read_file(path)
    assert caught.value.next_step == "Add: --environment NAME"
    (tmp_path / "specs.txt").write_text("python")
    with pytest.raises(errors.InvalidRequestError, match="Only a lockfile"):
        read_file(tmp_path / "specs.txt", environment="test")


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_micromambas_json_is_read(tmp_path: Path, kind: str) -> None:
    content = micromamba_lock()
    content["packages"][CONDA.rpartition("/")[2]]["hash"] = {kind: HASHES[kind]}
    spec = read_file(written(tmp_path, content, "env-lock.json"))
    [package] = spec.packages
    assert package.url == f"https://repo.example.org/conda-forge/{SUBDIR}/zlib-1.2.13-hd590300_5.conda"
    assert {"sha256": package.sha256, "md5": package.record.get("md5", "")}[kind] == HASHES[kind]
    assert spec.pip == (f"six @ {SIX}#sha256={ZEROS}",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lockfiles_are_read_in_the_encodings_of_unicode(tmp_path: Path, encoding: str) -> None:
    for content in (conda_lock(), pixi_lock(6), micromamba_lock()):
        path = written(tmp_path, content)
        path.write_bytes(path.read_text().encode(encoding))
        assert [package.name for package in read_file(path).packages] == ["zlib"]


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize(
    ("content", "message", "advice"),
    [
        (
            {**conda_lock(), "package": "none"},
            "a lockfile of conda-lock, and cannot",
            "conda-lock render --kind explicit",
        ),
        ({**pixi_lock(6), "version": 99}, "a lockfile of rattler or pixi, and cannot", "another version of the tool"),
        ({**micromamba_lock(), "channelInfo": {}}, "lockfile of micromamba cannot be read", "Write it again"),
        ({**micromamba_lock(), "packages": []}, "cannot be read: it lacks what version 1", "Write it again"),
        ({**micromamba_lock(), "platform": "zos-z"}, f"no packages for {SUBDIR}, only for zos-z", "--subdir"),
        (without(pixi_lock(6), "version"), "not a lockfile", "pixi, conda-lock or micromamba"),
    ],
)
def test_a_lockfile_that_cannot_be_read_is_named_for_what_it_is(
    tmp_path: Path, content: dict[str, Any], message: str, advice: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(errors.InvalidRequestError) as caught:
        read_file(path)
    assert message in caught.value.what
    assert caught.value.where == str(path)
    assert advice in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("location", "digest", "line"),
    [
        (SIX, "", f"x @ {SIX}"),
        (f"direct+{SIX}", "sha256=ab", f"x @ {SIX}#sha256=ab"),
        (f"{SIX}#sha256=ab", "sha256=ab", f"x @ {SIX}#sha256=ab"),
        (f"{SIX}#egg=six", "sha256=ab", f"x @ {SIX}#egg=six&sha256=ab"),
        ("./x.whl", "sha256=ab", "x @ file:///work/it/x.whl#sha256=ab"),
        ("../x-1.tar.gz", "", "x @ file:///work/x-1.tar.gz"),
        ("/abs/x.whl", "md5=ab", "x @ file:///abs/x.whl#md5=ab"),
        ("./", "sha256=ab", "./"),
        ("src/x", "", "./src/x"),
        ("../x", "", "../x"),
        (f"git+https://h/a.git?rev=main#{COMMIT}", "", f"x @ git+https://h/a.git@{COMMIT}"),
        ("git+https://h/a.git?tag=v1.0", "", "x @ git+https://h/a.git@v1.0"),
        ("git+https://h/a.git?branch=dev&subdirectory=p", "", "x @ git+https://h/a.git@dev#subdirectory=p"),
        ("git+ssh://git@h/a/b@ab12", "sha256=ab", "x @ git+ssh://git@h/a/b@ab12"),
        ("git+https://h/a.git", "", "x @ git+https://h/a.git"),
    ],
)
def test_locations_become_lines_that_pip_understands(location: str, digest: str, line: str) -> None:
    assert locked_requirements.line("x", location, digest, folder=Path("/work/it")) == line


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_every_hash_that_is_there_is_compared(tmp_path: Path, name: str, kind: str) -> None:
    growing_channel.write(tmp_path / "channel")
    records = json.loads((tmp_path / "channel" / "noarch" / "repodata.json").read_text())["packages.conda"]
    file, record = next((file, record) for file, record in records.items() if record["name"] == "tiny")
    url = f"{(tmp_path / 'channel').as_uri()}/noarch/{file}"
    kept = {key: value for key, value in record.items() if key not in {"sha256", "md5"}}
    right = Package.from_record({**kept, "url": url, kind: record[kind]})
    wrong = Package.from_record({**kept, "url": url, kind: "0" * len(record[kind])})
    engine = engine_of(name)
    options = {"final": tmp_path / "final", "cache": tmp_path / "root" / "pkgs"}
    with pytest.raises(errors.EngineError, match=r"tiny-1\.0-0\.conda"):
        engine.link([wrong], tmp_path / "wrong", **options)
    assert [package.name for package in engine.link([right], tmp_path / "right", **options)] == ["tiny"]
    engine.close()


def test_a_lockfile_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFoundError, match="no such lockfile"):
        lockfile.read(tmp_path / "none.lock")
