"""A SHA-256 put down and taken up at any byte is that of hashlib."""

import hashlib
import os
import random
import subprocess
import sys

import pytest
from onward_process import ROOT

from onward.server.uploads import sha256

DATA = random.Random(5).randbytes(300_000)
CUTS = (0, 1, 55, 56, 63, 64, 65, 127, 128, 4096, 299_999, 300_000)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_it_goes_on_where_it_was_put_down(cut: int, kind: type) -> None:
    first = sha256.begun()
    first.update(kind(DATA[:cut]))
    assert first.digest() == hashlib.sha256(DATA[:cut]).digest()
    state = first.state()
    assert state is not None
    second = sha256.resumed(state, cut)
    assert second is not None
    second.update(kind(DATA[cut:]))
    assert second.digest() == second.digest() == hashlib.sha256(DATA).digest()


def test_it_counts_beyond_four_gibibytes() -> None:
    state = sha256.begun().state()
    assert state is not None
    far = sha256.resumed(state[:35] + (2**40).to_bytes(8, "big"), 2**40)
    assert far is not None
    far.update(b"x" * 65)
    told = far.state()
    assert told is not None
    assert int.from_bytes(told[35:43], "big") == 2**40 + 65


def test_a_state_of_something_else_is_not_taken() -> None:
    hash_ = sha256.begun()
    hash_.update(DATA[:100])
    state = hash_.state()
    assert state is not None
    for wrong, offset in (
        (None, 100),
        (b"", 0),
        (state, 99),
        (state, 164),
        (state[:-1], 100),
        (b"S2\x02" + state[3:], 100),
    ):
        assert sha256.resumed(wrong, offset) is None


def test_without_the_library_it_is_right_but_cannot_be_put_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sha256, "_openssl", None)
    hash_ = sha256.begun()
    hash_.update(DATA)
    assert hash_.digest() == hashlib.sha256(DATA).digest()
    assert hash_.state() is None
    assert sha256.resumed(b"x" * 43, 0) is None


LARGER = """
import ctypes
from onward.server.uploads import sha256

def touch(context, *_):  # as much as SHA256_CTX has, and 400 bytes more
    ctypes.memset(ctypes.addressof(context._obj), 0x11, 112 + 400)

def end(digest, context):
    touch(context)

tried = sha256._tried(sha256._Library(touch, touch, end))
print("refused" if tried is None else "taken")
"""


def test_a_library_with_a_larger_context_overwrites_nothing_before_it_is_refused() -> None:
    checked = {"PYTHONMALLOC": "debug"}  # ends the process if memory behind an object was written to
    run = subprocess.run(
        [sys.executable, "-c", LARGER], cwd=ROOT, env=os.environ | checked, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "refused\n"), run.stderr
