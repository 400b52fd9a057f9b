"""Every refusal has a status, a code and a title of its own, and the docstring draws them all."""

from onward.protocol import errors

CLASSES = errors.Refusal.__subclasses__()


def test_codes_are_unique_and_drawn() -> None:
    assert len({each.code for each in CLASSES}) == len(CLASSES)
    for each in CLASSES:
        assert f"{each.__name__} {each.status}" in (errors.__doc__ or "")


def test_a_refusal_tells_its_detail_and_headers() -> None:
    assert str(errors.Gone()) == errors.Gone.title
    assert errors.OffsetMismatch(7).headers == {"Upload-Offset": "7"}
    assert errors.Unavailable("why").headers == {"Retry-After": "1"}
    assert errors.Crowded().headers == {"Retry-After": "10"}
