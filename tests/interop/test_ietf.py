"""The IETF draft through a proxy that knows no informational replies: who knows the URL of an upload can resume it."""

from pathlib import Path

import pytest
from curl import Curl, Version
from draft_requests import MEDIA_TYPE, Draft
from http_connection import Headers, path_of
from nginx_process import nginx
from server_process import serving


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_through_nginx_an_upload_is_created_and_resumed_by_its_url(tmp_path: Path, http: Version) -> None:
    data = bytes(range(256)) * 40
    with (
        serving(tmp_path / "data", ["--trusted-proxies=127.0.0.1"]) as server,
        nginx(tmp_path / "nginx", server.tus.port, buffering="off") as proxy,
    ):
        curl, draft = Curl(http, proxy.certificate), Draft(server.tus, 6)
        version: Headers = {"Upload-Draft-Interop-Version": "6", "Tus-Resumable": None}
        begun = curl.ask("POST", f"{proxy.origin}/files", version | {"Upload-Complete": "?0"}, data[:100])
        assert (begun.status, begun["Upload-Complete"], begun["Upload-Offset"]) == (201, "?0", "100")
        url = begun["Location"]
        assert curl.ask("HEAD", url, version)["Upload-Offset"] == "100"
        last: Headers = version | {"Content-Type": MEDIA_TYPE, "Upload-Offset": "100", "Upload-Complete": "?1"}
        done = curl.ask("PATCH", url, last, data[100:])
        assert (done.status, done["Upload-Complete"]) == (200, "?1")
        draft.holds(path_of(url), data, len(data), "?1")
