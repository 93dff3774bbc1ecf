"""Values on their way between processes: as they were, through files that are gone at once, or refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mambakernels.errors import InvalidRequestError, KernelError
from mambakernels.sessions import parcel, transfer
from mambakernels.sessions.kernel_session import KernelSession

VALUES = {
    "c": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "part": np.arange(12).reshape(3, 4)[:, ::2],
    "empty": np.zeros((0, 3)),
    "scalar": np.array(2.5),
    "dates": np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    "records": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "objects": np.array([1, "a", None], dtype=object),
    "words": np.array(["ä", "bc"]),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_array_arrives_as_it_was_and_can_be_changed(name: str, tmp_path: Path) -> None:
    path = parcel.pack({name: VALUES[name]}, [str(tmp_path / "file")])
    arrived = parcel.unpack(path)[name]
    assert arrived.dtype == VALUES[name].dtype
    np.testing.assert_array_equal(arrived, VALUES[name])
    assert arrived.flags.writeable
    assert arrived.flags.aligned
    assert arrived.flags.f_contiguous == VALUES[name].flags.f_contiguous or name == "part"


def test_who_changes_an_array_changes_no_other(tmp_path: Path) -> None:
    path = parcel.pack({"a": np.zeros(10)}, [str(tmp_path / "file")])
    one, two = parcel.unpack(path)["a"], parcel.unpack(path)["a"]
    one[:] = 1
    assert two.sum() == 0
    assert parcel.unpack(path)["a"].sum() == 0


def test_frames_and_plain_values_arrive(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.5, 2.5], "word": ["a", None], "day": pd.to_datetime(["2020-01-01"] * 2)})
    path = parcel.pack({"frame": frame, "plain": {"k": [1, 2.5, "x"]}}, [str(tmp_path / "file")])
    arrived = parcel.unpack(path)
    pd.testing.assert_frame_equal(arrived["frame"], frame)
    assert arrived["plain"] == {"k": [1, 2.5, "x"]}


def test_a_pickle_names_nothing_that_another_numpy_lacks(tmp_path: Path) -> None:
    path = parcel.pack({"a": np.arange(3)}, [str(tmp_path / "file")])
    content = Path(path).read_bytes()
    assert b"numpy._core" not in content
    assert b"numpy.core" not in content


def test_a_place_without_room_is_left_out(tmp_path: Path) -> None:
    assert parcel.pack({"a": 1}, ["/nonexistent/file", str(tmp_path / "file")]) == str(tmp_path / "file")


@pytest.mark.parametrize(
    ("value", "why"),
    [(lambda: 1, "lambda"), (sys, "module"), ((i for i in ()), "generator")],
)
def test_what_cannot_be_sent_is_refused_with_the_reason(pair: KernelSession, value: Any, why: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"'value' cannot be sent.*{why}"):
        pair.push(value=value)


def test_values_go_to_the_kernels_and_come_back(pair: KernelSession) -> None:
    array = np.arange(1000.0)
    pair.push(array=array, word="hallo")
    pair.run("import os; array += len(os.environ['NAME']); word += os.environ['NAME']").check()
    assert pair.pull("word") == {"one": "halloone", "two": "hallotwo"}
    pulled = pair.pull("array", kernels=["two"])
    np.testing.assert_array_equal(pulled["two"], array + 3)
    assert array[0] == 0
    for folder in transfer.folders():
        assert not list(Path(folder).glob(f"{transfer.pattern(pair.mark)}*"))


def test_what_a_kernel_cannot_give_is_said_by_kernel(pair: KernelSession) -> None:
    pair.run("import os\nif os.environ['NAME'] == 'one': only = 1\nf = lambda: 1").check()
    with pytest.raises(KernelError, match=r"1 of 2 kernels could not give only\.\ntwo: NameError"):
        pair.pull("only")
    with pytest.raises(KernelError, match=r"one, two: 'f' cannot be sent: .* is defined in a cell"):
        pair.pull("f")
    with pytest.raises(InvalidRequestError, match="not the name of a variable"):
        pair.pull("a + b")


def test_what_another_python_cannot_read_is_said_with_the_versions(tmp_path: Path) -> None:
    path = parcel.pack({"frame": pd.DataFrame({"x": [1]})}, [str(tmp_path / "file")])
    code = "import sys; sys.path.insert(0, sys.argv[2]); import parcel; parcel.unpack(sys.argv[1])"
    words = [sys.executable, "-I", "-S", "-c", code, path, str(Path(parcel.__file__).parent)]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    said = answer.stderr.splitlines()[-1]
    assert "'frame' cannot be read here: ModuleNotFoundError" in said
    assert f"pandas {pd.__version__}; here: Python" in said
