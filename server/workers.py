"""Several processes behind one address: each has a listening socket of its own, whose connections outlive its death.

The parent does nothing but start them, start them again when they die, pass signals on, and wait for their end.
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
from onward.server.listen import listen, urls
from onward.server.serve import Announce, serve
from onward.storage.base import StorageError

SHORT = 5.0  # seconds; where two in a row lived no longer, the third one is started only after so many
PR_SET_PDEATHSIG = 1
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
_libc = ctypes.CDLL(None)
log = logging.getLogger("onward")


class Workers:
    """The workers of one server."""

    def __init__(self, config: Config, announce: Announce, complain: Callable[[Exception], int]) -> None:
        """Listen; raises what `listen` raises. `complain` prints what can't be done, and gives the exit status."""
        self._config, self._announce, self._complain = config, announce, complain
        self._sockets = listen(config, config.workers)
        self._born: dict[int, tuple[int, float]] = {}  # which worker has a process id, and since when
        self._due: dict[int, float] = {}  # when which is started again
        self._short: set[int] = set()  # whose last worker lived shortly
        self._stopping, self._status = False, 0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; gives the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        started = [self._start(number) for number in range(self._config.workers)]
        if all(os.read(ready, 1) for ready in started):  # nothing comes from one that has died
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
        """Wait for a signal, or until a worker is due."""
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
            self._bury(*ended)

    def _start_again(self, number: int) -> None:
        """Start a worker that has died; if the system has nothing to spare for one, it is due later."""
        try:
            os.close(self._start(number))
        except OSError as error:
            log.error("worker %d can't be started, and is tried again in %g s: %s", number, SHORT, error.strerror)
            self._due[number] = time.monotonic() + SHORT
        else:
            del self._due[number]

    def _stop(self) -> None:
        """Have all workers stop; a second time has them end at once."""
        self._stopping = True
        self._due.clear()
        for listeners in self._sockets:  # a worker that stops listening then refuses connections: nobody has its socket
            for listener in listeners:
                listener.close()
        for pid in self._born:
            os.kill(pid, signal.SIGTERM)

    def _bury(self, pid: int, status: int) -> None:
        number, since = self._born.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if self._stopping:
            self._status = max(self._status, code if code >= 0 else 1)
            return
        log.error("worker %d ended with %d, and is started again", number, code)
        now = time.monotonic()
        lived_shortly = now - since < SHORT
        self._due[number] = now + SHORT if lived_shortly and number in self._short else now
        (self._short.add if lived_shortly else self._short.discard)(number)

    def _start(self, number: int) -> int:
        """Start a worker; gives a descriptor that a byte can be read from once it accepts connections."""
        ready, tell = os.pipe()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(ready)
            os.close(tell)
            raise
        if not pid:
            os.close(ready)
            self._work(number, tell, parent)
        os.close(tell)
        self._born[pid] = number, time.monotonic()
        return ready

    def _work(self, number: int, tell: int, parent: int) -> None:
        """Be a worker, to its end."""

        def announce(_: Sequence[str]) -> None:
            with suppress(BrokenPipeError):  # nobody waits for one that is started again
                os.write(tell, b".")

        code = 1
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            own = self._sockets[number]
            for listener in (each for listeners in self._sockets if listeners is not own for each in listeners):
                if listener not in own:
                    listener.close()
            if os.getppid() != parent:
                return
            asyncio.run(serve(self._config, own, announce))
            code = 0
        except (ValueError, OSError, StorageError) as error:
            code = self._complain(error)
        except Exception:
            log.exception("worker %d failed", number)
        finally:
            logging.shutdown()
            os._exit(code)
