"""A grant narrows the limits of the server, never widens them, and says which acts and which uploads it allows."""

from math import inf

import pytest
from msgspec.structs import replace

from onward.protocol.errors import AccessDenied, BadRequest
from onward.protocol.grants import NEEDED, USUAL, Act, Grant, Scope
from onward.protocol.model import Allowance, CreateRequest, Limits, UploadId
from onward.protocol.quantities import MOST_SECONDS


@pytest.mark.parametrize(
    ("granted", "limit", "most"),
    [(None, None, None), (None, 5, 5), (3, None, 3), (3, 5, 3), (5, 5, 5), (9, 5, 5), (0, 5, 0)],
)
def test_the_smaller_limit_counts(granted: int | None, limit: int | None, most: int | None) -> None:
    limits = Limits(max_size=limit, reserve=7)
    assert Grant(max_size=granted).within(limits) == Limits(max_size=most, reserve=7)


@pytest.mark.parametrize(("granted", "quota", "counts"), [(None, None, None), (None, 5, 5), (9, 5, 9), (0, 5, 0)])
def test_the_quota_of_a_grant_wins(granted: int | None, quota: int | None, counts: int | None) -> None:
    assert Grant(quota=granted).within(Limits(quota=quota)) == Limits(quota=counts)


def test_a_grant_limits_the_uploads_of_its_token() -> None:
    asked = Grant(owner="ann", max_uploads=3, token_id="link").applied_to(CREATION)
    assert asked.allowance == Allowance(token="link", max_uploads=3)
    assert Grant(owner="bob").applied_to(asked).allowance == asked.allowance
    assert Grant(max_uploads=3).applied_to(CREATION).allowance == Allowance(token="", max_uploads=3)


CREATION = CreateRequest(
    length=1, metadata="a YQ==", promised=None, body_size=0, has_body=False, owner="eve", expire_after=5.0
)


def test_a_grant_that_says_nothing_changes_nothing() -> None:
    assert Grant().applied_to(CREATION) == CREATION


def test_a_grant_says_who_owns_an_upload_what_is_known_about_it_and_when_it_expires() -> None:
    granted = Grant(owner="alice", metadata={"b": b"\xff"}, expire_after=0.0).applied_to(CREATION)
    assert granted == replace(CREATION, owner="alice", metadata="b /w==", expire_after=0.0)


def test_each_grant_adds_its_own_list_of_types() -> None:
    once = Grant(types=("image/*",)).applied_to(CREATION)
    assert Grant(types=("image/png", "image/gif")).applied_to(once).types == (("image/*",), ("image/png", "image/gif"))


@pytest.mark.parametrize(
    ("known", "size", "most"), [(None, None, None), (None, 5, 5), (3, None, 3), (3, 5, 3), (5, 3, 3)]
)
def test_the_smallest_size_is_remembered(known: int | None, size: int | None, most: int | None) -> None:
    assert replace(CREATION, max_size=known).at_most(size).max_size == most


def test_an_expiry_beyond_all_dates_is_a_hundred_years() -> None:
    assert Grant(expire_after=inf).applied_to(CREATION).expire_after == MOST_SECONDS


def test_an_owner_has_a_thousand_bytes_at_most() -> None:
    Grant(owner="ä" * 500)
    with pytest.raises(ValueError, match="an owner has 1000 bytes at most"):
        Grant(owner="ä" * 500 + "b")


def words(scopes: frozenset[Scope] | None) -> str:
    return "no scopes" if scopes is None else " ".join(sorted(scopes)) or "nothing"


@pytest.mark.parametrize(
    "scopes", [*(frozenset({scope}) for scope in Scope), frozenset[Scope](), USUAL, None], ids=words
)
@pytest.mark.parametrize("act", Act)
def test_an_act_needs_its_scope_or_admin(act: Act, scopes: frozenset[Scope] | None) -> None:
    grant = Grant(owner="alice", scopes=scopes)
    if scopes is None or NEEDED[act] in scopes or Scope.ADMIN in scopes:
        grant.check(act)
    else:
        with pytest.raises(AccessDenied, match=f"It needs the scope {NEEDED[act]}") as refused:
            grant.check(act)
        challenge = f'Bearer error="insufficient_scope", scope="{NEEDED[act]}"'
        assert refused.value.headers == {"WWW-Authenticate": challenge}


def test_only_a_grant_with_the_scope_is_one_of_an_admin() -> None:
    assert Grant(scopes=frozenset({Scope.ADMIN})).is_admin
    assert not Grant(scopes=USUAL).is_admin
    assert not Grant().is_admin


@pytest.mark.parametrize("scopes", [None, USUAL, frozenset(Scope)], ids=["None", "usual", "all"])
def test_a_grant_for_one_upload_neither_creates_nor_lists(scopes: frozenset[Scope] | None) -> None:
    grant = Grant(scopes=scopes, upload=UploadId("1"))
    for act in (Act.INSPECT, Act.APPEND, Act.TERMINATE, Act.DOWNLOAD, Act.WATCH):
        grant.check(act)
    for act in (Act.CREATE, Act.JOIN, Act.LIST, Act.METRICS):
        with pytest.raises(AccessDenied):
            grant.check(act)


ONE, OTHER = UploadId("1"), UploadId("2")
ADMIN = frozenset({Scope.ADMIN})


@pytest.mark.parametrize(
    ("grant", "seen"),
    [
        (Grant(owner="alice", scopes=USUAL), {(ONE, "alice"), (OTHER, "alice")}),
        (Grant(scopes=USUAL), set()),
        (Grant(owner="alice", scopes=USUAL, upload=ONE), {(ONE, "alice")}),
        (Grant(scopes=USUAL, upload=ONE), {(ONE, "alice"), (ONE, "bob"), (ONE, None)}),
        (Grant(owner="alice", scopes=ADMIN, upload=ONE), {(ONE, "alice"), (ONE, "bob"), (ONE, None)}),
        (Grant(owner="alice", upload=ONE), {(ONE, "alice"), (ONE, "bob"), (ONE, None)}),
        (
            Grant(owner="alice", scopes=ADMIN),
            {(id_, owner) for id_ in (ONE, OTHER) for owner in ("alice", "bob", None)},
        ),
        (Grant(owner="alice"), {(id_, owner) for id_ in (ONE, OTHER) for owner in ("alice", "bob", None)}),
    ],
    ids=[
        "an owner",
        "nobody",
        "an owner, one upload",
        "one upload",
        "an admin, one upload",
        "anything, one upload",
        "an admin",
        "anything",
    ],
)
def test_a_grant_sees_the_uploads_of_its_owner_and_the_one_that_it_is_for(
    grant: Grant, seen: set[tuple[UploadId, str | None]]
) -> None:
    assert {(id_, owner) for id_ in (ONE, OTHER) for owner in ("alice", "bob", None) if grant.sees(id_, owner)} == seen


def test_what_a_grant_adds_to_the_metadata_wins() -> None:
    adding = Grant(added_metadata={"a": b"b", "for": b"eve"})
    assert adding.applied_to(CREATION).metadata == "a Yg==,for ZXZl"
    assert adding.applied_to(replace(CREATION, metadata=None)).metadata == "a Yg==,for ZXZl"
    both = Grant(metadata={"a": b"", "c": b""}, added_metadata={"a": b"b"})
    assert both.applied_to(CREATION).metadata == "a Yg==,c"


@pytest.mark.parametrize("metadata", [f"a {'YWFh' * 1000}", ",".join(f"k{number}" for number in range(32))])
def test_what_a_grant_adds_must_leave_metadata_that_can_be_read_again(metadata: str) -> None:
    with pytest.raises(BadRequest, match="too large together"):
        Grant(added_metadata={"b": b"c" * 90}).applied_to(replace(CREATION, metadata=metadata))
