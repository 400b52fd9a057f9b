"""`onward grant` and `mint`: what they print is a token that says what was asked for, and nothing wrong is printed."""

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from token_maker import OwnKey

from onward import Grant, Scope, mint
from onward.server.access.key_file import read_or_make
from onward.server.cli import main

ID = "0123456789abcdef" * 2


def claims_of(token: str, data: Path) -> dict[str, Any]:
    return dict(jwt.decode(token, OwnKey(data / "auth.key").key, ["HS256"]))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command, and give its exit status, what it printed, and its complaint."""
    monkeypatch.setattr("onward.server.cli.set_up_log", lambda *_: None)  # it would stay for the tests that follow

    def grant(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["onward", "grant", f"--data={tmp_path}", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return grant


def test_every_option_is_in_the_token(run: Any, tmp_path: Path) -> None:
    status, out, _ = run(
        "--sub=alice", "--scope", "create watch,append", "--expires=2h", "--max-size=5G", "--max-uploads=3",
        "--quota=10GB", "--types=image/*,application/pdf", "--metadata", "customer=42", "--metadata=note=a=b ä",
    )  # fmt: skip
    assert status == 0
    claims = claims_of(out.strip(), tmp_path)
    assert abs(claims.pop("exp") - time.time() - 7200) < 60
    assert len(claims.pop("jti")) == 16
    assert claims == {
        "sub": "alice",
        "scope": "create append watch",
        "onward": {
            "maxSize": 5 * 2**30, "maxUploads": 3, "quota": 10**10, "types": ["image/*", "application/pdf"],
            "metadata": {"customer": "42", "note": "a=b ä"},
        },
    }  # fmt: skip


def test_without_options_it_is_a_week_for_an_owner_of_its_own(run: Any, tmp_path: Path) -> None:
    first, second = (claims_of(run()[1].strip(), tmp_path) for _ in range(2))
    assert first["sub"] == f"link-{first['jti']}" != second["sub"]
    assert abs(first["exp"] - time.time() - 7 * 86400) < 60
    assert first.keys() == {"sub", "exp", "jti"}


def test_a_token_for_one_upload_needs_no_owner(run: Any, tmp_path: Path) -> None:
    claims = claims_of(run(f"--upload={ID}")[1].strip(), tmp_path)
    assert claims["onward"] == {"upload": ID}
    assert "sub" not in claims


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("http://localhost:8080", "http://localhost:8080/#token="),
        ("https://a.example/up/", "https://a.example/up/#token="),
        ("https://a.example/up?x=1", "https://a.example/up?x=1#token="),
    ],
)
def test_a_link_has_the_token_behind_a_hash(run: Any, tmp_path: Path, url: str, link: str) -> None:
    _, out, _ = run(f"--url={url}")
    assert out.startswith(link)
    assert claims_of(out.strip().partition("#token=")[2], tmp_path)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--scope=creat"], "--scope: 'creat' is not a scope; did you mean create?"),
        (["--expires=0"], "--expires: '0' is out of range"),
        (["--max-size=5X"], "--max-size: '5X' is not a size"),
        (["--max-uploads=-1"], "--max-uploads: '-1' is out of range"),
        (["--types=image/foo"], "--types: 'image/foo' is never recognised"),
        (["--metadata=x"], "--metadata: 'x' is not a key and a value"),
        (["--metadata=a b=c"], "metadata of the token can't be metadata of an upload"),
        (["--upload=x"], "--upload: 'x' is not the id of an upload"),
        (["--url=ftp://x/"], "--url: 'ftp://x/' is not the URL of a page"),
        (["--url=http://x/#a"], "--url: 'http://x/#a' is not the URL of a page"),
        (["--url=http://[x/"], "--url: "),
        (["--sub="], "sub of the token is not a text"),
        (["--sub", "x" * 1001], "1000 bytes at most"),
        (["--data=/missing/folder"], "can't be used"),
    ],
    ids=lambda given: given[0][:30] if isinstance(given, list) else "",
)
def test_what_is_wrong_is_one_line(run: Any, words: list[str], why: str) -> None:
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert why in err
    assert "Traceback" not in err


def test_an_application_mints_with_the_key_or_its_file(tmp_path: Path) -> None:
    key = read_or_make(tmp_path / "auth.key")
    grant = Grant(owner="alice", scopes=frozenset({Scope.LIST}), token_id="j", expires=2e9)
    expected = {"sub": "alice", "scope": "list", "exp": 2e9, "jti": "j"}
    for source in (key, tmp_path / "auth.key", str(tmp_path / "auth.key")):
        assert claims_of(mint(grant, source), tmp_path) == expected
    later = claims_of(mint(Grant(owner="alice"), key, lifetime="2h", clock=lambda: time.time() + 60), tmp_path)
    assert abs(later["exp"] - time.time() - 7260) < 30
    for wrong in (Grant(owner="alice", metadata={}), Grant(owner="alice", types=("image/foo",)), Grant(owner="a\n")):
        with pytest.raises(ValueError, match=r"\w"):
            mint(wrong, key)
    with pytest.raises(ValueError, match="32 bytes"):
        mint(grant, b"short")
    with pytest.raises(OSError, match="missing"):
        mint(grant, tmp_path / "missing")
