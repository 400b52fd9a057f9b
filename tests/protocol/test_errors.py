"""Every refusal has a status, a code and a title of its own, belongs to a kind, and the docstring draws them all."""

import pytest

from onward.protocol import errors
from onward.protocol.dialects import DIALECTS, Dialect, tus1
from onward.protocol.dialects.dialect import PROBLEM
from onward.protocol.errors import Refusal
from onward.protocol.headers import build_refusal_headers
from onward.protocol.model import LOST, Failure, Limits

KINDS = [kind for kind in Refusal.__subclasses__() if kind.__module__ == errors.__name__]
LEAVES = [leaf for kind in KINDS for leaf in kind.__subclasses__() if leaf.__module__ == errors.__name__]
STATUSES = {
    "BadRequest": 400, "MethodNotAllowed": 405, "VersionUnsupported": 412, "MediaType": 415,
    "RangeUnsatisfiable": 416, "ExpectationFailed": 417, "HeadTooLarge": 431, "Forbidden": 403, "AccessDenied": 403,
    "ForeignOrigin": 403, "NotFound": 404, "Gone": 410, "OffsetMismatch": 409, "NotCompleted": 409, "Locked": 423,
    "BodyStalled": 423, "TooLarge": 413, "RequestTooLarge": 413, "Crowded": 503,
    "StorageFull": 507,
    "BodyMismatch": 460, "PreconditionFailed": 412, "KeyReused": 422, "Unavailable": 503, "Unchecked": 503,
}  # fmt: skip
WITH_VALUES: list[tuple[Refusal, dict[str, str]]] = [
    (errors.OffsetMismatch(recorded=7, provided=6), {"Upload-Offset": "7"}),
    (errors.TooLarge(limit=5), {"Tus-Max-Size": "5"}),
    (errors.TooLarge("4 bytes are left to send."), {}),
    (errors.RequestTooLarge(limit=8), {"Upload-Limit": "max-append-size=8"}),
    (errors.VersionUnsupported(), {"Tus-Version": "1.0.0"}),
    (errors.MethodNotAllowed(allowed={"PATCH", "HEAD"}), {"Allow": "HEAD,PATCH"}),
    (errors.Unavailable("why"), {"Retry-After": "1"}),
    (errors.Unavailable(retry_after=0), {"Retry-After": "0"}),
    (errors.Crowded(), {"Retry-After": "10"}),
    (errors.AccessDenied(headers={"WWW-Authenticate": "Cookie"}), {"WWW-Authenticate": "Cookie"}),
]


def test_every_refusal_is_below_one_kind_and_keeps_its_status() -> None:
    assert {leaf.__name__: leaf.status for leaf in LEAVES} == STATUSES
    assert errors.ServerFault.status == 500
    for leaf in LEAVES:
        assert sum(issubclass(leaf, kind) for kind in KINDS) == 1


def test_what_failed_is_refused_as_its_failure_says() -> None:
    refused = errors.Failed(Failure(code="odd", status=422, title="It is odd", detail="It has 3 legs."))
    assert (refused.status, refused.code, refused.title, refused.detail) == (422, "odd", "It is odd", "It has 3 legs.")
    assert (str(refused), str(errors.Failed(LOST))) == ("It has 3 legs.", LOST.title)
    assert errors.Failed(LOST).detail == ""
    assert errors.Refusal.status == errors.Failed.status == 500, "the class itself has no values"


def test_codes_are_unique_and_drawn() -> None:
    concrete: list[type[Refusal]] = [*LEAVES, errors.ServerFault]
    assert len({each.code for each in concrete}) == len(concrete)
    for each in concrete:
        assert f"{each.__name__} {each.status}" in (errors.__doc__ or "")
    for kind in KINDS:
        assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(("refusal", "kind"), [
    (errors.BadRequest("x"), errors.ClientFault), (errors.AccessDenied(), errors.Denied),
    (errors.Gone(), errors.Absent), (errors.Locked(), errors.Conflict), (errors.TooLarge(), errors.LimitExceeded),
    (errors.BodyMismatch(), errors.ClientFault), (errors.Unavailable(), errors.ServerFault),
])  # fmt: skip
def test_a_refusal_is_caught_by_its_kind(refusal: Refusal, kind: type[Refusal]) -> None:
    with pytest.raises(kind):
        raise refusal


def test_a_refusal_has_a_sentence() -> None:
    assert str(errors.Gone()) == errors.Gone.title
    assert str(errors.Gone("It was expired.")) == "It was expired."


@pytest.mark.parametrize(("refusal", "headers"), WITH_VALUES, ids=repr)
def test_values_become_headers_in_the_dialect(refusal: Refusal, headers: dict[str, str]) -> None:
    reply = tus1.build_refused(refusal, False, Limits(), 0)
    assert reply.headers == PROBLEM | headers
    assert not {"Allow", "Retry-After"} & refusal.headers.keys()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_dialect_says_what_http_has_a_header_for(dialect: Dialect) -> None:
    for refusal, _ in WITH_VALUES:
        assert (
            build_refusal_headers(refusal).items() <= dialect.build_refused(refusal, False, Limits(), 0).headers.items()
        )
