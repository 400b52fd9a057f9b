"""Signatures are those of the Standard Webhooks specification: its own Python package verifies them."""

import secrets
import time
from base64 import b64encode

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from onward.server.events.signature import Signer, read_secret

TEXT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # from the specification's examples


def test_the_example_of_the_specification() -> None:
    headers = Signer(read_secret(TEXT)).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("size", [24, 32, 64])
def test_the_package_of_the_specification_verifies_it(size: int) -> None:
    text = f"whsec_{b64encode(secrets.token_bytes(size)).decode()}"
    body = '{"type": "upload.completed", "é": "ü"}'.encode()
    headers = Signer(read_secret(text)).sign("id", time.time(), body)
    Webhook(text).verify(body, headers)
    for wrong in (
        {"webhook-id": "other"},
        {"webhook-timestamp": str(int(time.time()) - 1)},
        {"webhook-signature": headers["webhook-signature"][:-4] + "AAA="},
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(text).verify(body, headers | wrong)
    with pytest.raises(WebhookVerificationError):
        Webhook(text).verify(body + b" ", headers)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!", "Base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa", "Base64"),
        (f"whsec_{b64encode(b'x' * 23).decode()}", "23 bytes"),
        (f"whsec_{b64encode(b'x' * 65).decode()}", "65 bytes"),
    ],
)
def test_a_wrong_secret_is_refused_and_not_shown(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        read_secret(text)
    assert "MfKQ" not in str(refused.value)
