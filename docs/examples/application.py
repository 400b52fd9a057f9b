"""An application beside Onward: it decides who may upload what, and keeps a list of the finished files.

Run it with `uvicorn application:app --port 9000`; docs/integrating.md has the options of the server.
"""

import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook, WebhookVerificationError

MOST_UPLOADS = 10
USERS = {"Bearer token-1": "user-1", "Bearer token-2": "user-2"}  # in production: look the token up
files: dict[str, list[dict[str, Any]]] = {}  # in production: a table of your database
handled: set[str] = set()  # in production: a column with a unique index, written in the same transaction
app = FastAPI()


async def signed(request: Request) -> dict[str, Any]:
    """Return the JSON of a request that comes from the server; whatever else comes is refused."""
    try:
        event: dict[str, Any] = Webhook(os.environ["SECRET"]).verify(await request.body(), dict(request.headers))
    except WebhookVerificationError:
        raise HTTPException(401) from None
    return event


Signed = Annotated[dict[str, Any], Depends(signed)]


def refuse(status: int, title: str, detail: str = "") -> JSONResponse:
    """Answer with a reason, which the person who uploads will see."""
    return JSONResponse({"title": title, "detail": detail}, status, media_type="application/problem+json")


@app.post("/ask")
async def ask(question: Signed) -> JSONResponse:
    """Decide whether an upload may be created, and whether a finished file may be published."""
    data = question["data"]
    if question["type"] == "ask.publish":
        if data["contentType"] == "application/x-executable":
            return refuse(422, "No programs, please")
        return JSONResponse({})
    user = USERS.get(data["headers"].get("authorization", ""))
    if user is None:
        return refuse(401, "Please sign in")
    if len(files.get(user, ())) >= MOST_UPLOADS:
        return refuse(403, "Your list is full", f"You have {MOST_UPLOADS} files. Remove one of them first.")
    return JSONResponse({"owner": user, "maxSize": 10 * 2**30})


@app.post("/events", status_code=204)
async def events(request: Request, event: Signed) -> None:
    """Keep the list of files; an event may come twice, with the same id."""
    id_ = request.headers["webhook-id"]
    if id_ in handled:
        return
    data = event["data"]
    mine = files.setdefault(data["owner"], [])
    if event["type"] == "upload.completed":
        mine.append({"id": data["uploadId"], "name": data["fileName"], "sha256": data["sha256"]})
    elif event["type"] == "upload.terminated":
        mine[:] = [each for each in mine if each["id"] != data["uploadId"]]
    handled.add(id_)


@app.get("/files/{user}")
async def listed(user: str) -> list[dict[str, Any]]:
    """Show the files of a user; in production, only to that user."""
    return files.get(user, [])
