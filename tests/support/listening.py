"""The end of a listening socket inside the event loop of a test."""

import asyncio


async def close_listener(server: asyncio.Server) -> None:
    """Close a server, with no connection just being accepted.

    In Python 3.11, a connection that is accepted in the same round of the event loop as `Server.close` has no
    server any more: it fails on an assertion, and its socket is left to the garbage collector, which warns of it in
    whatever test runs then (python/cpython#109564). So it accepts nothing more first, and gets one more round.
    """
    loop = asyncio.get_running_loop()
    for sock in server.sockets:
        loop.remove_reader(sock.fileno())
    await asyncio.sleep(0)
    server.close()
