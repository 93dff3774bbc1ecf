"""Messages as a reader sees them in the end, and how they look in columns and as text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mambakernels.runs.records import Failure
from mambakernels.sessions.ansi import as_html
from mambakernels.sessions.columns import elsewhere, page, plain
from mambakernels.sessions.shown import Printed, Results, Shown

Json = dict[str, Any]


def message(kind: str, **content: Any) -> Json:
    return {"msg_type": kind, "content": content}


def text(words: str, name: str = "stdout") -> Json:
    return message("stream", name=name, text=words)


def display(words: str, name: str | None = None, kind: str = "display_data", **others: Any) -> Json:
    transient = {"display_id": name} if name else {}
    return message(kind, data={"text/plain": words, **others}, metadata={}, transient=transient)


def shown(*messages: Json, kernel: str = "a", seconds: float | None = None) -> Shown:
    one = Shown(kernel)
    for each in messages:
        one.take(each)
    one.seconds, one.state = seconds, "ok"
    return one


def failed(kernel: str, line: int = 1, why: str = "bad") -> Shown:
    traceback = [
        f"Cell In[7], line {line}",
        f"\x1b[31m----> {line} \x1b[0mraise ValueError('{why}')",
        f"ValueError: {why}",
    ]
    one = shown(message("error", ename="ValueError", evalue=why, traceback=traceback), kernel=kernel)
    plain_lines = "\n".join(re.sub("\x1b.*?m", "", part) for part in traceback)
    one.fail(Failure("ValueError", why, traceback=plain_lines))
    return one


def results(*all_shown: Shown, serial: bool = False) -> Results:
    return Results({one.kernel: one for one in all_shown}, serial=serial)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([text("a"), text("b\n"), text("c\n")], "ab\nc\n"),
        ([text("10 %"), text("\r20 %"), text("\r100%\n")], "100%\n"),
        ([text("old"), message("clear_output", wait=False), text("new")], "new\n"),
        ([text("old"), message("clear_output", wait=True)], "old\n"),
        ([text("old"), message("clear_output", wait=True), display("new")], "new\n"),
        ([display("0", "bar"), text("x\n"), display("1", "bar", "update_display_data")], "1\nx\n"),
        ([display("of an earlier cell", "bar", "update_display_data")], "of an earlier cell\n"),
        ([display("1", kind="execute_result")], "1\n"),
    ],
)
def test_outputs_are_those_that_a_reader_sees_in_the_end(messages: list[Json], expected: str) -> None:
    assert shown(*messages).text == expected


def test_many_outputs_are_bounded_and_counted() -> None:
    one = shown(*(display(str(number), f"id{number}") for number in range(10_000)))
    assert len(one.outputs) + one.outputs_left_out == 10_000
    assert len(one.outputs) <= 200
    assert one.text.startswith("0\n1\n")
    assert one.text.endswith("9999\n")
    assert "outputs left out" in page(results(one))


def test_a_long_text_says_how_many_lines_are_left_out() -> None:
    printed = Printed("stdout")
    for number in range(200_000):
        printed.add(f"line {number}\n")
    lines = printed.excerpt(10, 10).splitlines()
    assert len(lines) == 21
    assert lines[10] == "… 199,980 lines left out …"


def test_times_are_compared_where_they_are_long_enough() -> None:
    fast, slow = shown(kernel="a", seconds=0.5), shown(kernel="b", seconds=1.25)
    assert "--- a: 500 ms, fastest" in plain(results(fast, slow))
    assert "--- b: 1.2 s, 2.50x" in plain(results(fast, slow))
    assert "with --serial" in plain(results(fast, slow))
    assert "while the others were idle" in plain(results(fast, slow, serial=True))
    assert "x" not in plain(results(shown(kernel="a", seconds=0.001), shown(kernel="b", seconds=0.004)))


def test_an_error_of_all_kernels_is_shown_once() -> None:
    html = page(results(*map(failed, "abcd")))
    assert html.count("raise ValueError") == 1
    assert "The same in all four:" in html
    assert plain(results(*map(failed, "abcd"))).count("raise ValueError") == 1


def test_different_errors_are_each_in_their_column() -> None:
    both = results(failed("a"), failed("b", why="worse"), failed("c"), failed("d", line=2))
    columns = page(both).split("<section")[1:]
    assert [column.count("raise ValueError") for column in columns] == [1, 1, 0, 1]
    assert "ValueError (as in a): bad" in columns[2]


def test_an_error_without_a_traceback_is_shown_too() -> None:
    one, two = shown(kernel="a"), shown(kernel="b", seconds=1)
    one.fail(Failure("KernelDied", "The kernel ended with signal SIGSEGV.", stderr="<stack>"))
    assert "KernelDied: The kernel ended with signal SIGSEGV.\n&lt;stack&gt;" in page(results(one, two))
    assert "SIGSEGV" in plain(results(one, two))


def test_what_only_a_front_end_can_show_is_shown_below() -> None:
    plotly = display("Figure", **{"application/vnd.plotly.v1+json": {}, "text/html": "<script>1</script>"})
    widget = display("IntSlider()", **{"application/vnd.jupyter.widget-view+json": {"model_id": "1"}})
    both = results(shown(plotly, widget, kernel="a"), shown(kernel="b"))
    assert [(kernel, output["data"]["text/plain"]) for kernel, output in elsewhere(both)] == [("a", "Figure")]
    assert "Figure: see below" in page(both, below=True)
    assert "<script" not in page(both)
    assert "IntSlider()" in page(both)
    assert page(both).count("it works in a notebook that runs on a.") == 1


def test_nothing_that_a_kernel_prints_is_html() -> None:
    html = page(results(shown(text("<b>&</b>"), display("<i>"), kernel="<k>")))
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in html
    assert not {"<b>", "<i>", "<k>"} & set(re.findall("<[^ >]+>", html))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[1mbold\x1b[0m.", '<span style="font-weight:bold;">bold</span>.'),
        ("\x1b[31mred", "color:#e75c58;color:color-mix("),
        ("\x1b[38;5;28;01mgreen", "font-weight:bold;color:#008700;"),
        ("\x1b[38;2;1;2;3mtrue", "color:#010203;"),
        ("\x1b[38;5;241mgrey\x1b[39m<", "&lt;"),
        ("\x1b[2Kx\x1b[?25h", "x"),
    ],
)
def test_colours_of_a_terminal_become_html(given: str, expected: str) -> None:
    assert expected in as_html(given)


def test_a_picture_has_its_size_and_a_text() -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAYAAAC56t6BAAAAEElEQVR4nGP4z8DwH4QZYAwAR8oH+Rq28akAAAAASUVORK5CYII="
    html = page(results(shown(display("<Figure>", **{"image/png": png}))))
    assert 'width="2" height="3"' in html
    assert 'alt="a: &lt;Figure&gt;"' in html
