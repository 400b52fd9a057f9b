"""The command line as a new user mistypes it: each mistake is named, before what is missing because of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from client_process import run


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--verison"], "onward: error: unknown option --verison; did you mean --version?"),
        (["-v"], "onward: error: unknown option -v"),
        (
            ["help"],
            "onward: error: unknown command help; the commands are serve, grant, list, show, rm, events, quota, "
            "backup, sweep, doctor, completion, man, upload, watch",
        ),
        (["upload", "f", "--too=x"], "onward upload: error: unknown option --too; did you mean --to?"),
        (["upload", "--paralel=2"], "onward upload: error: unknown option --paralel; did you mean --parallel?"),
        (["serve", "--page=false"], "onward serve: error: --page takes no value: write --page or --no-page"),
        (["serve", "--no-page=1"], "onward serve: error: --no-page takes no value: write --page or --no-page"),
        (["watch", "u", "--json=yes"], "onward watch: error: --json takes no value: write --json"),
    ],
)
async def test_a_mistyped_argument_is_named(tmp_path: Path, words: Sequence[str], sentence: str) -> None:
    ended = await run(tmp_path, *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1] == sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--trusted-proxies=foo"], "--trusted-proxies: 'foo' is not an address, nor a network such as 10.0.0.0/8, nor unix"),
        (["--config=table.toml"], "table.toml: unknown table [server]: options are written without a table"),
    ],
)  # fmt: skip
async def test_a_wrong_value_is_answered_with_what_is_right(
    tmp_path: Path, words: Sequence[str], sentence: str
) -> None:
    table = tmp_path / "table.toml"
    table.write_text("[server]\nport = 1\n")
    ended = await run(tmp_path, "serve", *(word.replace("table.toml", str(table)) for word in words))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"onward: {sentence.replace('table.toml', str(table))}\n"
