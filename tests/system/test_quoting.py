"""Words as each kind of shell reads them, and command lines for batch files; `tests/windows` runs such ones."""

from __future__ import annotations

import pytest

from mambakernels.errors import InvalidRequestError
from mambakernels.system import quoting


@pytest.mark.parametrize(
    ("word", "posix", "cmd", "powershell"),
    [
        (r"C:\envs\np-mkl", r"'C:\envs\np-mkl'", r"C:\envs\np-mkl", r"C:\envs\np-mkl"),
        ("a b", "'a b'", '"a b"', "'a b'"),
        ("it's", """'it'"'"'s'""", '"it\'s"', "'it''s'"),
        ("libblas=*=*mkl", "'libblas=*=*mkl'", '"libblas=*=*mkl"', "'libblas=*=*mkl'"),
        ("R&D\\", "'R&D\\'", '"R&D\\\\"', "'R&D\\'"),
        ("", "''", '""', "''"),
    ],
)
def test_a_word_is_quoted_for_the_shell(word: str, posix: str, cmd: str, powershell: str) -> None:
    assert quoting.quote(word, "posix") == posix
    assert quoting.quote(word, "cmd") == cmd
    assert quoting.quote(word, "powershell") == powershell


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("posix", ["unset X", "export P='/a b'\"${P:+:$P}\"", "rm -r '/a b'", '"${EDITOR:-vi}" f', "a && b"]),
        ("cmd", ["set X=", 'set "P=/a b;%P%"', 'rmdir /s "/a b"', "notepad f", "a && b"]),
        (
            "powershell",
            ["Remove-Item Env:X", "$Env:P = '/a b;' + $Env:P", "Remove-Item -Recurse '/a b'", "notepad f", "a; b"],
        ),
    ],
)
def test_advice_is_in_the_words_of_the_shell(
    shell: quoting.Shell, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quoting, "user_shell", lambda: shell)
    found = [quoting.unset("X"), quoting.prepend("P", "/a b"), quoting.remove_folder("/a b"), quoting.edit("f")]
    assert [*found, quoting.joined("a", "b")] == expected


def test_a_batch_file_gets_its_arguments_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMSPEC", "cmd.exe")
    found = quoting.batch_command([r"C:\R&D\tool.BAT", "-a", "b c", "d&e", 'f"g', "h\\", "100%", ""])
    words = r'"C:\R&D\tool.BAT" -a "b c" "d&e" "f""g" "h\\" "100%%cd:~,%" ""'
    assert found == f'cmd.exe /e:ON /v:OFF /d /c "{words}"'
    assert quoting.batch_command([r"C:\python.exe", "d&e"]) is None
    with pytest.raises(InvalidRequestError, match="line break"):
        quoting.batch_command(["tool.cmd", "a\nb"])
