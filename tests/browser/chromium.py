"""A Chromium to look at pages with, driven over a pipe in its own protocol (CDP).

A page keeps what a person would not see: what its console complained about, what it asked for.
https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "no Chromium on the PATH; get it with `apt-get install chromium`"
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
    # The engine is at an address in digits; no name leads anywhere.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
# bash, because it can give a child descriptors of any number as its 3 and 4.
LAUNCH = 'exec "$0" "$@" 3<&{read} 4>&{write}'
ANSWER_WITHIN_S = 30.0
SHOWN_WITHIN_S = 60.0
"""Also on a busy machine, and after a page has waited for an engine that is away."""


def installed_chromium() -> str:
    """Its path; where there is none the test is skipped, or fails with ASSAY_REQUIRE_BROWSER."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found:
        return found
    if os.environ.get("ASSAY_REQUIRE_BROWSER"):
        pytest.fail(f"ASSAY_REQUIRE_BROWSER is set, but there is {HOW}")
    pytest.skip(HOW)


class Pipe:
    """Commands out, answers and events in; each ends with a NUL."""

    def __init__(self, write: int, read: int) -> None:
        self._write = write
        self._read = read
        self._buffer = b""
        self._last = 0
        self.hear: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        """By session: who is told of its events."""

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The answer; what happens meanwhile is told to whom it concerns."""
        self._last += 1
        number = self._last
        command: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        os.write(self._write, json.dumps(command).encode() + b"\0")
        deadline_s = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < deadline_s:
            message = self._next(deadline_s)
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])
        raise AssertionError(f"Chromium did not answer {method}")

    def tell(self, method: str, session: str, **parameters: Any) -> None:
        """Without waiting for an answer, which is what those have to do who hear of an event."""
        self._last += 1
        command = {"id": self._last, "method": method, "params": parameters, "sessionId": session}
        os.write(self._write, json.dumps(command).encode() + b"\0")

    def _next(self, deadline_s: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left_s = max(0.0, deadline_s - time.monotonic())
            ready, _, _ = select.select([self._read], [], [], left_s)
            assert ready, "Chromium fell silent"
            piece = os.read(self._read, 1 << 20)
            assert piece, "Chromium has ended"
            self._buffer += piece
        written, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(written)
        if "method" in message and (hear := self.hear.get(message.get("sessionId", ""))):
            hear(message["method"], message["params"])
        return message


# Found as a person finds it: a control by its label, a button or link by its words.
FIND = """
window.assay = {
  shown: (e) => e.getClientRects().length > 0,
  control: (label, within) => [...document.querySelectorAll(`${within} label`)]
    .filter((e) => e.textContent === label && assay.shown(e)).map((e) => e.control)[0],
  button: (words, within) => [...document.querySelectorAll(`${within} :is(button, a, summary)`)]
    .filter((e) => e.textContent.trim() === words && assay.shown(e) && !e.disabled)[0],
};
"""


@dataclass(kw_only=True)
class Page:
    """One tab."""

    pipe: Pipe
    session: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Addresses of everything that was asked for."""
    paused: Callable[[dict[str, Any]], None] | None = None
    """Told of each answer that `hold` stops."""

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.pipe.ask(method, self.session, **parameters)

    def tell(self, method: str, **parameters: Any) -> None:
        self.pipe.tell(method, self.session, **parameters)

    def hear(self, method: str, event: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.complaints.append(str(details.get("exception", details).get("description")))
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning"):
            self.complaints.append(str(event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self._hear_log(event["entry"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])
        elif method == "Fetch.requestPaused" and self.paused:
            self.paused(event)

    def _hear_log(self, entry: dict[str, Any]) -> None:
        # Chromium complains of every refusal of an API; the pages show those themselves.
        if entry["source"] != "network" or "/v1/" not in entry.get("url", ""):
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    def open(self, url: str) -> None:
        """Load it anew, also when only what is behind # differs."""
        self.ask("Page.navigate", url="about:blank")
        self.ask("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && window.assay !== undefined")

    def run(self, script: str) -> Any:
        """The value of an expression, awaited."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def until(self, condition: str) -> Any:
        """Its value, once there is one."""
        deadline_s = time.monotonic() + SHOWN_WITHIN_S
        while time.monotonic() < deadline_s:
            if value := self.run(condition):
                return value
            time.sleep(0.02)
        shown = self.run("document.body.innerText")
        raise AssertionError(f"never became true: {condition}\n{shown}\n{self.complaints}")

    def sees(self, words: str, within: str = "body") -> None:
        """Wait until these words are shown."""
        self.until(f"{_element(within)}?.innerText.includes({json.dumps(words)})")

    def text(self, within: str = "main") -> str:
        return str(self.run(f"{_element(within)}.innerText"))

    def type(self, label: str, words: str, within: str = "main") -> None:
        """Into the control with this label, in place of what is there."""
        control = f"assay.control({json.dumps(label)}, {json.dumps(within)})"
        self.until(f"{control} && !{control}.closest('fieldset')?.disabled")
        self.run(f"{control}.focus(), {control}.select()")
        self.ask("Input.insertText", text=words)

    def choose(self, label: str, value: str, within: str = "main") -> None:
        control = f"assay.control({json.dumps(label)}, {json.dumps(within)})"
        self.until(f"!!{control}")
        event = "new Event('change', {bubbles: true})"
        self.run(f"{control}.value = {json.dumps(value)}, {control}.dispatchEvent({event})")

    def give(self, label: str, path: Path, within: str = "main") -> None:
        """A file to the control with this label."""
        found = self.ask(
            "Runtime.evaluate",
            expression=f"assay.control({json.dumps(label)}, {json.dumps(within)})",
        )
        handle = found["result"]["objectId"]
        self.ask("DOM.setFileInputFiles", files=[str(path)], objectId=handle)

    def click(self, words: str, within: str = "body") -> None:
        button = f"assay.button({json.dumps(words)}, {json.dumps(within)})"
        self.until(f"!!{button}")
        self.run(f"{button}.click()")

    def hold(
        self, pattern: str, told: Callable[[dict[str, Any]], None], *, stage: str = "Response"
    ) -> None:
        """Stop what goes to such addresses: each `Request`, or each `Response` when it has come.

        `told` says what happens to it then, by `tell` or `answer`.
        """
        self.paused = told
        self.ask("Fetch.enable", patterns=[{"urlPattern": pattern, "requestStage": stage}])

    def answer(
        self, event: dict[str, Any], status: int, body: Any, headers: dict[str, str]
    ) -> None:
        """In the engine's place, to a request that `hold` has stopped."""
        kind = {"Content-Type": "application/problem+json", **headers}
        self.tell(
            "Fetch.fulfillRequest",
            requestId=event["requestId"],
            responseCode=status,
            responseHeaders=[{"name": name, "value": value} for name, value in kind.items()],
            body=base64.b64encode(json.dumps(body).encode()).decode(),
        )

    def picture(self, path: Path) -> None:
        size = self.run(
            "({x: 0, y: 0, scale: 1, width: innerWidth, height: document.body.scrollHeight})"
        )
        taken = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=size)
        path.write_bytes(base64.b64decode(taken["data"]))

    def look_like(self, *, width: int, dark: bool = False) -> None:
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])


def _element(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"


class Browser:
    """A running Chromium."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def page(self, *, width: int = 1280, dark: bool = False) -> Page:
        """A new tab with a storage of its own, as if nobody had been here before."""
        context = self._pipe.ask("Target.createBrowserContext")["browserContextId"]
        target = self._pipe.ask("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self._pipe.ask(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = Page(pipe=self._pipe, session=attached["sessionId"])
        self._pipe.hear[page.session] = page.hear
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            page.ask(f"{domain}.enable")
        page.ask("Page.addScriptToEvaluateOnNewDocument", source=FIND)
        page.look_like(width=width, dark=dark)
        return page


@contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    chromium = installed_chromium()
    theirs_read, ours_write = os.pipe()
    ours_read, theirs_write = os.pipe()
    # Chromium has no sandbox for root, which is who runs in most containers.
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    launch = LAUNCH.format(read=theirs_read, write=theirs_write)
    command = ["bash", "-c", launch, chromium, *FLAGS, *sandbox, f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        command, pass_fds=(theirs_read, theirs_write), stderr=subprocess.DEVNULL
    )
    os.close(theirs_read)
    os.close(theirs_write)
    pipe = Pipe(ours_write, ours_read)
    try:
        yield Browser(pipe)
        pipe.ask("Browser.close")
    finally:
        os.close(ours_write)
        os.close(ours_read)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
