"""GET /uploads over HTTP: whose uploads are on it, the pages, what is refused; and `onward quota`, which counts them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from client_process import run
from http_connection import Headers, Tus
from owners_server import PROGRAM
from server_process import Server, serving

from onward.protocol.errors import NotFound
from onward.protocol.grants import Grant, Scope
from onward.protocol.model import UploadId
from onward.server.http.listing import build_cursor, parse_cursor, whose
from onward.storage.base import Cursor

pytestmark = pytest.mark.slow
ORIGIN = "https://app.example"
ANN: Headers = {"X-Owner": "ann", "X-Scopes": "list create append terminate"}
BOB: Headers = {**ANN, "X-Owner": "bob"}
ADMIN: Headers = {"X-Owner": "root", "X-Scopes": "admin"}
COUNT = 7


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the uploads of two owners, and some of nobody."""
    options = ("--quota=5000", f"--cors-origins={ORIGIN}")
    with serving(tmp_path_factory.mktemp("listing") / "data", options, program=PROGRAM) as server:
        for number in range(COUNT):
            for headers in (ANN, BOB, {}):
                create(server.tus, headers, 10 + number)
        yield server


def create(tus: Tus, headers: Headers, length: int) -> str:
    answer = tus.ask("POST", tus.files, headers={**headers, "Upload-Length": str(length)})
    assert answer.status == 201
    return str(answer["Location"])


def page(server: Server, query: str = "", headers: Headers = ANN) -> dict[str, Any]:
    """Give a page of the list."""
    answer = server.tus.ask("GET", f"/uploads?{query}", headers=headers)
    assert answer.status == 200, answer.body
    assert answer["Cache-Control"] == "private, no-store"
    found: dict[str, Any] = json.loads(answer.body)
    return found


def lengths(found: dict[str, Any]) -> list[int]:
    """Give the sizes of the uploads on a page."""
    return [each["fileSize"] for each in found["uploads"]]


def test_an_owner_sees_its_own_uploads_the_newest_first_with_all_that_it_may_know(listing: Server) -> None:
    found = page(listing)
    assert found["next"] is None
    assert lengths(found) == list(range(9 + COUNT, 9, -1))
    newest = found["uploads"][0]
    assert newest["location"].endswith(f"{listing.url.partition('//')[2]}/{newest['uploadId']}")
    assert {"status", "seq", "metadata", "created", "expires", "uploadedBytes"} <= set(newest)


def test_an_admin_sees_all_uploads_also_those_without_an_owner(listing: Server) -> None:
    assert lengths(page(listing, headers=ADMIN)) == [size for size in range(9 + COUNT, 9, -1) for _ in range(3)]


def test_the_pages_fit_together_while_uploads_come_and_go(listing: Server) -> None:
    carl = ANN | {"X-Owner": "carl"}
    urls = [create(listing.tus, carl, number) for number in range(1, 8)]
    first = page(listing, "limit=3", carl)
    assert lengths(first) == [7, 6, 5]
    create(listing.tus, carl, 99)
    for url in (urls[4], urls[2]):  # the last one of the first page, and one of the next
        assert listing.tus.ask("DELETE", f"/files/{url.rpartition('/')[2]}", headers=carl).status == 204
    pending = f"limit=3&status=pending&after={first['next']}"
    second = page(listing, pending, carl)
    assert lengths(second) == [4, 2, 1]
    assert second["next"] is None
    assert lengths(page(listing, f"limit=2&after={first['next']}", carl)) == [4, 3]
    assert lengths(page(listing, "status=terminated", carl)) == [5, 3]
    assert lengths(page(listing, "status=terminated,pending&limit=1", carl)) == [99]
    assert lengths(page(listing, "status=completed", carl)) == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=-1", "limit=1e9", "status=gone", "status=", "after=", "after=x", "after=%C3%A4",
     f"after={build_cursor(Cursor(float('inf'), UploadId('0' * 32)))}", f"after={build_cursor(Cursor(1.0, UploadId('x')))}"],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(listing: Server, query: str) -> None:
    answer = listing.tus.ask("GET", f"/uploads?{query}", headers=ANN)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "bad-request")


def test_who_may_not_list_gets_no_list(listing: Server) -> None:
    assert listing.tus.ask("GET", "/uploads", headers=ANN | {"X-Scopes": "create"}).status == 403
    assert listing.tus.ask("GET", "/uploads").status == 404
    assert page(listing, headers=ANN | {"X-Owner": "nobody"}) == {"uploads": [], "next": None}
    for method in ("POST", "HEAD", "DELETE"):
        assert listing.tus.ask(method, "/uploads", headers=ANN).status == 405


def test_pages_of_allowed_origins_may_read_the_list(listing: Server) -> None:
    origin: Headers = {"Origin": ORIGIN}
    answer = listing.tus.ask("GET", "/uploads", headers=ANN | origin)
    assert answer["Access-Control-Allow-Origin"] == ORIGIN
    asked: Headers = origin | {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    preflight = listing.tus.ask("OPTIONS", "/uploads", headers=asked)
    assert preflight.status == 204
    assert "Authorization" in preflight["Access-Control-Allow-Headers"]


def test_a_server_that_knows_nobody_has_no_list(server: Server) -> None:
    assert server.tus.ask("GET", "/uploads").status == 404


def test_several_grants_allow_what_all_of_them_do() -> None:
    ann, bob, admin = Grant(owner="ann"), Grant(owner="bob"), Grant(owner="root", scopes=frozenset({Scope.ADMIN}))
    assert whose([admin]) is None
    assert whose([ann, Grant()]) == "ann"
    assert whose([admin, ann]) == "ann"
    for grants in ([], [Grant()], [ann, bob]):
        with pytest.raises(NotFound):
            whose(grants)


def test_a_cursor_is_a_place() -> None:
    place = Cursor(1764288000.1234567, UploadId("a" * 32))
    assert parse_cursor(build_cursor(place)) == place
    assert build_cursor(None) is None


async def quota(server: Server, *words: str) -> Any:
    ended = await run(server.data.parent, "quota", *words, f"--data={server.data}", "--state=sqlite:", "--json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


async def test_the_operator_sees_what_each_owner_has(listing: Server) -> None:
    dora = ANN | {"X-Owner": "dora"}
    url = create(listing.tus, dora, 1000)
    removed = create(listing.tus, dora, 500)
    listing.tus.patch(f"/files/{url.rpartition('/')[2]}", 0, b"x" * 300, dora)
    listing.tus.ask("DELETE", f"/files/{removed.rpartition('/')[2]}", headers=dora)
    has = {"owner": "dora", "stored": 300, "promised": 700, "uploads": 1, "quota": 5000}
    assert await quota(listing, "dora") == [has]
    everybody = {each["owner"]: each for each in await quota(listing)}
    assert everybody["dora"] == has
    assert (everybody["bob"]["promised"], everybody["bob"]["uploads"]) == (sum(range(10, 10 + COUNT)), COUNT)
    assert (await quota(listing, "nobody"))[0]["uploads"] == 0
    told = await run(listing.data.parent, "quota", "dora", f"--data={listing.data}", "--state=sqlite:")
    assert told.out.splitlines()[1].split() == ["300", "700", "5,000", "1", "dora"]
