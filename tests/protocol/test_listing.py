"""An upload in a list: its progress object, its metadata, and its times."""

import json

import pytest

from onward.protocol.listing import listed
from onward.protocol.model import Place, Status, Upload, UploadId
from onward.protocol.progress import progress


def upload(status: Status = Status.PENDING, metadata: str | None = None, expires: float | None = None) -> Upload:
    return Upload(
        id=UploadId("0" * 32), place=Place("p"), status=status, length=10, offset=5, metadata=metadata, promised=None,
        created=1.5, updated=2.5, expires=expires,
    )  # fmt: skip


def test_it_is_the_progress_object_and_more() -> None:
    found = listed(upload(metadata="filename YQ==,odd /w==,flag"))
    more = {
        "metadata": {"filename": "a", "odd": {"base64": "/w=="}, "flag": ""},
        "created": "1970-01-01T00:00:01.500Z",
        "expires": None,
    }
    assert found == json.loads(progress(upload(metadata="filename YQ==")).json) | more


@pytest.mark.parametrize("status", list(Status))
def test_what_can_expire_says_when(status: Status) -> None:
    expires = listed(upload(status, expires=4.0))["expires"]
    can = status not in (Status.FAILED, Status.TERMINATED, Status.EXPIRED)
    assert expires == ("1970-01-01T00:00:04.000Z" if can else None)
    assert listed(upload(status))["metadata"] == {}
