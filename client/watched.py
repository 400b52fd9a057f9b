"""`onward watch`: all uploads at once, a live bar or lines for each, or the messages as they came."""

import argparse
import asyncio
import json
import sys
from contextlib import aclosing

from client.bars import WatchedBar, WatchedLines, fit, say
from client.errors import UploadError
from client.watching import follow, parse_message

COMPLETED = "completed"


async def run(words: argparse.Namespace) -> int:
    """Watch what the words name; gives the exit code."""
    ends = await asyncio.gather(*(_watched(url, place, words) for place, url in enumerate(words.urls)))
    return 0 if all(end == COMPLETED for end in ends) else 1


async def _watched(url: str, place: int, words: argparse.Namespace) -> str:
    """Show an upload to its end; gives its final status, or none where it can't be watched."""
    shown = WatchedBar(url, place) if fit(sys.stdout, sys.stderr) and not words.json else WatchedLines()
    status = ""
    try:
        async with aclosing(follow(url, retry_for=words.retry_for, on_trouble=shown.trouble)) as texts:
            async for text in texts:
                message = parse_message(text)
                status = message.status
                if words.json:
                    print(json.dumps(json.loads(text)), flush=True)  # a stranger's text: one line, no controls
                else:
                    shown.show(message)
    except UploadError as error:
        say(f"onward: {url}: {error}")
        status = ""
    finally:
        shown.close()
    return status
