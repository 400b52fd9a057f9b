"""Several worker processes behind one address; `server/cli.py` uses it for `--workers` above 1.

    parent ── opens one listening socket for each worker (SO_REUSEPORT), and keeps all of them open
      ├─ fork ── worker 0: serve(), on socket 0
      └─ fork ── worker 1: serve(), on socket 1

The kernel spreads new connections over the sockets. If a worker dies, the connections that wait at its socket are not
lost, since the parent has it open too: the next worker with that number accepts them. The parent serves nothing itself.
It starts the workers, starts them again when they die, passes signals on, and waits for their end.
"""

import asyncio
import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from onward.server.config import Config
from onward.server.listen import listen, listen_for_ops, urls
from onward.server.metrics import OF_NOW
from onward.server.serve import Announce, serve
from onward.server.shared_numbers import SharedNumbers, shared_memory
from onward.storage.base import StorageError

SHORT = 5.0  # seconds; a worker that dies sooner than this twice in a row is restarted only after this wait
PR_SET_PDEATHSIG = 1  # of prctl: the signal that a process gets when its parent dies
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
_libc = ctypes.CDLL(None)
log = logging.getLogger("onward")


class Workers:
    """The workers of one server."""

    def __init__(self, config: Config, announce: Announce, complain: Callable[[Exception], int]) -> None:
        """Listen; raises what `listen` raises. `complain` prints an error, and returns the exit status for it."""
        self._config, self._announce, self._complain = config, announce, complain
        self._sockets, self._ops = listen(config, config.workers), listen_for_ops(config, config.workers)
        self._memory = shared_memory(config.workers)
        self._born: dict[int, tuple[int, float]] = {}  # the number and the start of the worker with each process id
        self._due: dict[int, float] = {}  # when the worker with a number is started again
        self._short: set[int] = set()  # numbers whose last worker died soon after its start
        self._stopping, self._status = False, 0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit status."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        started = [self._start(number) for number in range(self._config.workers)]
        if all(os.read(ready, 1) for ready in started):  # a worker that has died closes its pipe without a byte
            self._announce(urls(self._config, self._sockets[0]))
        else:
            self._status = self._status or 1
            self._stop()
        for ready in started:
            os.close(ready)
        while self._born or self._due:
            self._wait()
        return self._status

    def _wait(self) -> None:
        """Wait for a signal, or until a worker is to be started."""
        if self._due:
            number, at = min(self._due.items(), key=lambda pair: pair[1])
            heard = signal.sigtimedwait(_SIGNALS, max(at - time.monotonic(), 0))
            if heard is None:
                self._start_again(number)
                return
        else:
            heard = signal.sigwaitinfo(_SIGNALS)
        if heard.si_signo != signal.SIGCHLD:
            self._stop()
        while self._born and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            self._note_end(*ended)

    def _start_again(self, number: int) -> None:
        """Start a worker again; if the system has no process or descriptor for it, try again later."""
        try:
            os.close(self._start(number))
        except OSError as error:
            log.error("worker %d can't be started; trying again in %g s: %s", number, SHORT, error.strerror)
            self._due[number] = time.monotonic() + SHORT
        else:
            del self._due[number]

    def _stop(self) -> None:
        """Send SIGTERM to all workers: the first lets them stop gracefully, the second ends them at once."""
        self._stopping = True
        self._due.clear()
        for listeners in (*self._sockets, *self._ops):  # so that a worker that closes its own copy refuses connections
            for listener in listeners:
                listener.close()
        for pid in self._born:
            os.kill(pid, signal.SIGTERM)

    def _note_end(self, pid: int, status: int) -> None:
        """Note the end of a worker: its exit status during a stop; otherwise when it is started again."""
        number, since = self._born.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if self._stopping:
            self._status = max(self._status, code if code >= 0 else 1)
            return
        log.error("worker %d ended with %d; starting it again", number, code)
        now = time.monotonic()
        lived_shortly = now - since < SHORT
        self._due[number] = now + SHORT if lived_shortly and number in self._short else now
        (self._short.add if lived_shortly else self._short.discard)(number)

    def _start(self, number: int) -> int:
        """Start a worker; returns the end of a pipe that has a byte once the worker accepts connections.

        Raises OSError if the system has no process or descriptor for it.
        """
        ready, announcing = os.pipe()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(ready)
            os.close(announcing)
            raise
        if not pid:
            os.close(ready)
            self._work(number, announcing, parent)
        os.close(announcing)
        self._born[pid] = number, time.monotonic()
        return ready

    def _work(self, number: int, announcing: int, parent: int) -> None:
        """Run a worker in this process, which has just been forked, and end the process."""

        def announce(_: Sequence[str]) -> None:
            with suppress(BrokenPipeError):  # the parent waits for the first start only
                os.write(announcing, b".")

        code = 1
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            own, ops = self._sockets[number], self._ops[number] if self._ops else []
            for listener in (each for listeners in (*self._sockets, *self._ops) for each in listeners):
                if listener not in own and listener not in ops:
                    listener.close()
            if os.getppid() != parent:  # the parent died before prctl, so no signal will come
                return
            shared = SharedNumbers(self._memory, number, OF_NOW)
            asyncio.run(serve(self._config, own, announce, ops=ops, shared=shared))
            code = 0
        except (ValueError, OSError, StorageError) as error:
            code = self._complain(error)
        except Exception:
            log.exception("worker %d failed", number)
        finally:
            logging.shutdown()
            os._exit(code)
