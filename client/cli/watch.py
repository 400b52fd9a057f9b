"""`onward watch`: follows all its uploads at once, with a bar or lines for each, or prints the messages as JSON."""

import argparse
import asyncio
import json
import sys
from contextlib import aclosing
from functools import partial

from onward.client.cli.bars import WatchedBar, WatchedLines, fit, say
from onward.client.errors import Unreachable, UploadError
from onward.client.link import Link
from onward.client.origin_headers import with_token
from onward.client.trust import trusting
from onward.client.watch_upload import follow, parse_message

COMPLETED = "completed"


async def run(arguments: argparse.Namespace) -> int:
    """Watch what the arguments name; returns the exit status."""
    unreachable: set[str] = set()
    ends = await asyncio.gather(*(_watched(link, arguments, unreachable) for link in arguments.urls))
    for sentence in sorted(unreachable):
        say(f"onward: {sentence}")
    return 0 if all(end == COMPLETED for end in ends) else 1


async def _watched(link: Link, arguments: argparse.Namespace, unreachable: set[str]) -> str:
    """Show an upload to its end; returns its final status, empty if it can't be watched."""
    shown = WatchedBar() if fit(sys.stdout, sys.stderr) and not arguments.json else WatchedLines()
    status, url = "", link.url
    headers = with_token(dict(arguments.header or ()), link.token or arguments.token)
    following = follow(
        url,
        headers=headers,
        trusted=trusting(arguments.cacert, insecure=arguments.insecure),
        retry_for=arguments.retry_for,
        on_trouble=partial(shown.trouble, url),
    )
    try:
        async with aclosing(following) as texts:
            async for text in texts:
                message = parse_message(text)
                status = message.status
                if arguments.json:
                    print(json.dumps(json.loads(text)), flush=True)  # one line without control characters
                else:
                    shown.show(message)
    except Unreachable as error:
        unreachable.add(str(error))
    except UploadError as error:
        say(f"onward: {url}: {error}")
        status = ""
    finally:
        shown.close()
    return status
