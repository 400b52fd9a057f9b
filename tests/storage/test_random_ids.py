"""Random names: each is given once, also by two processes after a fork."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from onward.storage.random_ids import random_id

MANY = 2000


def test_no_name_is_given_twice_by_several_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: random_id(), range(MANY)))
    assert len(set(names)) == MANY
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)


def test_a_child_gives_other_names_than_its_parent() -> None:
    random_id()  # so that names wait
    source, drain = os.pipe()
    if not (child := os.fork()):
        try:
            os.write(drain, " ".join(random_id() for _ in range(100)).encode())
        finally:
            os.kill(os.getpid(), 9)
    os.close(drain)
    os.waitpid(child, 0)
    with open(source, "rb") as answer:
        theirs = answer.read().decode().split()
    assert len(set(theirs)) == 100
    assert not set(theirs) & {random_id() for _ in range(100)}
