"""Forged and odd tokens: each is refused with 401, quickly, and without a word about what would have been right."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from http_connection import NONE, UNKNOWN, Answer, Connection, Headers
from onward_process import peak_memory
from server_process import Server, serving
from token_maker import AUDIENCE, ISSUER, OwnKey, Provider, bearer, encode, signed

NOW = int(time.time())  # when the tests are collected, perhaps long before they run
SOON = NOW + 36_000
GOOD: dict[str, Any] = {"sub": "alice", "exp": SOON}


class Scene(NamedTuple):
    """A server that takes tokens of its own key and of a provider."""

    server: Server
    own: OwnKey
    provider: Provider

    def ask(self, token: str, headers: Headers = NONE) -> Answer:
        return self.server.tus.head(f"/files/{UNKNOWN}", bearer(token) | headers)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder, provider = tmp_path_factory.mktemp("tokens"), Provider()
    (folder / "keys.json").write_text(json.dumps(provider.key_set()))
    options = (
        "--auth=key,jwks", f"--auth-jwks={folder / 'keys.json'}", f"--auth-issuer={ISSUER}",
        f"--auth-audience={AUDIENCE}", "--log-level=debug",
    )  # fmt: skip
    with serving(folder / "data", options) as server:
        yield Scene(server, OwnKey(server.data / "auth.key"), provider)


def forged(own: OwnKey, provider: Provider) -> dict[str, str]:
    """Give wrong tokens by what is wrong with them."""
    key, right = own.key, own.token()
    header, payload, signature = right.split(".")
    stranger = Provider()
    none, capital = encode(b'{"alg":"none"}'), encode(b'{"alg":"NONE"}')
    unsigned = f"{none}.{payload}."
    own_header: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}
    told = json.dumps(GOOD)
    last = "AEIMQUYcgkosw048"
    return {
        "the algorithm none": unsigned,
        "none with a signature": unsigned + signature,
        "None in capitals": f"{capital}.{payload}.{signature}",
        "no algorithm": signed({"typ": "JWT"}, GOOD, key),
        "an algorithm that is a list": signed({"alg": ["HS256"]}, GOOD, key),
        "an algorithm that is null": signed({"alg": None}, GOOD, key),
        "HS384 in its header": signed({"alg": "HS384"}, GOOD, key),
        "HS256 with the text of the public key": signed(own_header, GOOD, provider.public_pem()),
        "HS256 with the line of the key": signed(own_header, GOOD, encode(key).encode()),
        "HS256 with the set of the public keys": signed(own_header, GOOD, json.dumps(provider.key_set()).encode()),
        "an empty key": signed(own_header, GOOD, b""),
        "a zero key": signed(own_header, GOOD, bytes(32)),
        "RS256 signed with the own key": signed({"alg": "RS256", "kid": "rs256"}, GOOD, key),
        "the key of a stranger": stranger.token(),
        "a kid of another kind": provider.token("RS256", {"kid": "es256"}),
        "an unknown kid": provider.token(headers={"kid": "unknown"}),
        "a kid that is a path": signed(own_header | {"kid": "../../../../dev/null"}, GOOD, b""),
        "a kid that is a path, RS256": stranger.token(headers={"kid": "/dev/null"}),
        "a kid that is a URL": stranger.token(headers={"kid": "http://127.0.0.1:9/keys.json"}),
        "a kid that is SQL": stranger.token(headers={"kid": "x' UNION SELECT 'key"}),
        "a kid that is a number": signed(own_header | {"kid": 5}, GOOD, key),
        "a kid that is empty": stranger.token(headers={"kid": ""}),
        "a jku of its own": stranger.token(headers={"jku": "http://127.0.0.1:9/keys.json"}),
        "an x5u of its own": stranger.token(headers={"x5u": "http://127.0.0.1:9/cert"}),
        "a key of its own": stranger.token(headers={"jwk": stranger.key_set()["keys"][0]}),
        "critical extensions": signed(own_header | {"crit": ["exp"], "exp": SOON}, GOOD, key),
        "an unencoded payload": signed(own_header | {"b64": False, "crit": ["b64"]}, GOOD, key),
        "the signature of another token": f"{header}.{encode(told.encode())}.{signature}",
        "a cut signature": right[:-1],
        "a longer signature": f"{right}AAAA",
        "other unused bits at its end": right[:-1] + chr(ord(right[-1]) + (1 if right[-1] in last else -1)),
        "no signature": f"{header}.{payload}.",
        "no payload": f"{header}..{signature}",
        "two parts": f"{header}.{payload}",
        "four parts": f"{right}.{signature}",
        "five parts, as encrypted ones have": f"{right}.{signature}.{signature}",
        "nothing": "",
        "padding": f"{header}=.{payload}.{signature}",
        "a space inside": f"{header}. {payload}.{signature}",
        "two spaces before": f" {right}",
        "a tab before": f"\t{right}",
        "a comma and another": f"{right}, Bearer {right}",
        "quotes": f'"{right}"',
        "a full-width letter": f"{header}.{payload}.Ａ{signature[1:]}".encode().decode("latin-1"),
        "a byte that is no UTF-8": f"{header}.{payload}.\xff{signature[1:]}",
        "standard Base64": f"{header}.{payload}.+/{signature[2:]}",
        "a header that is no JSON": f"{encode(b'{')}.{payload}.{signature}",
        "a header that is a list": signed('["HS256"]', GOOD, key),
        "alg twice in the header": signed('{"alg":"none","alg":"HS256"}', GOOD, key),
        "a payload that is no JSON": signed(own_header, "{", key),
        "a payload that is a text": signed(own_header, '"alice"', key),
        "a payload that is a token": signed(own_header | {"cty": "JWT"}, right, key),
        "a payload with NaN": signed(own_header, '{"sub":"alice","exp":NaN}', key),
        "a payload with Infinity": signed(own_header, '{"sub":"alice","exp":Infinity}', key),
        "an exp of 1e999": signed(own_header, '{"sub":"alice","exp":1e999}', key),
        "an exp of 5000 digits": signed(own_header, f'{{"sub":"alice","exp":{"9" * 5000}}}', key),
        "sub twice": signed(own_header, f'{{"sub":"alice","sub":"bob","exp":{SOON}}}', key),
        "a member of onward twice": signed(
            own_header, f'{{"sub":"a","exp":{SOON},"onward":{{"maxSize":1,"maxSize":2}}}}', key
        ),
        "deep nesting": signed(own_header, "[" * 5000, key),
        "deep nesting in a claim": signed(own_header, f'{{"sub":"a","exp":{SOON},"x":{"[" * 2900}{"]" * 2900}}}', key),
        "a surrogate in sub": signed(own_header, f'{{"sub":"\\ud800","exp":{SOON}}}', key),
        "a raw surrogate": signed(own_header, f'{{"sub":"\ud800","exp":{SOON}}}', key),
        "UTF-16": f"{header}.{encode(told.encode('utf-16'))}.{signature}",
        "no exp": own.token(exp=None),
        "an exp in the past": own.token(exp=NOW - 100),
        "an exp that is a text": own.token(exp=str(SOON)),
        "an nbf in the future": own.token(nbf=SOON - 600),
        "no sub and no upload": own.token(sub=None),
        "maxUploads without jti": own.token(onward={"maxUploads": 1}),
        "a misspelt limit": own.token(onward={"maxsize": 1}),
        "another audience": own.token(aud="another"),
        "a provider's token without aud": provider.token(aud=None),
        "a provider's token without iss": provider.token(iss=None),
        "a provider's token of another issuer": provider.token(iss=f"{ISSUER}/"),
        "a provider's token for another audience": provider.token(aud=["another"]),
        "a huge token": signed(own_header, GOOD | {"x": "y" * 5930}, key),
    }


def test_every_forged_or_odd_token_is_refused_quickly(scene: Scene) -> None:
    for what, token in forged(scene.own, scene.provider).items():
        began = time.monotonic()
        answer = scene.ask(token)
        assert answer.status == 401, what
        assert answer["WWW-Authenticate"] == 'Bearer error="invalid_token"', what
        assert time.monotonic() - began < 2, what
    assert scene.ask(scene.own.token()).status == 404, "a right one is taken"
    assert peak_memory(scene.server.process.pid) < 150 * 2**20


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_tokens_of_the_provider_are_taken_whatever_they_say_about_keys(scene: Scene, algorithm: str) -> None:
    headers = {"jku": "http://127.0.0.1:9/keys.json", "x5u": "http://127.0.0.1:9/", "typ": "at+jwt"}
    assert scene.ask(scene.provider.token(algorithm)).status == 404
    assert scene.ask(scene.provider.token(algorithm, headers)).status == 404
    assert scene.ask(scene.provider.token(algorithm, {"kid": None})).status == 404, "the only key of its algorithm"


def test_without_a_token_the_challenge_names_no_error(scene: Scene) -> None:
    given: tuple[Headers, ...] = (NONE, {"Authorization": "Basic YWxpY2U6c2VjcmV0"}, {"Authorization": "Bearer"})
    for headers in given:
        answer = scene.server.tus.head(f"/files/{UNKNOWN}", headers)
        assert (answer.status, answer["WWW-Authenticate"].partition(" ")[0]) == (401, "Bearer")


def test_a_token_comes_once_and_in_the_query_of_a_get_only(scene: Scene) -> None:
    tus, token, other = scene.server.tus, scene.own.token(), scene.own.token("bob")
    path = f"/files/{UNKNOWN}"
    assert tus.ask("GET", f"{path}?token={token}").status == 404
    assert tus.ask("GET", f"{path}?token={token}", bearer(token)).status == 404, "the same one"
    assert tus.ask("GET", path, {"authorization": f"bEaReR {token}"}).status == 404
    refused = [
        tus.ask("GET", f"{path}?token={token}&token={other}"),
        tus.ask("GET", f"{path}?token={token}", bearer(other)),
        tus.ask("GET", f"{path}?token={token}", tus.patching(0, {"X-HTTP-Method-Override": "PATCH"})),
        tus.ask("GET", f"{path}?token=", NONE),
        tus.ask("HEAD", f"{path}?token={token}"),
        tus.ask("HEAD", f"{path}?token={token}", bearer(token)),
        tus.ask("PATCH", f"{path}?token={token}", tus.patching(0)),
        tus.ask("PATCH", f"{path}?token={token}", tus.patching(0, bearer(token))),
        tus.ask("DELETE", f"{path}?token={token}", bearer(token)),
        tus.ask("POST", f"/files?token={token}", bearer(token) | {"Upload-Length": "1"}),
        tus.ask("POST", f"{path}?token={token}", {"X-HTTP-Method-Override": "GET"}),
    ]
    assert [answer.status for answer in refused] == [401] * len(refused)
    with Connection(tus.port) as connection:
        request = tus.request("HEAD", path, bearer(token)).replace(b"Host:", b"Authorization: Bearer x\r\nHost:")
        connection.send(request)
        assert connection.answer("HEAD").status == 401


def test_no_token_is_in_what_the_server_prints_or_answers(scene: Scene) -> None:
    tus = scene.server.tus
    token, wrong = scene.own.token("secret"), signed({"alg": "HS256"}, GOOD, b"x" * 32)
    path = tus.create(3, bearer(token) | {"Upload-Metadata": "filename c2VjcmV0"})
    replies = []
    for each in (token, wrong):
        replies += [
            tus.ask("GET", f"{path}?token={each}"),
            tus.ask("GET", f"{path}/progress?token={each}"),
            tus.ask("GET", f"/nowhere?token={each}"),
            tus.ask("PUT", f"{path}?token={each}", bearer(each)),
            tus.ask("GET", f"/progress?id=x&token={each}"),
            tus.ask("GET", f"/readyz?token={each}"),
            tus.post(bearer(each) | {"Upload-Length": "3"}),
            tus.patch(path, 0, b"abc", bearer(each) | {"Upload-Checksum": "sha1 AAAA"}),
            tus.ask("PATCH", f"{path}?token={each}", tus.patching(0, bearer(each))),
        ]
    for raw in (
        b"GET /files?token=%b HTTP/9.9",
        b"G ET /files?token=%b",
        b"GET /?token=%b HTTP/1.1",
    ):
        with Connection(tus.port) as connection:
            connection.send(raw % token.encode() + b"\r\n\r\n")
            replies.append(connection.answer())
    log = scene.server.data.with_suffix(".log").read_text()
    assert "GET" in log
    for each in (token, wrong):
        for part in each.split(".")[1:]:
            assert part not in log
            assert all(part.encode() not in reply.body for reply in replies)
            assert all(part not in value for reply in replies for value in reply.headers.values())
            assert part.encode() not in Path(f"/proc/{scene.server.process.pid}/cmdline").read_bytes()
    assert encode(scene.own.key) not in log
