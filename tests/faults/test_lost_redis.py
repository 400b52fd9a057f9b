"""Requests while Redis is away, or hangs: each is refused with the right status, and within seconds."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from draft_requests import MEDIA_TYPE, Draft
from http_connection import OCTETS, Answer, Connection, Headers, Tus, path_of
from redis_process import RedisProcess, redis_server
from server_process import serving
from token_maker import OwnKey, bearer

LEASE_WAIT = 3.0  # how long HEAD waits for Redis
SOON = 2.5  # seconds, for a Redis that is away
HANGING = 7.5  # seconds, for one that hangs; one call to it took 8, and a PATCH of the draft made three
SIZE = 100_000
FORM: Headers = {"Tus-Resumable": None, "Content-Type": "multipart/form-data; boundary=x"}
FIELDS = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nabc\r\n--x--\r\n'
EVENTS: Headers = {"Accept": "text/event-stream"}
SOCKET: Headers = {
    "Connection": "Upgrade, close", "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
}  # fmt: skip
OF_DRAFT: Headers = {"Upload-Offset": "0", "Upload-Complete": "?0", "Content-Type": MEDIA_TYPE}


@dataclass(frozen=True, slots=True)
class Scene:
    """Two servers over one Redis: an open one, and one with tokens that has not seen the uploads yet."""

    redis: RedisProcess
    open: Tus
    guarded: Tus
    token: Headers

    def path(self, size: int = SIZE) -> str:
        """Create an upload."""
        return self.open.create(size)

    def part(self) -> str:
        """Create a finished part."""
        answer = self.open.post({"Upload-Length": "5", "Upload-Concat": "partial"}, b"abcde")
        return path_of(answer["Location"])

    def requests(self) -> dict[str, Callable[[], Answer]]:
        """Give one request of each kind, to uploads that are there; but HEAD in a dialect, which is patient."""
        tus, token = self.guarded, self.token
        draft, parts, path = Draft(tus, 6), f"final;{self.part()} {self.part()}", self.path()
        many, short, large, of_draft, removed = self.path(), self.path(), self.path(), self.path(), self.path()
        plain = token | {"Tus-Resumable": None}

        def asked(method: str, at: str, headers: Headers, body: bytes = b"") -> Callable[[], Answer]:
            return lambda: tus.ask(method, at, token | headers, body)

        def posted(headers: Headers, body: bytes = b"") -> Callable[[], Answer]:
            media: Headers = {"Content-Type": OCTETS} if body else {}
            return asked("POST", "/files", media | headers, body)

        return {
            "HEAD of a download": lambda: tus.ask("HEAD", path, plain),
            "GET": asked("GET", path, {}),
            "progress": asked("GET", f"{path}/progress", {}),
            "progress of many": asked("GET", f"/progress?id={path[-32:]}&id={many[-32:]}", {}),
            "events": asked("GET", f"{path}/progress", EVENTS),
            "WebSocket": asked("GET", f"{path}/progress", SOCKET),
            "list": asked("GET", "/uploads", {}),
            "DELETE": asked("DELETE", removed, {}),
            "a short PATCH": asked("PATCH", short, tus.patching(0), b"x" * 1000),
            "a large PATCH": asked("PATCH", large, tus.patching(0), b"x" * SIZE),
            "a PATCH of the draft": lambda: draft.ask("PATCH", of_draft, token | OF_DRAFT, b"x" * 1000),
            "an empty POST": posted({"Upload-Length": "9"}),
            "a short POST": posted({"Upload-Length": "9"}, b"123456789"),
            "a POST with a key": posted({"Upload-Length": "9", "Idempotency-Key": '"a"'}, b"123456789"),
            "a join": posted({"Upload-Concat": parts}),
            "a POST of the draft": lambda: draft.create("?1", b"x" * 1000, token),
            "PUT": asked("PUT", "/files/a.txt", {"Content-Length": "5"}, b"abcde"),
            "a form": asked("POST", "/files", FORM, FIELDS),
        }  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("lost")
    (folder / "redis").mkdir()
    with redis_server(folder / "redis") as redis, ExitStack() as servers:
        words = [f"--state={redis.url}", f"--lease-wait={LEASE_WAIT:g}s"]
        first, second = (
            servers.enter_context(serving(folder / "data", [*words, *more])) for more in ([], ["--auth=key"])
        )
        key = OwnKey(folder / "data" / "auth.key")
        yield Scene(redis, first.tus, second.tus, bearer(key.token("root", "admin list")))


def taken(ask: Callable[[], Answer]) -> tuple[Answer, float]:
    """Give an answer, and the seconds that it took."""
    began = time.monotonic()
    return ask(), time.monotonic() - began


def check_refused(what: str, answer: Answer, status: int, *, has_body: bool = True) -> None:
    """Check that a refusal says what it has to say."""
    assert (answer.status, answer["Content-Type"]) == (status, "application/problem+json"), (what, answer)
    assert int(answer["Retry-After"]) >= 1, what
    if has_body:
        told = json.loads(answer.body)
        assert (told["status"], told["code"]) == (status, "unavailable"), (what, told)


def asked_again(tus: Tus, path: str) -> Answer:
    """Ask for the offset on a connection that is kept."""
    with Connection(tus.port) as connection:
        connection.send(tus.request("HEAD", path))
        return connection.answer("HEAD")


def check_all(
    requests: Mapping[str, Callable[[], Answer]], scene: Scene, within: float, begin: Callable[[], None]
) -> None:
    """Send all requests at once, after Redis was lost."""
    kept, closing, guarded = scene.path(), scene.path(), scene.path()
    heads = {
        "HEAD": lambda: asked_again(scene.open, kept),
        "HEAD that closes": lambda: scene.open.head(closing),
        "HEAD with a token": lambda: scene.guarded.head(guarded, scene.token),
    }
    begin()
    with ThreadPoolExecutor(len(requests) + len(heads)) as pool:
        answers = {what: pool.submit(taken, ask) for what, ask in {**requests, **heads}.items()}
    for what, future in answers.items():
        answer, seconds = future.result()
        if what in heads:  # 423, since clients take anything else for the loss of the upload
            check_refused(what, answer, 423, has_body=False)
            assert LEASE_WAIT <= seconds < LEASE_WAIT + SOON, (what, seconds)
        else:
            check_refused(what, answer, 503, has_body="HEAD" not in what)
            assert seconds < within, (what, seconds)


def test_a_redis_that_is_away_is_told_soon(scene: Scene) -> None:
    requests = scene.requests()
    try:
        check_all(requests, scene, SOON, scene.redis.stop)
    finally:
        scene.redis.start()


def test_a_redis_that_hangs_is_told_within_seconds(scene: Scene) -> None:
    requests, later = scene.requests(), scene.path()
    try:
        check_all(requests, scene, HANGING, scene.redis.pause)
        _, seconds = taken(lambda: scene.open.patch(later, 0, b"x"))
        assert seconds < HANGING / 2, "it is known to hang"
    finally:
        scene.redis.go_on()
