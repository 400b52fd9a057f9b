"""`onward watch`: all uploads at once, a live bar or lines for each, or the messages as they came."""

import argparse
import asyncio
import json
import sys
from contextlib import aclosing
from functools import partial

from onward.client.cli.bars import WatchedBar, WatchedLines, fit, say
from onward.client.errors import Unreachable, UploadError
from onward.client.watch_upload import follow, parse_message

COMPLETED = "completed"


async def run(words: argparse.Namespace) -> int:
    """Watch what the arguments name; gives the exit code."""
    unreachable: set[str] = set()
    ends = await asyncio.gather(*(_watched(url, words, unreachable) for url in words.urls))
    for sentence in sorted(unreachable):
        say(f"onward: {sentence}")
    return 0 if all(end == COMPLETED for end in ends) else 1


async def _watched(url: str, words: argparse.Namespace, unreachable: set[str]) -> str:
    """Show an upload to its end; gives its final status, or none where it can't be watched."""
    shown = WatchedBar() if fit(sys.stdout, sys.stderr) and not words.json else WatchedLines()
    status, headers = "", dict(words.header or ())
    following = follow(url, headers=headers, retry_for=words.retry_for, on_trouble=partial(shown.trouble, url))
    try:
        async with aclosing(following) as texts:
            async for text in texts:
                message = parse_message(text)
                status = message.status
                if words.json:
                    print(json.dumps(json.loads(text)), flush=True)  # a stranger's text: one line, no controls
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
