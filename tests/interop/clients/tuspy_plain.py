"""Upload with tuspy as its documentation does it, without a retry of one's own: tuspy_plain.py FILES_URL FILE SHA256."""

import json
import sys

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

files, path, sha256 = sys.argv[1:]
uploader = TusClient(files).uploader(path, metadata={"sha256": sha256})
try:
    uploader.upload()
except TusCommunicationError as error:
    print(json.dumps({"ok": False, "error": f"{error} {error.status_code} {error.response_content}"}), flush=True)
else:
    print(json.dumps({"ok": True}), flush=True)
