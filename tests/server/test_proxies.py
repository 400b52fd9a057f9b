"""Which proxies are believed, and what they tell."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from onward_process import onward

from onward.server.config import Config
from onward.server.http.proxies import parse_trusted


@pytest.mark.parametrize(
    ("family", "trusted", "headers", "begin"),
    [
        ("forwarded", "127.0.0.1", {"Forwarded": "for=192.0.2.1;proto=http;host=forged, for=192.0.2.7;proto=https;host=right"}, "https://right/"),
        ("forwarded", "127.0.0.1,192.0.2.7", {"Forwarded": "for=192.0.2.1;proto=https;host=edge, for=192.0.2.7;proto=http;host=inner"}, "https://edge/"),
        ("forwarded", "127.0.0.1,::1", {"Forwarded": 'host=forged, host=edge;proto=https;for="192.0.2.9:81", for="[::1]:8443";host=inner'}, "https://edge/"),
        ("forwarded", "127.0.0.1", {"Forwarded": "proto=https;host=right", "X-Forwarded-Host": "forged"}, "https://right/"),
        ("x-forwarded", "127.0.0.1", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "right", "Forwarded": "host=forged"}, "https://right/"),
        ("x-forwarded", "127.0.0.0/8", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "forged, right:8443"}, "https://right:8443/"),
        ("x-forwarded", "127.0.0.1", {"X-Forwarded-Proto": "gopher"}, "/files/"),
        ("x-forwarded", "127.0.0.1", {"X-Forwarded-Host": "a b"}, "/files/"),
        ("x-forwarded", "10.0.0.0/8", {"X-Forwarded-Proto": "https"}, "/files/"),
        ("x-forwarded", "10.0.0.0/8", {"Forwarded": "proto=https"}, "/files/"),
    ],
)  # fmt: skip
async def test_a_location_is_what_a_trusted_proxy_states(
    family: str, trusted: str, headers: dict[str, str], begin: str, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    options = [f"--trusted-proxies={trusted}", f"--proxy-headers={family}"]
    async with onward(tmp_path / "data", "memory:", options) as server:
        assert (await tus.create(http, server.url, 1, **headers)).startswith(begin)


def test_the_words_of_the_options_are_checked() -> None:
    assert parse_trusted(("unix", "::1"))[1]
    cases: tuple[dict[str, Any], ...] = (
        {"trusted_proxies": "nobody"},
        {"base_path": "files"},
        {"base_path": "/a?"},
        {"without": "creation,x"},
        {"cors_origins": "https://app.example/"},
        {"cors_origins": "https://app.example, *"},
        {"cors_origins": "null"},
        {"cors_origins": "*", "cors_credentials": True},
    )
    for wrong in cases:
        with pytest.raises(ValueError, match=r".+"):
            Config(**wrong)
