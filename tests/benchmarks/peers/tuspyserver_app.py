"""tuspyserver under uvicorn: tuspyserver_app.py PORT FOLDER, run by a Python that has both."""

import sys

import uvicorn  # type: ignore[import-not-found,unused-ignore]
from fastapi import FastAPI  # type: ignore[import-not-found,unused-ignore]
from tuspyserver import create_tus_router  # type: ignore[import-not-found,unused-ignore]

app = FastAPI()
app.include_router(create_tus_router(prefix="files", files_dir=sys.argv[2]))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
