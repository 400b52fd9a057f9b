"""The bytes between a socket and the rest of the server: connections, bodies, downloads, and peers that stall.

This is the only package that touches undocumented parts of aiohttp and asyncio. `server/app.py` takes `Runner` from
here, the routes take the body of a request, downloads take `sendfile`, and watchers take the options of `tcp`.

    socket ── server.py      makes the connections and counts them by address
               connection.py  one connection: header time-out, half-close, broken HTTP
               │   stalled_reader.py   resets a client that accepts none of its answer
               │   refusals.py         the answers that no handler gives
               ├─ aiohttp's parser and stream ──┐
               └─ socket_reader.py (bypass) ────┴─ body.py ── server/uploads/receive.py
    disk ─── sendfile.py ── socket

aiohttp is pinned to the versions that the tests run with (`pyproject.toml`, and `support.TESTED`). If another version
is installed in spite of the pin, every byte is still stored: when the server starts, `support.py` looks for everything
in the list below. If a part is missing, the server works without the feature that needs it, and logs one line.

Undocumented parts of aiohttp (read in 3.14.5), what uses them, and what happens if they are missing:

1. For every connection. If one is missing, aiohttp's own connections are used. Then `--header-wait` and
   `--connections` have no effect, a client that reads nothing is not reset, broken HTTP is answered in aiohttp's
   words, and all bodies come from aiohttp's stream.
   - `web_protocol._ErrInfo`: `Connection.data_received`, `eof_received`.
   - `RequestHandler._messages`, `_current_request`, `_waiter`, `_loop`: all of `Connection`. The newest message has to
     be the last one in `_messages` when `data_received` returns.
   - `RequestHandler._keepalive_handle`, `_next_keepalive_close_time`, `_process_keepalive`:
     `Connection.connection_made`.
   - `Server._kwargs`, `Server._loop`, `BaseRunner._make_server`: `server.py`, to make such connections.
2. To answer HEAD at once, and to store short and large bodies without aiohttp's requests. If one is missing, these go
   the way of all other requests, only more slowly.
   - `RequestHandler._waiter`, which is taken away while bytes are parsed, so that aiohttp does not wake up for a
     request that is answered; `_messages`, `_parser.message_consumed`, `_close`, `_force_close`, `_upgraded`,
     `_keepalive_timeout`, and the parts of a parsed message: `Connection.data_received`.
3. For large bodies. If one is missing, they come from aiohttp's stream as small ones do, only more slowly.
   - `RequestHandler._parser`, `_read_bufsize`, `_max_msg_queue_size`, and the arguments of `HttpRequestParser`:
     `Connection.fresh_parser`, `resume_parser`. A parser is made and tried at the start.
4. For the bytes that a lost connection leaves in aiohttp's stream. If one is missing, the client sends them again.
   - `StreamReader._buffer`, `_buffer_offset`: `support.take_held`, for `RequestBody`.
5. For a start that fails. If it is missing, mounted applications stay open until the process ends.
   - `Application._subapps`: `Runner.setup`.

Undocumented parts of asyncio:

- `max_size` of its socket transports is set where it exists (`Connection.connection_made`). Without it, aiohttp reads
  up to 256 KiB of a large body before the bypass begins; nothing else changes.
- A `Future` whose `cancel` returns False makes the cancellation of its task wait. `storage/running/threads.py` needs
  this; it is not in this package because the storage may not import it. If that changes, the tests of that file fail.

Documented, but used in a way that the libraries do not promise; only the tests check these:

- A second file descriptor of a transport's socket is read (`socket_reader.py`) or written (`sendfile.py`) beside the
  event loop.
- Bytes are written to a transport beside aiohttp's writer (`server/http/download.py`, `server/watch/subscriber.py`,
  `server/watch/websocket.py`).
- `writer.output_size` is set back after each informational reply, such as `100 Continue` (`interim.py`).
"""
