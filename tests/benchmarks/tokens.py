"""What tokens cost, and what a flood of bad ones takes from an honest upload: python tests/benchmarks/tokens.py.

    HEAD     a HEAD with a good token, beside one on a server without --auth
    flood    an upload with a good token while two processes send requests with bad tokens as fast as they can

Rounds without and with take turns, on servers that run all the time; the medians are printed. Words that follow choose.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

import http_connection as raw
from http_connection import Connection, Tus
from load import Client
from onward_process import processor_time
from server_process import Server, serving
from token_maker import AUDIENCE, ISSUER, OwnKey, Provider, bearer, encode, signed

ROUNDS = 9
BATCHES, HEADS = 150, 100  # HEADs take turns in short batches, so that other work on the machine concerns both sides
SIZE, BLOCK = 2**27, 2**20
FLOODERS = 2


class Asking:
    """HEADs on one connection, with or without a token."""

    def __init__(self, server: Server, path: str, token: str | None) -> None:
        self._client, self._server = Client(server.tus.port, "/files"), server
        lines = (f"Authorization: Bearer {token}",) if token else ()
        self._request = self._client.request("HEAD", path, *lines)
        self.rates: list[float] = []
        self._work = processor_time(self._server.process.pid)

    def batch(self) -> None:
        """Ask many times."""
        began = time.perf_counter()
        for _ in range(HEADS):
            self._client.send(self._request)
            self._client.answer(200, body=False)
        self.rates.append(HEADS / (time.perf_counter() - began))

    @property
    def cost(self) -> float:
        """Give the processor time of the server for one HEAD, in seconds."""
        return (processor_time(self._server.process.pid) - self._work) / (HEADS * len(self.rates))


def rate(tus: Tus, block: bytes, token: str) -> float:
    """Give the bytes a second of one upload."""
    told = bearer(token)
    path = tus.create(SIZE, told)
    began = time.perf_counter()
    with Connection(tus.port) as connection:
        connection.send(tus.request("PATCH", path, tus.patching(0, told | {"Content-Length": str(SIZE)})))
        for _ in range(SIZE // BLOCK):
            connection.send(block)
        assert connection.answer().status == 204
    seconds = time.perf_counter() - began
    assert tus.ask("DELETE", path, told).status == 204
    return SIZE / seconds


def flood(port: int, path: str, tokens: list[str], count: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    """Send requests with bad tokens as fast as the server answers, on one connection."""
    client = Client(port, "/files")
    for token in cycle(tokens):
        client.send(client.request("HEAD", path, f"Authorization: Bearer {token}"))
        client.answer(401, body=False)
        count.value += 1


@contextmanager
def flooded(port: int, path: str, tokens: list[str]) -> Iterator[Callable[[], int]]:
    """Flood a server; gives what counts the requests."""
    counts = [multiprocessing.Value("q", 0, lock=False) for _ in range(FLOODERS)]
    flooders = [
        multiprocessing.Process(target=flood, args=(port, path, tokens, count), daemon=True) for count in counts
    ]
    for flooder in flooders:
        flooder.start()
    time.sleep(0.5)
    try:
        yield lambda: sum(count.value for count in counts)
    finally:
        for flooder in flooders:
            flooder.terminate()
            flooder.join()


def bad_tokens(own: OwnKey, provider: Provider) -> dict[str, list[str]]:
    """Give kinds of bad tokens; of those with a bad signature no two are the same."""
    stranger = Provider()
    return {
        "signatures of a stranger, HS256": [
            signed({"alg": "HS256"}, {"sub": str(number), "exp": 2**31}, bytes(32)) for number in range(5000)
        ],
        "malformed": ["a.b.c", "x", encode(b"{}") * 3, f"{encode(b'[]')}.{encode(b'[]')}.AAAA", "a" * 7000],
        "signatures of a stranger, RS256": [stranger.token("RS256", sub=str(number)) for number in range(50)],
        "signatures of a stranger, ES256": [stranger.token("ES256", sub=str(number)) for number in range(200)],
        "unknown keys": [stranger.token("EdDSA", {"kid": f"k{number}"}) for number in range(1000)],
        "expired": [own.token(exp=1, jti=str(number)) for number in range(1000)],
    }


def show(name: str, alone: list[float], beside: list[float], more: str) -> None:
    """Print what is left of a rate: the median of the ratios of the rounds, and the middle half of them."""
    ratios = [with_ / without for without, with_ in zip(alone, beside, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    print(f"{name}: {middle:.0%} is left ({low:.0%} to {high:.0%}), {more}", flush=True)


def main(words: list[str]) -> None:
    """Measure in turns."""
    raw.PATIENCE = 60.0
    block, provider = os.urandom(BLOCK), Provider()
    with tempfile.TemporaryDirectory() as place:
        keys = Path(place) / "keys.json"
        keys.write_text(json.dumps(provider.key_set()))
        options = ("--auth=key,jwks", f"--auth-jwks={keys}", f"--auth-issuer={ISSUER}", f"--auth-audience={AUDIENCE}")
        with serving(Path(place) / "open") as without, serving(Path(place) / "data", options) as server:
            own, tus = OwnKey(server.data / "auth.key"), server.tus
            token = own.token()
            open_path, path = without.tus.create(3), tus.create(3, bearer(token))
            if not words or "HEAD" in words:
                for kind, good in (("own key", token), ("RS256 of a provider", provider.token())):
                    one, other = Asking(without, open_path, None), Asking(server, path, good)
                    for number in range(BATCHES):
                        for asking in (one, other) if number % 2 else (other, one):
                            asking.batch()
                    more = f"of {median(one.rates):.0f} a second; {one.cost * 1e6:.0f} and {other.cost * 1e6:.0f} µs"
                    show(f"HEAD with a good token, {kind}", one.rates, other.rates, more)
            if not words or "flood" in words:
                rate(tus, block, token)
                for kind, tokens in bad_tokens(own, provider).items():
                    alone, among, answered = [], [], []
                    for _ in range(ROUNDS):
                        alone.append(rate(tus, block, token))
                        with flooded(tus.port, path, tokens) as count:
                            before, began = count(), time.perf_counter()
                            among.append(rate(tus, block, token))
                            answered.append((count() - before) / (time.perf_counter() - began))
                    more = f"of {median(alone) / 1e6:.0f} MB/s, beside {median(answered):.0f} refusals a second"
                    show(f"upload beside a flood, {kind}", alone, among, more)


if __name__ == "__main__":
    main(sys.argv[1:])
