"""The server, with another patience for peers that take nothing: impatient_server.py SECONDS WORDS…"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from onward.server.http.transport import tcp

tcp.STALL = float(sys.argv.pop(1))

from onward.server.cli import main  # noqa: E402 - what it imports takes the constant along

main()
