"""Eighty notebooks with what notebooks are made of: every kind of output, error, stream and file format.

A notebook is a list of cells: a text is a code cell, a mapping any cell. What differs between two runs of the same
notebook (times, addresses, numbers of processes) is either not in them, or `plain` takes it out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Cells = Sequence[str | Mapping[str, Any]]

SHOW = "from IPython.display import display, clear_output, HTML, Markdown, Image, SVG, JSON, Latex, Javascript, Code, Pretty\n"
PIXEL = (
    "import base64; png = base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg==')\n"
)
ATTACHED = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def code(source: str | list[str], **fields: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "metadata": {}, "execution_count": None, "outputs": [], **fields}


def tagged(source: str, *tags: str) -> dict[str, Any]:
    return code(source, metadata={"tags": list(tags)})


def other(kind: str, source: str, **fields: Any) -> dict[str, Any]:
    return {"cell_type": kind, "source": source, "metadata": {}, **fields}


GALLERY: dict[str, Cells] = {
    # Rich outputs
    "html": [SHOW + "display(HTML('<b>ü</b>'), HTML('<script>1</script>'))", "HTML('<i>last</i>')"],
    "markdown": [SHOW + "display(Markdown('# *a*')); Latex('$x^2$')"],
    "image": [SHOW + PIXEL + "display(Image(png)); Image(png, width=10, height=20)"],
    "jpeg_by_name": ["display({'image/jpeg': '/9j/4AAQ', 'text/plain': 'jpeg'}, raw=True)"],
    "svg": [SHOW + 'SVG(\'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\')'],
    "json": [SHOW + "display(JSON({'a': [1, None, True, 'ü']}, expanded=True, root='r')); JSON([1])"],
    "json_not_a_number": ["display({'application/json': {'x': float('nan'), 'y': [float('inf')]}}, raw=True)"],
    "javascript": [SHOW + "Javascript('1 + 1')"],
    "code_and_pretty": [SHOW + "display(Pretty('a\\nb')); Code('x = 1', language='python')"],
    "own_mime_types": [
        "display({'application/vnd.x.y+json': {'k': 1}, 'text/x-own': 'own', 'text/plain': ''}, raw=True)"
    ],
    "display_metadata": ["display({'text/html': 'a'}, metadata={'text/html': {'isolated': True}, 'x': 1}, raw=True)"],
    "binary_and_empty_bundles": ["display({}, raw=True)", "display({'image/gif': 'R0lGODlhAQABAAAAACw='}, raw=True)"],
    "repr_methods": [
        "class R:\n    def __repr__(self): return 'plain'\n    def _repr_html_(self): return '<b>rich</b>'\n"
        "    def _repr_mimebundle_(self, include=None, exclude=None): return {'text/x': 'x'}, {'m': 1}\nR()",
        "class B:\n    def __repr__(self): return 'plain'\n    def _repr_html_(self): raise ValueError('in the repr')\nB()",
    ],
    "data_frame": ["import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', None]}, index=['i', 'ü'])"],
    "numpy_array": ["import numpy as np\ndisplay(np.arange(2000)); np.eye(2)"],
    "matplotlib_inline": [
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show(); print('after')"
    ],
    "figure_as_value": ["import matplotlib.pyplot as plt\nfigure, axes = plt.subplots(figsize=(1, 1)); print('drawn')"],
    "results_and_counts": ["1", "_ + 1", "None", "x = 3", "x;", "(1,\n 2)", "''"],
    # Displays that change
    "update_display": [
        "shown = display('old', display_id='one'); print('between')",
        "shown.update('new'); print('updated')",
        "shown.display('again'); shown.update('both')",
    ],
    "update_by_id": [
        "from IPython.display import update_display\ndisplay('a', display_id='i'); display('b', display_id='i')",
        "update_display('c', display_id='i'); update_display('nobody', display_id='unknown')",
    ],
    "update_within_a_loop": ["h = display('0', display_id=True)\nfor n in range(50): h.update(n)"],
    "clear_output": [SHOW + "print('a'); display(1); clear_output(); print('b')", "print('c'); clear_output()"],
    "clear_output_waiting": [
        SHOW + "for n in range(20):\n    clear_output(wait=True); print(n); display(n)",
        "print('stays'); clear_output(wait=True)",
        "print('next')",
    ],
    "clear_then_update": [
        SHOW + "h = display('gone', display_id=True); clear_output(); print('left')",
        "h.update('no place'); print('fine')",
    ],
    "clear_of_two_cells_in_turns": [
        "import threading, time\nfrom IPython.display import clear_output\ngo, done = threading.Event(), threading.Event()\n"
        "def late():\n    print('first', flush=True); go.wait(); clear_output(wait=True); done.set()\n"
        "thread = threading.Thread(target=late); thread.start(); time.sleep(0.2)",
        "print('mine', flush=True); go.set(); done.wait(); time.sleep(0.3); display('kept')\nthread.join()",
    ],
    # Streams
    "streams_in_turn": [
        "import sys\nfor n in range(5):\n    print('out', n, flush=True); print('err', n, file=sys.stderr, flush=True)",
    ],
    "stream_and_display_in_turn": ["for n in range(5):\n    print('heading', n, flush=True); display(n)"],
    "writes_without_newline": ["import sys\nfor c in 'abc': sys.stdout.write(c); sys.stdout.flush()\nprint()"],
    "progress_bar": [
        "from tqdm import tqdm\nfor n in tqdm(range(3), ncols=40, bar_format='{l_bar}{bar}|{n}'): pass\nprint('end')"
    ],
    "progress_bars_nested": [
        "from tqdm import tqdm\nfor n in tqdm(range(2), ncols=30, bar_format='{desc}{bar}|{n}', desc='o'):\n"
        "    for m in tqdm(range(2), ncols=30, bar_format='{desc}{bar}|{n}', desc='i', leave=False): pass",
    ],
    "carriage_returns": [
        "print('abcdef\\rXY'); print('a\\r\\nb'); print('12345\\r123\\r12', end=''); print('\\r', end='')",
        "import time\nfor n in range(3): print(f'\\r{n} %', end='', flush=True); time.sleep(0.05)",
    ],
    "backspaces": ["print('abc\\b\\bX'); print('\\x1b[2K\\rline'); print('\\x1b[31mred\\x1b[0m\\rR')"],
    "ansi_and_unicode": ["print('\\x1b[1;31mrot\\x1b[0m ünïcödé 😀 \\u202e \\0 \\x7f é e\\u0301')"],
    "huge_line": ["print('x' * 1_000_000)"],
    "many_lines": ["for n in range(20_000): print(n)"],
    "logging": [
        "import logging\nlogging.basicConfig(format='%(levelname)s %(message)s')\nlogging.warning('w')\nlogging.error('e')"
    ],
    "warnings": ["import warnings\nwarnings.warn('careful')\nwarnings.warn('old', DeprecationWarning)"],
    "subprocess_output": ["import subprocess\nsubprocess.run(['echo', 'from a child'])", "!echo shell; echo oops >&2"],
    "file_descriptors": ["import os\nos.write(1, b'to one\\n'); os.write(2, b'to two\\n'); None"],
    "c_level_prints": [
        "import ctypes\nlibc = ctypes.CDLL(None); libc.puts(b'from C'); libc.fflush(None); None",
        "print('py')",
    ],
    "standard_streams_replaced": [
        "import io, contextlib, sys\nwith contextlib.redirect_stdout(io.StringIO()) as held: print('held')\nprint(held.getvalue())",
        "kept, sys.stdout = sys.stdout, io.StringIO(); print('nowhere'); sys.stdout = kept; print('back')",
    ],
    # Threads, loops
    "threads": [
        "import threading, time\ndef late(): time.sleep(0.3); print('late', flush=True)\n"
        "thread = threading.Thread(target=late); thread.start(); print('started'); thread.join()",
    ],
    "asyncio": [
        "import asyncio\nawait asyncio.sleep(0); print('awaited')\nasync def f(): return 7\nawait f()",
        "task = asyncio.create_task(f()); print(await task)",
        "async def g():\n    yield 1\nasync for x in g(): print(x)",
    ],
    # Widgets
    "widgets": [
        "import ipywidgets as w\nslider = w.IntSlider(3); display(slider)",
        "slider.value = 5; w.HBox([slider, w.Text('a')])",
    ],
    "widget_buffers": ["import ipywidgets as w\nw.Image(value=b'12345', format='png')"],
    "output_widget": [
        "import ipywidgets as w\nout = w.Output(); display(out)\nwith out: print('inside'); display('shown')\nprint('outside')",
        "with out: print('more')",
        "out.clear_output()\nwith out: print('after')",
    ],
    "output_widget_error": [
        "import ipywidgets as w\nout = w.Output(); display(out)\nwith out: 1/0",
        "print('goes on')",
    ],
    "interact": ["from ipywidgets import interact\ndef f(n): print('n is', n); return n\ninteract(f, n=3);"],
    # Errors
    "error": ["print('before'); 1/0", "print('never')"],
    "error_after_display": ["display(1); raise ValueError('<b>&amp; ünï</b>')"],
    "error_allowed": [
        tagged("1/0", "raises-exception"),
        "print('goes on')",
        tagged("print('fine')", "raises-exception"),
    ],
    "syntax_error": ["print('a')\nx ==== 1"],
    "indentation_error": ["if True:\nprint(1)"],
    "nested_exceptions": ["try:\n    1/0\nexcept Exception as e:\n    raise KeyError('k') from e"],
    "during_handling": ["def f(n):\n    if n: f(n - 1)\n    else: [][1]\ntry: f(3)\nexcept IndexError: {}['x']"],
    "exception_group": ["raise ExceptionGroup('several', [ValueError('a'), ExceptionGroup('in', [TypeError('b')])])"],
    "recursion": ["import sys\nsys.setrecursionlimit(200)\ndef f(): f()\nf()"],
    "exception_without_a_text": ["raise Exception", ""],
    "exception_whose_text_fails": ["class E(Exception):\n    def __str__(self): raise ValueError('no text')\nraise E"],
    "error_in_an_import": ["import no_such_module_at_all"],
    "assertion": ["assert 1 == 2, 'one is not two'"],
    "system_exit": ["import sys\nprint('before'); sys.exit('a reason')", "print('never')"],
    "keyboard_interrupt": ["raise KeyboardInterrupt('by hand')", "print('never')"],
    "input_refused": ["x = input('Name? ')", "print('never')"],
    "base_exception": ["class B(BaseException): pass\nraise B('b')", "print('never')"],
    # Magics, shells
    "magics": [
        "%%capture held\nprint('held')",
        "print(held.stdout)",
        "%%bash\necho from bash; echo err >&2",
        "%env X=1\n%pwd;",
    ],
    "bash_fails": ["%%bash\necho a\nexit 3", "print('never')"],
    "cell_magics": ["%%html\n<b>x</b>", "%%latex\n$x$", "%%javascript\n1", "%%python\nprint('p')"],
    "help_and_pager": ["len?", "print('after')", "%lsmagic;"],
    "inspect_and_history": ["x = 1", "%who", "%history -n 1"],
    "next_input": ["get_ipython().set_next_input('print(2)')", "print(1)"],
    "exit_hooks": ["import atexit\natexit.register(print, 'at exit')\nprint('registered')"],
    # Cells and files
    "cells_of_all_kinds": [
        other("markdown", "![a](attachment:a.png)", attachments={"a.png": {"image/png": ATTACHED}}),
        other("raw", "raw ünï", metadata={"format": "text/restructuredtext"}),
        "",
        "   \n\t",
        "# only a comment",
        "1",
    ],
    "lists_of_lines": [code(["print('a')\n", "print('b')"]), other("markdown", "x")],
    "cell_metadata": [
        code(
            "1", metadata={"collapsed": True, "scrolled": "auto", "jupyter": {"source_hidden": True}, "own": {"a": [1]}}
        ),
    ],
    "skipped": [tagged("print('not run')", "skip-execution"), "print('run')"],
    "old_outputs": [
        code(
            "print('new')", execution_count=9, outputs=[{"output_type": "stream", "name": "stdout", "text": ["old\n"]}]
        ),
        code("", execution_count=3),
    ],
}

FORMATS: dict[str, dict[str, Any]] = {
    "format_3": {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "old"},
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {"cell_type": "heading", "level": 2, "source": ["A heading"], "metadata": {}},
                    {
                        "cell_type": "code", "language": "python", "collapsed": False, "metadata": {},
                        "input": ["print('three')\n", "7"], "outputs": [], "prompt_number": 4,
                    },
                ],
            }
        ],
    },
    "format_4_0": {
        "nbformat": 4, "nbformat_minor": 0, "metadata": {},
        "cells": [code("print('four'); 4", execution_count=2)],
    },
    "format_4_4_with_own_fields": {
        "nbformat": 4, "nbformat_minor": 4, "metadata": {"own": {"x": [1, "ü"]}, "kernelspec": {"name": "x", "display_name": "X"}},
        "cells": [code("4.4")],
    },
    "format_4_5_ids": {
        "nbformat": 4, "nbformat_minor": 5, "metadata": {},
        "cells": [code("print(1)", id="first"), other("markdown", "x", id="second"), code("2", id="third")],
    },
}  # fmt: skip

QUICK = (
    "html", "json_not_a_number", "update_display", "clear_output_waiting", "streams_in_turn", "stream_and_display_in_turn",
    "carriage_returns", "widgets", "error_allowed", "cells_of_all_kinds",
)  # fmt: skip
"""Those whose cells together make one notebook that goes well."""
ALONE = ("nested_exceptions", "format_3")
"""An error, which ends its notebook, and another format."""

_VARIES = (
    (re.compile(r"ipykernel_\d+/\d+\.py"), "CELL"),
    (re.compile(r"0x[0-9a-f]{6,}"), "ADDRESS"),
    (re.compile(r"[0-9a-f]{32}"), "IDENTIFIER"),
)


def plain(text: str) -> str:
    """Return a text without what differs between two runs of the same notebook."""
    for pattern, word in _VARIES:
        text = pattern.sub(word, text)
    return text


def content(name: str) -> dict[str, Any]:
    """Return a notebook of the gallery, as its file holds it."""
    if name in FORMATS:
        return FORMATS[name]
    cells = [code(cell) if isinstance(cell, str) else dict(cell) for cell in GALLERY[name]]
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}


def together(names: Sequence[str]) -> dict[str, Any]:
    """Return one notebook with the cells of several of the gallery."""
    cells = [cell for name in names for cell in content(name)["cells"]]
    return {**content(names[0]), "cells": cells}
