"""Who may do what: every scope against every act on every route and in every dialect, and owners against each other."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import form_bodies
import pytest
from draft_requests import MEDIA_TYPE
from http_connection import NONE, OCTETS, UNKNOWN, Answer, Connection, Headers, Tus, path_of
from server_process import Server, serving
from token_maker import OwnKey, bearer

from onward import Act, Config, Scope, create_app
from onward.protocol.dialects import DIALECTS, ietf
from onward.protocol.grants import NEEDED, USUAL

UPGRADE: Headers = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}  # fmt: skip
EVENTS: Headers = {"Accept": "text/event-stream"}
OF_ONE_REPLY = {"Date", "X-Request-ID"}  # headers that differ between equal replies
OPEN = re.compile(r"/|/page/.*|/healthz|/readyz")  # paths that need no token
TUS: Headers = {"Tus-Resumable": "1.0.0"}
UNSAID: Headers = {"Tus-Resumable": None}


class Request(NamedTuple):
    """A request and what it is about to do; `{}` in its path or a header stands for the id of the upload."""

    act: Act
    method: str
    path: str
    headers: Headers = NONE
    body: bytes = b""

    def about(self, id_: str) -> tuple[str, str, Headers]:
        headers = {name: value and value.replace("{}", id_) for name, value in self.headers.items()}
        return self.method, self.path.replace("{}", id_), headers


ONE = "/files/{}"
PATCHING: Headers = {"Content-Type": OCTETS, "Upload-Offset": "9"}  # another offset than the recorded one: 409


def _draft(version: int | None) -> list[Request]:
    """Give the requests of the draft; where it is not known by its version, it is by another one that nobody knows."""
    said: Headers = UNSAID | {"Upload-Draft-Interop-Version": str(version or 7)}
    patching: Headers = {"Content-Type": MEDIA_TYPE, "Upload-Offset": "9", "Upload-Complete": "?1"}
    return [
        Request(Act.CREATE, "POST", "/files", said | {"Upload-Complete": "?0"}),
        Request(Act.CREATE, "PUT", "/files/a.txt", said | {"Upload-Complete": "?1"}, b"a file"),
        Request(Act.CREATE, "PUT", ONE, said | {"Upload-Complete": "?1"}, b"its name looks like an id"),
        Request(Act.INSPECT, "HEAD", ONE, said),
        Request(Act.APPEND, "PATCH", ONE, said | patching),
        Request(Act.TERMINATE, "DELETE", ONE, said),
        Request(Act.DOWNLOAD, "GET", ONE, said),
    ]


BY_DIALECT: dict[str, list[Request]] = {  # a new dialect gets its row here
    "tus 1.0.0": [
        Request(Act.CREATE, "POST", "/files", TUS | {"Upload-Length": "3"}),
        Request(Act.CREATE, "POST", "/files/", TUS | {"Upload-Length": "3"}),
        Request(Act.JOIN, "POST", "/files", TUS | {"Upload-Concat": "final;/files/{}"}),
        Request(Act.INSPECT, "HEAD", ONE, TUS),
        Request(Act.INSPECT, "POST", ONE, TUS | {"X-HTTP-Method-Override": "HEAD"}),
        Request(Act.APPEND, "PATCH", ONE, TUS | PATCHING),
        Request(Act.APPEND, "POST", ONE, TUS | PATCHING | {"X-HTTP-Method-Override": "PATCH"}),
        Request(Act.TERMINATE, "DELETE", ONE, TUS),
        Request(Act.TERMINATE, "GET", ONE, TUS | {"X-HTTP-Method-Override": "DELETE"}),
        Request(Act.DOWNLOAD, "GET", ONE, TUS),
    ],
} | {
    dialect.name: _draft(version.number) for dialect, version in zip(ietf.DIALECTS, ietf.VERSIONS, strict=True)
}  # fmt: skip
BY_DIALECT["IETF draft"] += [
    Request(Act.CREATE, "POST", "/files", UNSAID | {"Upload-Complete": "?0"}),
    Request(Act.APPEND, "PATCH", ONE, UNSAID | {"Content-Type": MEDIA_TYPE, "Upload-Offset": "9"}),
]
FORM = form_bodies.form(form_bodies.field("a", b"b"), form_bodies.file("a.txt", b"a file"))
IN_NONE = [
    Request(Act.CREATE, "PUT", "/files/a.txt", UNSAID, b"a file"),
    Request(Act.CREATE, "PUT", ONE, UNSAID, b"its name looks like an id"),
    Request(Act.CREATE, "POST", "/files", form_bodies.headers(len(FORM)), FORM),
    Request(Act.CREATE, "POST", "/files/", form_bodies.headers(len(FORM)), FORM),
    Request(Act.DOWNLOAD, "GET", ONE, UNSAID),
    Request(Act.DOWNLOAD, "HEAD", ONE, UNSAID),
    Request(Act.WATCH, "GET", f"{ONE}/progress", UNSAID),
    Request(Act.WATCH, "GET", f"{ONE}/progress", EVENTS),
    Request(Act.WATCH, "GET", f"{ONE}/progress", UPGRADE),
    Request(Act.WATCH, "GET", "/progress?id={}", UNSAID),
    Request(Act.WATCH, "GET", "/progress?id={}", EVENTS),
    Request(Act.WATCH, "GET", "/progress?id={}", UPGRADE),
]
METRICS = Request(Act.METRICS, "GET", "/metrics", UNSAID)
LIST = Request(Act.LIST, "GET", "/uploads", UNSAID)
REQUESTS = [*(request for requests in BY_DIALECT.values() for request in requests), *IN_NONE]


class Scene(NamedTuple):
    """A server with access control, and an upload from the time before."""

    server: Server
    own: OwnKey
    ownerless: str

    def send(self, request: Request, id_: str, token: str | None) -> Answer:
        """Send a request, and give the head of its reply; of a refusal, the body too."""
        method, path, headers = request.about(id_)
        with Connection(self.server.tus.port) as connection:
            told = headers | (bearer(token) if token else {})
            connection.send(self.server.tus.request(method, path, told, request.body))
            status = 104
            while status == 104:
                reply = connection.read_line(b"\r\n\r\n").decode("latin-1")
                status = int(reply.split()[1])
            size = re.search(r"Content-Length: (\d+)", reply)
            body = connection.read(int(size[1])) if size and status >= 400 and method != "HEAD" else b""
            lines = (line.partition(": ") for line in reply.split("\r\n")[1:])
            return Answer(status, {name: value for name, _, value in lines if name not in OF_ONE_REPLY}, body)

    def upload(self, token: str, *, partial: bool = False) -> str:
        """Create an upload, and give its id."""
        part: Headers = {"Upload-Concat": "partial"} if partial else {}
        return self.server.tus.create(3, bearer(token) | part).rpartition("/")[2]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    data: Path = tmp_path_factory.mktemp("who") / "data"
    with serving(data) as server:
        ownerless = server.tus.create(3).rpartition("/")[2]
    with serving(data, ("--auth=key",)) as server:
        yield Scene(server, OwnKey(data / "auth.key"), ownerless)


def test_every_dialect_has_its_row() -> None:
    assert BY_DIALECT.keys() == {dialect.name for dialect in DIALECTS}


def test_every_act_is_asked_for() -> None:
    assert {request.act for request in (*REQUESTS, METRICS, LIST)} == set(Act)


SCOPES = [frozenset({scope}) for scope in Scope] + [frozenset[Scope](), USUAL]


@pytest.mark.parametrize("scopes", SCOPES, ids=lambda scopes: " ".join(sorted(scopes)) or "nothing")
def test_an_act_needs_its_scope_on_every_route_and_in_every_dialect(scene: Scene, scopes: frozenset[Scope]) -> None:
    owner, token = scene.own.token("alice"), scene.own.token("alice", " ".join(sorted(scopes)))
    for request in (*REQUESTS, METRICS, LIST):
        answer = scene.send(request, scene.upload(owner, partial=request.act is Act.JOIN), token)
        if NEEDED[request.act] in scopes or Scope.ADMIN in scopes:
            assert answer.status not in (401, 403, 404), request
        else:
            assert answer.status == 403, request
            scope = f'scope="{NEEDED[request.act]}"'
            assert answer.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", {scope}'
            assert request.method == "HEAD" or json.loads(answer.body)["code"] == "access-denied"


def test_every_route_needs_a_token_but_those_that_are_open(scene: Scene) -> None:
    for resource in create_app(Config(auth="key")).router.resources():
        name = "a.txt" if "{name}" in resource.canonical else UNKNOWN
        path = re.sub(r"\{[^{}]*\}", name, resource.canonical) or "/"
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            status = scene.send(Request(Act.INSPECT, method, path), UNKNOWN, None).status
            assert OPEN.fullmatch(path) or status in (401, 405), (method, path)
            wrong = scene.send(Request(Act.INSPECT, method, path), UNKNOWN, "a.b.c").status
            assert OPEN.fullmatch(path) or wrong in (401, 405), (method, path)
        assert scene.send(Request(Act.INSPECT, "OPTIONS", path), UNKNOWN, None).status in (200, 204, 405)


ABOUT_ONE = [request for request in REQUESTS if request.act is not Act.CREATE]


def test_somebody_elses_upload_looks_exactly_like_an_unknown_one(scene: Scene) -> None:
    alice, bob = scene.own.token("alice"), scene.own.token("bob")
    own = {False: scene.upload(bob), True: scene.upload(bob, partial=True)}
    for request in ABOUT_ONE:
        partial = request.act is Act.JOIN
        hers = scene.upload(alice, partial=partial)
        unknown = scene.send(request, UNKNOWN, bob)
        assert unknown.status == 404, request
        assert scene.send(request, hers, bob) == unknown, request
        assert scene.send(request, hers, bob) == unknown, "again, when more is remembered"
        assert scene.send(request, scene.ownerless, bob) == unknown, request
        assert scene.send(request, hers, scene.own.token("alice", exp=1)).status == 401
        assert scene.send(request, own[partial], bob).status not in (401, 403, 404), request
        own[partial] = scene.upload(bob, partial=partial)
        assert scene.send(request, hers, alice).status not in (401, 403, 404), request


def test_an_admin_sees_everything(scene: Scene) -> None:
    admin, alice = scene.own.token("root", "admin"), scene.own.token("alice")
    for request in ABOUT_ONE:
        hers = scene.upload(alice, partial=request.act is Act.JOIN)
        assert scene.send(request, hers, admin).status not in (401, 403, 404), request
        assert scene.send(request, UNKNOWN, admin).status == 404, request
    assert scene.send(Request(Act.INSPECT, "HEAD", ONE, TUS), scene.ownerless, admin).status == 200


def test_one_foreign_upload_among_several_is_enough(scene: Scene) -> None:
    alice, bob = scene.own.token("alice"), scene.own.token("bob")
    own, hers = scene.upload(bob), scene.upload(alice)
    for headers in (UNSAID, EVENTS, UPGRADE):
        both = Request(Act.WATCH, "GET", f"/progress?id={own}&id={{}}", headers)
        assert scene.send(both, hers, bob) == scene.send(both, UNKNOWN, bob)
        assert scene.send(both, hers, bob).status == 404
    part, foreign = scene.upload(bob, partial=True), scene.upload(alice, partial=True)
    joining = Request(Act.JOIN, "POST", "/files", TUS | {"Upload-Concat": f"final;/files/{part} /files/{{}}"})
    assert scene.send(joining, foreign, bob) == scene.send(joining, UNKNOWN, bob)
    assert scene.send(joining, foreign, bob).status == 404


def test_a_token_for_one_upload_is_for_nothing_else(scene: Scene) -> None:
    alice = scene.own.token("alice")
    for request in ABOUT_ONE:
        hers = scene.upload(alice, partial=request.act is Act.JOIN)
        for token in (
            scene.own.token(sub=None, onward={"upload": hers}), scene.own.token("alice", onward={"upload": hers}),
            scene.own.token("root", "admin", onward={"upload": hers}),
        ):  # fmt: skip
            if request.act is Act.JOIN:
                assert scene.send(request, hers, token).status == 403
            elif request.act is not Act.TERMINATE:
                assert scene.send(request, hers, token).status not in (401, 403, 404), request
                other = scene.upload(alice)
                assert scene.send(request, other, token) == scene.send(request, UNKNOWN, token), request
                assert scene.send(request, other, token).status == 404
            assert scene.send(REQUESTS[0], hers, token).status == 403, "it creates nothing"
            assert scene.send(METRICS, hers, token).status == 403
        bobs = scene.own.token("bob", onward={"upload": hers})
        assert scene.send(request, hers, bobs).status in (403, 404), "both must be right"


def test_a_stranger_does_not_disturb_a_running_body(scene: Scene) -> None:
    tus, alice, bob = scene.server.tus, scene.own.token("alice"), scene.own.token("bob")
    path = tus.create(6, bearer(alice))
    with Connection(tus.port) as connection:
        connection.send(tus.request("PATCH", path, tus.patching(0, bearer(alice) | {"Content-Length": "6"}), b"abc"))
        for request in ABOUT_ONE:
            assert scene.send(request, path.rpartition("/")[2], bob).status == 404
        connection.send(b"def")
        assert connection.answer().status == 204


def test_a_key_of_a_creation_is_known_to_its_owner_only(scene: Scene) -> None:
    def create(token: str, headers: Headers) -> str:
        told = TUS | {"Upload-Length": "3", "Idempotency-Key": "one"} | headers
        return scene.send(Request(Act.CREATE, "POST", "/files", told), UNKNOWN, token).headers["Location"]

    alice, bob = scene.own.token("alice"), scene.own.token("bob")
    for headers in (NONE, UNSAID | {"Upload-Draft-Interop-Version": "8", "Upload-Complete": "?0"}):
        hers, his = create(alice, headers), create(bob, headers)
        assert hers != his
        assert (create(scene.own.token("alice", jti="another"), headers), create(bob, headers)) == (hers, his)
        for path, token, status in ((hers, alice, 200), (his, bob, 200), (hers, bob, 404), (his, alice, 404)):
            assert scene.send(Request(Act.INSPECT, "HEAD", path_of(path), TUS), UNKNOWN, token).status == status


def test_a_stranger_learns_nothing_from_paths_that_are_no_uploads(scene: Scene) -> None:
    alice, looks = scene.own.token("alice"), Request(Act.DOWNLOAD, "GET", "/files/whatever", UNSAID)
    for method in ("GET", "HEAD", "PATCH", "DELETE", "POST"):
        request = looks._replace(method=method)
        assert scene.send(request, UNKNOWN, None).status == 401, method
        assert scene.send(request, UNKNOWN, "a.b.c").status == 401, method
        assert scene.send(request, UNKNOWN, scene.own.token("alice", "list")).status == 403, method
        assert scene.send(request, UNKNOWN, alice).status == 404, method


def _create(tus: Tus, token: str, headers: Headers) -> str:
    answer = tus.post(headers | bearer(token))
    assert answer.status == 201, answer
    return path_of(answer["Location"])


def test_limits_of_a_token_outlast_its_request(scene: Scene) -> None:
    tus, plain = scene.server.tus, bearer(scene.own.token())
    small = scene.own.token(onward={"maxSize": 3})
    assert tus.post(bearer(small) | {"Upload-Length": "4"}).status == 413
    path = _create(tus, small, {"Upload-Defer-Length": "1"})
    assert tus.patch(path, 0, b"four", plain).status == 413
    assert tus.patch(path, 0, b"", plain | {"Upload-Length": "4"}).status == 413
    large = _create(tus, scene.own.token(), {"Upload-Length": "4"})
    assert tus.patch(large, 0, b"four", bearer(small)).status == 204, "its length was allowed when it was created"
    images = scene.own.token(onward={"types": ["image/*", "audio/*"]})
    for body in (b"just text", b"just text" * 10_000):
        path = _create(tus, images, {"Upload-Length": str(len(body))})
        answer = tus.patch(path, 0, body, plain)
        assert (answer.status, json.loads(answer.body)["code"]) == (415, "type-not-allowed")
        assert tus.head(path, plain).status == 410
    path = _create(tus, images, {"Upload-Length": "16"})
    assert tus.patch(path, 0, b"GIF89a" + bytes(10), plain).status == 204


def test_metadata_of_a_token_win(scene: Scene) -> None:
    token = scene.own.token(onward={"metadata": {"filename": "b", "for": "eve"}})
    path = _create(scene.server.tus, token, {"Upload-Length": "3", "Upload-Metadata": "filename YQ==,x eA=="})
    assert scene.server.tus.head(path, bearer(token))["Upload-Metadata"] == "filename Yg==,x eA==,for ZXZl"
