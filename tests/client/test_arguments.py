"""Wrong arguments of `onward upload` and `onward watch`: one sentence, once, and exit status 2."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from client_process import run
from server_process import Server

NOT_HTTP = "is not an HTTP URL such as http://host/files"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["upload", "a", "b", "--to=ftp://nowhere/files"], f"--to: 'ftp://nowhere/files' {NOT_HTTP}"),
        (["upload", "a", "b", "--to="], f"--to: '' {NOT_HTTP}"),
        (["upload", "a", "--to=here:80/files"], f"--to: 'here:80/files' {NOT_HTTP}; did you mean http://here:80/files?"),
        (["upload", "a", "--to=http://[bad"], "--to: 'http://[bad' is not a URL: Invalid IPv6 URL"),
        (["upload", "a", "--to=http://h:99999/files"], "--to: 'http://h:99999/files' is not a URL: Port out of range 0-65535"),
        (["upload", "-", "-", "--to=http://h/files"], "-: stdin can be uploaded only once"),
        (["watch", "foo"], f"'foo' {NOT_HTTP}; did you mean http://foo?"),
        (["watch", ""], f"'' {NOT_HTTP}"),
        (["watch", "http://h/progress?id=1&id=2"],
         "'http://h/progress?id=1&id=2' is the progress of several uploads; watch each by its own URL"),
    ],
)  # fmt: skip
async def test_a_wrong_argument_is_one_sentence(tmp_path: Path, words: Sequence[str], sentence: str) -> None:
    ended = await run(tmp_path, *words)
    assert (ended.code, ended.out, ended.err) == (2, "", f"onward: {sentence}\n")


async def test_a_wrong_target_in_the_environment_is_named_by_its_variable(tmp_path: Path) -> None:
    ended = await run(tmp_path, "upload", "a", environ={"ONWARD_TO": "nowhere/files"})
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"onward: ONWARD_TO: 'nowhere/files' {NOT_HTTP}; did you mean http://nowhere/files?\n"


async def test_https_to_a_server_of_http_says_what_is_probably_wrong(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"some bytes")
    ended = await run(tmp_path, "upload", str(file), "--to", server.url.replace("http:", "https:"))
    assert ended.code == 1
    assert ended.err.endswith(": wrong version number (the server may speak http:// there, not https://)\n")
