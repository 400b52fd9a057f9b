"""The server on an aiohttp without what large bodies (FAST) or connections (CONNECTION) need: reduced_aiohttp_server.py WHICH …"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from onward.server.http.transport import support

which = sys.argv.pop(1)
setattr(support, which, (*getattr(support, which), "_gone"))

from onward.server.cli import main  # noqa: E402 - in the order of the server itself

main()
