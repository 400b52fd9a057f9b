"""The SHA-256 that the page computes is the one that hashlib computes, however the bytes come."""

import hashlib
import json

from chromium import tab
from onward_process import OnwardProcess

LENGTHS = [*range(260), 1000, 4095, 4096, 4097, 10**6]
PIECES = (1, 63, 64, 65, 1000)
LONG = 560 * 2**20  # its length in bits needs more than 32 of them
COMPUTE = """import('./page/sha256.js').then(({ Sha256 }) => {
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  globalThis.hashed = (length, piece) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * i + length) % 251)
    const sha256 = new Sha256()
    for (let at = 0; at < length; at += piece) sha256.update(bytes.subarray(at, at + piece))
    return hex(sha256.digest())
  }
  globalThis.zeros = (count, piece) => {
    const sha256 = new Sha256()
    for (let at = 0; at < count; at += piece) sha256.update(new Uint8Array(piece))
    return hex(sha256.digest())
  }
  globalThis.text = (words) => hex(new Sha256().update(new TextEncoder().encode(words)).digest())
})"""


async def test_it_is_the_sha256(browser: str, server: OnwardProcess) -> None:
    async with tab(browser) as page:
        await page.open(server.url.removesuffix("files"))
        await page.run(COMPUTE)
        for piece in PIECES:
            lengths = [length for length in LENGTHS if length / piece < 20_000]
            ours = await page.run(f"{json.dumps(lengths)}.map((length) => hashed(length, {piece}))")
            theirs = [hashlib.sha256(bytes((i * i + n) % 251 for i in range(n))).hexdigest() for n in lengths]
            assert ours == theirs
        assert (
            await page.run("text('abc')") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )  # FIPS 180
        sha256 = hashlib.sha256()
        for _ in range(LONG // 2**22):
            sha256.update(bytes(2**22))
        assert await page.run(f"zeros({LONG}, {2**22})") == sha256.hexdigest()
        assert page.faults == []
