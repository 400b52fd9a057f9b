"""Odd keys of creations, odd forwarding headers and prefixes, and bodies at the limit of one request."""

import re

import pytest
from http_connection import Headers
from odd_requests import ID, Row, strike
from server_process import Server

OPTIONS = ("--trusted-proxies=127.0.0.1,10.0.0.0/8", "--max-request=1000")
KEYS = (
    "", " ", '"', '""', '"a', 'a"\x0b', "a b", '"a b"', '"a";x=1', '"a", "b"', r'"\x"', "\x01", "a\x7f", "\xff", "ä", "'\x85'", "a\tb",
    "k" * 256, f'"{"k" * 256}"', '"' + "\\\\" * 256 + '"', "a, b", "\xa0", '"\xe9"',
)  # fmt: skip
PREFIXES = (
    "//evil.example", "/a/../b", "/.", "/..", "/a//b", "/%2e%2e", "/a?b", "/a#b", "/a\\b", "/a b", "/\xff", "a", "/a\x0bb", "/" + "a" * 5000,
    "/a;b", "/a@evil", "javascript:x", "https://evil.example", "/a\x85", "/a,//b",
)  # fmt: skip
FORWARDED: tuple[Headers, ...] = (
    {"X-Forwarded-For": ", ,10.0.0.1,,"}, {"X-Forwarded-For": "10.0.0.1," * 600}, {"X-Forwarded-For": "[::1, 10.0.0.1"},
    {"X-Forwarded-For": "10.0.0.1:99999999", "X-Forwarded-Host": ","}, {"X-Forwarded-Host": "evil/path"}, {"X-Forwarded-Host": "a@b"},
    {"X-Forwarded-Host": "\xff"}, {"X-Forwarded-Proto": "javascript"}, {"X-Forwarded-Proto": "https://evil/"}, {"X-Forwarded-For": "10.0.0.1%eth0"},
    {"X-Forwarded-For": "::ffff:10.0.0.1, 10.0.0.1", "X-Forwarded-Host": "a\x0b,b"}, {"X-Forwarded-For": "1" * 4000},
)  # fmt: skip
SAFE = re.compile(r"(https?://[\w.:-]+)?(/[\w.~-]+)*/files/[0-9a-f]{32}", re.ASCII)


def creation(server: Server, headers: Headers) -> bytes:
    return server.tus.request("POST", server.tus.files, {"Upload-Length": "0", **headers})


@pytest.mark.parametrize("key", KEYS)
def test_a_malformed_key_is_refused(server: Server, key: str) -> None:
    strike(server, Row(creation(server, {"Idempotency-Key": key})))


def test_two_keys_are_refused(server: Server) -> None:
    strike(server, Row(creation(server, {"Idempotency-Key": "a\r\nIdempotency-Key: a"})))


def test_a_key_means_nothing_in_other_requests(server: Server) -> None:
    for method, status in (("HEAD", 200), ("OPTIONS", 204)):
        strike(server, Row(server.tus.request(method, ID, {"Idempotency-Key": '"'}), (status,), method))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_location_has_only_a_safe_prefix(server: Server, prefix: str) -> None:
    answer = strike(server, Row(creation(server, {"X-Forwarded-Prefix": prefix, "Upload-Length": "5"}), (201, 400)))
    if answer.status == 201:
        assert SAFE.fullmatch(answer["Location"]), answer["Location"]
        assert "evil" not in answer["Location"]


@pytest.mark.parametrize("headers", FORWARDED)
def test_a_location_has_only_a_safe_host(server: Server, headers: Headers) -> None:
    answer = strike(server, Row(creation(server, {**headers, "Upload-Length": "5"}), (201, 400)))
    if answer.status == 201:
        assert SAFE.fullmatch(answer["Location"]), answer["Location"]
        assert "evil" not in answer["Location"]


@pytest.mark.parametrize("size", ["1001", "9" * 18])
@pytest.mark.parametrize("method", ["PATCH", "POST", "PUT", "GET", "DELETE"])
def test_a_larger_body_is_refused_whatever_it_is_for(server: Server, method: str, size: str) -> None:
    headers = server.tus.patching(5, {"Content-Length": size, "Upload-Length": "5000"})
    strike(server, Row(server.tus.request(method, ID, headers), (413,), method))
