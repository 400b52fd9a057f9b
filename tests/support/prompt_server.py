"""The server, which stores the tail of a body that is open after another time: prompt_server.py SECONDS WORDS…"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from onward.storage.blobs.s3 import writer

writer.TAIL_AFTER = float(sys.argv.pop(1))

from onward.server.cli import main  # noqa: E402 - what it imports takes the constant along

main()
