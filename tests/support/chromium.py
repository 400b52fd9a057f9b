"""A headless Chromium: tabs that open pages, choose files, run JavaScript, and tell what went wrong in them."""

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)  # fmt: skip
NOTHING_KEPT = {"profile": {"default_content_setting_values": {"cookies": 2}}}
START_WITHIN = 30
END_WITHIN = 10
PATIENCE = 30
LONG_PATIENCE = 120
UNTOUCHED = "Blocked attempt to show a 'beforeunload'"  # browsers warn only people who have touched the page
KEYS = {"Tab": (9, ""), "Enter": (13, "\r")}


@contextmanager
def chromium(folder: Path, *, keeps_nothing: bool = False, more: Sequence[str] = ()) -> Iterator[str]:
    """Run a browser with an empty profile and give the address of its DevTools; its children end with it.

    One that `keeps_nothing` refuses sites their cookies, and with them all that they keep, and their locks. `more`
    options are added to the usual ones.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("SKIPPED LOUDLY: Chromium is not installed")
    folder.mkdir()
    if keeps_nothing:
        (folder / "Default").mkdir()
        (folder / "Default" / "Preferences").write_text(json.dumps(NOTHING_KEPT))
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,  # its path is short enough for a socket
        folder.with_suffix(".log").open("wb") as log,
        subprocess.Popen(
            [program, *OPTIONS, *more, f"--user-data-dir={folder}"],
            env=os.environ | {"HOME": str(folder), "TMPDIR": scratch},
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as browser,
    ):
        try:
            yield f"http://127.0.0.1:{_port(folder)}"
        finally:
            browser.terminate()
            with suppress(subprocess.TimeoutExpired):
                browser.wait(END_WITHIN)
            with suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)


def _port(folder: Path) -> int:
    told = folder / "DevToolsActivePort"
    end = time.monotonic() + START_WITHIN
    while not (told.exists() and told.read_text().count("\n")):
        assert time.monotonic() < end, folder.with_suffix(".log").read_text()
        time.sleep(0.02)
    return int(told.read_text().split()[0])


class Tab:
    """One tab; `faults` are the uncaught exceptions and the errors of the console, `requests` the noted ones."""

    def __init__(self, line: aiohttp.ClientWebSocketResponse) -> None:
        self.faults: list[str] = []
        self.requests: list[tuple[str, dict[str, str]]] = []  # URLs and headers
        self.dialogs: list[str] = []  # their kinds; each is accepted
        self._line = line
        self._ids = itertools.count()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._crashed = asyncio.Event()

    async def open(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        self._loaded.clear()
        await self._call("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), PATIENCE)

    async def reload(self) -> None:
        """Load the page again, and wait until it is loaded."""
        self._loaded.clear()
        await self._call("Page.reload")
        await asyncio.wait_for(self._loaded.wait(), PATIENCE)

    async def choose(self, selector: str, *files: Path) -> None:
        """Choose files in an input of the page, as its user would."""
        document = await self._call("DOM.getDocument")
        node = await self._call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector)
        await self._call("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node["nodeId"])

    async def drop(self, *paths: Path) -> None:
        """Drop files and folders on the page, as its user would from a file manager."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await self._call("Input.dispatchDragEvent", type=kind, x=50, y=50, data=data)

    async def until(self, words: str) -> None:
        """Wait until an expression of JavaScript is true."""
        end = time.monotonic() + LONG_PATIENCE
        while not await self.run(words):
            assert time.monotonic() < end, f"{words} never came true: {await self.run('document.body.innerText')}"
            await asyncio.sleep(0.05)

    async def press(self, key: str) -> None:
        """Press and release a key, `Tab` or `Enter`."""
        code, text = KEYS[key]
        what = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self._call("Input.dispatchKeyEvent", type="keyDown", **what, **({"text": text} if text else {}))
        await self._call("Input.dispatchKeyEvent", type="keyUp", **what)

    async def look(self, *, width: int, height: int, scheme: str, forced: bool = False, still: bool = False) -> None:
        """Show the page at a size, in the colours that somebody prefers, `light` or `dark`, or forces on each page; `still` without motion."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self._call("Emulation.setDeviceMetricsOverride", **size)
        await self._call("Emulation.setScrollbarsHidden", hidden=True)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
            {"name": "forced-colors", "value": "active" if forced else "none"},
        ]
        await self._call("Emulation.setEmulatedMedia", features=features)

    async def picture(self, selector: str = "html") -> bytes:
        """Give what is to be seen of an element in sight, as a PNG."""
        box = await self.run(
            f"(({{ x, y, width, height }}) => ({{ x, y, width, height, scale: 1 }}))"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        clip = {} if selector == "html" else {"clip": box}
        answer = await self._call("Page.captureScreenshot", format="png", **clip)
        return base64.b64decode(answer["data"])

    async def speak(self, *languages: str) -> None:
        """Have the browser prefer these languages on pages that are opened from now on."""
        agent = await self.run("navigator.userAgent")
        await self._call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=",".join(languages))

    async def click(self, selector: str) -> None:
        """Click on the middle of an element in sight with the mouse, as its user would."""
        x, y = await self.run(
            f"(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def offline(self, is_offline: bool) -> None:
        """Cut the tab off from the network, or give it back."""
        await self._call("Network.enable")
        await self._call(
            "Network.emulateNetworkConditions",
            offline=is_offline, latency=0, downloadThroughput=-1, uploadThroughput=-1,
        )  # fmt: skip

    async def note_requests(self) -> None:
        """From now on note what is requested."""
        await self._call("Network.enable")

    async def addresses(self) -> list[str]:
        """Give the addresses that the back button can lead to, and the current one."""
        history = await self._call("Page.getNavigationHistory")
        return [entry["url"] for entry in history["entries"]]

    async def crash(self) -> None:
        """Have the tab crash, as it does when there is no memory for it."""
        await self._line.send_json({"id": next(self._ids), "method": "Page.crash"})
        await asyncio.wait_for(self._crashed.wait(), PATIENCE)

    async def run(self, words: str) -> Any:
        """Run JavaScript and give its value, that of a promise once it is kept."""
        answer = await self._call("Runtime.evaluate", expression=words, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        id_ = next(self._ids)
        self._answers[id_] = asyncio.get_running_loop().create_future()
        await self._line.send_json({"id": id_, "method": method, "params": params})
        answer = await asyncio.wait_for(self._answers[id_], PATIENCE)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def _listen(self) -> None:
        async for frame in self._line:
            told = json.loads(frame.data)
            match told.get("method"):
                case None:
                    if answer := self._answers.pop(told["id"], None):
                        answer.set_result(told)
                case "Page.loadEventFired":
                    self._loaded.set()
                case "Inspector.targetCrashed":
                    self._crashed.set()
                case "Network.requestWillBeSent":
                    asked = told["params"]["request"]
                    self.requests.append((asked["url"], asked["headers"]))
                case "Page.javascriptDialogOpening":
                    self.dialogs.append(told["params"]["type"])
                    accept = {
                        "id": next(self._ids),
                        "method": "Page.handleJavaScriptDialog",
                        "params": {"accept": True},
                    }
                    await self._line.send_json(accept)
                case method:
                    self._note_fault(method, told["params"])

    def _note_fault(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.faults.append(details.get("exception", {}).get("description") or details["text"])
            case "Log.entryAdded" if params["entry"]["level"] == "error" and UNTOUCHED not in params["entry"]["text"]:
                self.faults.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" if params["type"] == "error":
                said = [word.get("description") or word.get("value") for word in params["args"]]
                self.faults.append(" ".join(map(str, said)))

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator["Tab"]:
        listener = asyncio.create_task(self._listen())
        try:
            for domain in ("Page", "Runtime", "Log", "DOM", "Inspector"):
                await self._call(f"{domain}.enable")
            yield self
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)


@asynccontextmanager
async def tab(browser: str) -> AsyncIterator[Tab]:
    """Open a tab; it is closed at the end, with everything that it was doing."""
    async with aiohttp.ClientSession() as http:
        async with http.put(f"{browser}/json/new?about:blank") as answer:
            target = await answer.json(content_type=None)
        try:
            async with (
                http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as line,
                Tab(line)._listening() as open_,
            ):
                yield open_
        finally:
            async with http.get(f"{browser}/json/close/{target['id']}"):
                pass
