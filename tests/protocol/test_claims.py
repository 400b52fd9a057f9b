"""Claims become a grant only if every one of them is right, and a grant becomes claims that say the same."""

from math import inf, nan
from typing import Any

import pytest

from onward.protocol.claims import LEEWAY, build_claims, leaves_at, read_claims
from onward.protocol.errors import InvalidToken
from onward.protocol.grants import USUAL, Grant, Scope
from onward.protocol.model import UploadId

NOW = 1_800_000_000.0
ID = "0123456789abcdef" * 2
RIGHT: dict[str, Any] = {"sub": "alice", "exp": NOW + 10}
ODD: list[object] = [None, True, [], {}, "", "x" * 1001, "a\x00b", "a\nb", "\ud800", 5, 1.5]
WRONG: dict[str, list[object]] = {
    "exp": [None, True, "1800000010", nan, inf, -inf, -1, 1e300, 10**400, NOW - LEEWAY, 0, [], {}],
    "nbf": [None, False, "0", nan, inf, -1, NOW + LEEWAY + 1, 10**400, []],
    "sub": ODD,
    "jti": ODD,
    "iss": [None, 5, True, [], {}],
    "aud": ["another", 5, None, [], {}, ["another"], [5]],
    "scope": [None, 5, ["create"], {}, True],
    "onward": [None, [], "x", 5, True, {"maxsize": 5}, {"upload": ID, "more": 1}],
}
SIZE: list[object] = [None, -1, 1.0, True, "5", nan, 2**63, [], {}]
WRONG_MEMBERS: dict[str, list[object]] = {
    "maxSize": SIZE,
    "maxUploads": SIZE,
    "quota": SIZE,
    "types": [None, [], {}, "image/png", [5], [""], ["image"], ["IMAGE/png"], ["a/b"] * 101],
    "metadata": [
        *(None, [], "x", {"a": 5}, {"": "b"}, {"a b": "c"}, {"a": "\ud800"}, {"a": "x" * 5000}),
        {f"k{number}": "" for number in range(40)},
    ],
    "upload": [None, 5, "", "../x", ID + "0", ID.upper(), [ID], ID + "\n"],
}


def names_of(wrong: dict[str, list[object]]) -> list[tuple[str, object]]:
    return [(name, value) for name, values in wrong.items() for value in values]


def test_the_claims_of_a_token_become_a_grant() -> None:
    own = {"maxSize": 5, "maxUploads": 2, "quota": 0, "types": ["image/*"], "metadata": {"a": "ä"}, "upload": ID}
    claims = RIGHT | {"jti": "j", "scope": "watch append openid", "onward": own, "iat": "whenever", "iss": "app"}
    assert read_claims(claims, now=NOW) == Grant(
        owner="alice", scopes=frozenset({Scope.WATCH, Scope.APPEND}), upload=UploadId(ID), max_size=5, max_uploads=2,
        token_id="j", quota=0, types=("image/*",), added_metadata={"a": "ä".encode()}, expires=NOW + 10,
    )  # fmt: skip
    assert read_claims(RIGHT, now=NOW) == Grant(owner="alice", scopes=USUAL, expires=NOW + 10)
    assert read_claims(RIGHT | {"scope": ""}, now=NOW).scopes == frozenset()


def show(value: object) -> str:
    return ascii(value)[:30]


@pytest.mark.parametrize(("name", "value"), names_of(WRONG), ids=show)
def test_one_wrong_claim_is_enough_to_refuse_a_token(name: str, value: object) -> None:
    with pytest.raises(InvalidToken) as refused:
        read_claims(RIGHT | {name: value}, now=NOW)
    assert len(str(refused.value)) < 150, "the sentence names the claim, and shows nothing of the token"


@pytest.mark.parametrize(("name", "value"), names_of(WRONG_MEMBERS), ids=show)
def test_one_wrong_member_of_our_own_claim_is_enough(name: str, value: object) -> None:
    with pytest.raises(InvalidToken, match=f"^{name} of the token"):
        read_claims(RIGHT | {"jti": "j", "onward": {name: value}}, now=NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "alice"},
        {"exp": NOW + 10},
        {"exp": NOW + 10, "scope": "admin"},
        {**RIGHT, "onward": {"maxUploads": 1}},
    ],
)
def test_a_token_needs_an_expiry_an_owner_or_an_upload_and_an_id_to_count_by(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        read_claims(claims, now=NOW)


def test_a_token_for_one_upload_needs_no_owner() -> None:
    grant = read_claims({"exp": NOW + 10, "onward": {"upload": ID}}, now=NOW)
    assert (grant.owner, grant.upload) == (None, ID)


def test_clocks_may_differ_by_the_leeway() -> None:
    for claims in ({"exp": NOW - LEEWAY + 1}, {"nbf": NOW + LEEWAY}, {"exp": NOW + 0.5, "nbf": 0}):
        assert read_claims(RIGHT | claims, now=NOW).owner == "alice"


def test_a_watcher_leaves_when_its_token_expires_or_else_when_the_leeway_ends() -> None:
    grant = Grant(expires=NOW)
    assert leaves_at(grant, NOW - 1) == NOW
    assert leaves_at(grant, NOW) == leaves_at(grant, NOW + 59) == NOW + LEEWAY
    assert leaves_at(Grant(), NOW) is None


@pytest.mark.parametrize(
    ("claims", "own", "right"),
    [
        ({"iss": "https://idp", "aud": "onward"}, False, True),
        ({"iss": "https://idp", "aud": ["other", "onward"]}, False, True),
        ({"iss": "https://idp"}, False, False),
        ({"aud": "onward"}, False, False),
        ({"iss": "https://idp/", "aud": "onward"}, False, False),
        ({"iss": "https://idp", "aud": "Onward"}, False, False),
        ({"iss": ["https://idp"], "aud": "onward"}, False, False),
        ({}, True, True),
        ({"iss": "https://idp", "aud": "onward"}, True, True),
        ({"iss": "https://evil"}, True, False),
        ({"aud": "other"}, True, False),
    ],
)
def test_a_token_is_of_the_issuer_and_for_the_audience(claims: dict[str, Any], own: bool, right: bool) -> None:
    try:
        read_claims(RIGHT | claims, now=NOW, issuer="https://idp", audience="onward", own=own)
    except InvalidToken:
        assert not right
    else:
        assert right


def test_a_token_of_an_identity_provider_is_refused_if_no_issuer_is_known() -> None:
    with pytest.raises(InvalidToken):
        read_claims(RIGHT | {"iss": "x", "aud": "onward"}, now=NOW, audience="onward", own=False)


@pytest.mark.parametrize(
    "grant",
    [
        Grant(owner="alice", scopes=USUAL, expires=NOW),
        Grant(owner="alice", scopes=frozenset({Scope.ADMIN}), expires=NOW, token_id="j", max_uploads=0),
        Grant(scopes=USUAL, upload=UploadId(ID), expires=NOW, max_size=1, quota=2, types=("*/*",)),
        Grant(owner="é", scopes=frozenset(), expires=NOW, added_metadata={"a": b"\xc3\xa4", "b": b""}),
    ],
)
def test_a_grant_survives_its_claims(grant: Grant) -> None:
    assert read_claims(build_claims(grant), now=NOW) == grant


def test_a_grant_without_scopes_becomes_a_token_with_the_usual_ones() -> None:
    claims = build_claims(Grant(owner="alice", expires=NOW))
    assert claims == {"sub": "alice", "exp": NOW}
    assert read_claims(claims, now=NOW).scopes == USUAL


@pytest.mark.parametrize(
    "grant",
    [
        Grant(expires=NOW),
        Grant(owner="alice"),
        Grant(owner="alice", expires=NOW, max_uploads=1),
        Grant(owner="alice", expires=NOW, metadata={}),
        Grant(owner="alice", expires=NOW, expire_after=5),
        Grant(owner="alice", expires=NOW, added_metadata={"a": b"\xff"}),
        Grant(owner="alice", expires=NOW, types=()),
    ],
)
def test_a_grant_that_no_token_can_carry_is_refused(grant: Grant) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build_claims(grant)


def test_tokens_of_an_identity_provider_are_named_beside_its_name() -> None:
    theirs = {"sub": "alice", "exp": NOW + 9, "iss": "https://id", "aud": "onward", "jti": "7"}
    assert read_claims(theirs, now=NOW, issuer="https://id", audience="onward", own=False).token_id == "https://id 7"
    assert read_claims(theirs, now=NOW, issuer="https://id", audience="onward").token_id == "7"
