"""Upload with tuspy: tuspy_upload.py FILES_URL FILE SHA256; it goes on by asking for the offset after each failure."""

import json
import sys
import time
from pathlib import Path

from requests import RequestException
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

files, path, sha256 = sys.argv[1:]
uploader = TusClient(files).uploader(path, chunk_size=2**21, metadata={"filename": "tuspy.bin", "sha256": sha256})
while True:  # tuspy itself gives up a creation that is answered 503, as by a server that is stopping
    try:
        uploader.set_url(uploader.create_url())
        break
    except TusCommunicationError as fault:
        if fault.status_code != 503:
            raise
        time.sleep(0.3)
print(json.dumps({"url": uploader.url}), flush=True)
for _ in range(60):
    try:
        uploader.offset = uploader.get_offset()
        uploader.upload()
        break
    except (TusCommunicationError, RequestException, OSError):
        time.sleep(0.3)
print(json.dumps({"ok": uploader.offset == Path(path).stat().st_size}), flush=True)
