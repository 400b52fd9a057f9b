"""What the errors of S3 mean for the seams."""

import pytest

pytest.importorskip("aiobotocore", reason="SKIPPED LOUDLY: pip install 'onward[s3]'")

from onward.storage.blobs.s3.faults import Passing, Taken, fault_of


def test_a_conflict_of_conditional_requests_is_tried_again() -> None:
    """AWS answers so while another request for the key is under way, which may still fail."""
    assert isinstance(fault_of("ConditionalRequestConflict", 409), Passing)
    assert isinstance(fault_of("PreconditionFailed", 412), Taken)
