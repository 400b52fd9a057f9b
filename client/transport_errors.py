"""Translates the errors of aiohttp: either trying again may help (Interrupted), or it never does (Refused)."""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from yarl import URL

from onward.client.errors import Interrupted, Refused, Unreached

CONNECT_WAIT = 15.0  # seconds until a connection must have been made
ERRNO = re.compile(r"\[Errno (\d+)\]")
HINT = "--cacert or SSL_CERT_FILE can name certificates to trust"
WRONG_VERSION = "wrong version number"  # of OpenSSL, for an answer that is not TLS at all
NOT_TLS = " (the server may speak http:// there, not https://)"


@contextmanager
def translated(place: URL) -> Iterator[None]:
    """Turn the errors of requests to a place into Interrupted, Unreached or Refused."""
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise Refused(f"{error} is not a URL") from error
    except aiohttp.TooManyRedirects as error:
        raise Refused("the server redirects in a circle") from error
    except aiohttp.NonHttpUrlRedirectClientError as error:
        raise Refused(f"the server redirects to {error}, which is not an HTTP URL") from error
    except aiohttp.ClientConnectorCertificateError as error:
        sentence = f"no safe connection to {_address(error.host, error.port)}: {_certificate_fault(error)} ({HINT})"
        raise Refused(sentence) from error
    except aiohttp.ClientConnectorSSLError as error:
        where, reason = _address(error.host, error.port), reason_of(error.os_error)
        hint = NOT_TLS if reason == WRONG_VERSION else ""
        raise Refused(f"no safe connection to {where}: {reason}{hint}") from error
    except aiohttp.ConnectionTimeoutError as error:
        where = _address(place.host, place.port)
        raise Unreached(f"can't connect to {where}: no answer in {CONNECT_WAIT:g} s", CONNECT_WAIT) from error
    except aiohttp.ClientConnectorError as error:
        where = _address(error.host, error.port)
        raise Unreached(f"can't connect to {where}: {reason_of(error.os_error)}") from error
    except TimeoutError as error:
        raise Interrupted("nothing came through in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Interrupted(f"the connection failed: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Return what went wrong in words for people, without error numbers and class names."""
    match error:
        case aiohttp.ServerDisconnectedError():
            return "the server closed it"
        case aiohttp.ClientPayloadError():
            return "the answer was cut off"
        case ssl.SSLError():
            text = (error.reason or str(error)).replace("_", " ").lower()
        case socket.gaierror() | socket.herror():
            text = error.strerror or str(error)
        case OSError(errno=int() as number):
            text = os.strerror(number)
        case _:
            several = ERRNO.search(str(error))  # one address of a host was refused, another can't be reached
            text = os.strerror(int(several[1])) if several else str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def _certificate_fault(error: aiohttp.ClientConnectorCertificateError) -> str:
    fault = error.certificate_error
    return fault.verify_message if isinstance(fault, ssl.SSLCertVerificationError) else reason_of(fault)


def _address(host: str | None, port: int | None) -> str:
    return f"[{host}]:{port}" if host and ":" in host else f"{host}:{port}"
