"""A headless browser, driven through its own pipe: no driver and no port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def found() -> str | None:
    """Return the browser: what `RECURLIGHT_BROWSER` names, or one on the path."""
    return os.environ.get("RECURLIGHT_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One open page, and what its console said."""

    def __init__(self, to: int, back: int) -> None:
        self.to, self.back = to, os.fdopen(back, "rb")
        self.number, self.session, self.events = 0, None, []
        self.home = "file:"

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Send one command of the protocol, and wait for its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": arguments}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (said := self._read()).get("id") != self.number:
            self.events.append(said)
        assert "error" not in said, said
        return said.get("result", {})

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.back.read(1)) != b"\0":
            assert byte, "the browser went away"
            text += byte
        return json.loads(text)

    def open(self, where: Path | str, width: int, height: int = 900, **features: str) -> None:
        """Show a file or an address in a window; `features` are media features, such as a color scheme."""
        if self.session is None:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.ask(f"{domain}.enable")
        self.resize(width, height)
        media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", features=media)
        self.events.clear()
        url = where.as_uri() if isinstance(where, Path) else where
        self.home = "file:" if isinstance(where, Path) else "/".join(url.split("/")[:3]) + "/"
        self.ask("Page.navigate", url=url)
        loaded = "document.readyState === 'complete' ? done() : addEventListener('load', done)"
        self.run(f"new Promise(done => {loaded})")

    def resize(self, width: int, height: int = 900) -> None:
        """Give the page another window."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; a promise is waited for."""
        settings = {"returnByValue": True, "awaitPromise": True}
        answer = self.ask("Runtime.evaluate", expression=script, **settings)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key)

    def complaints(self) -> list[str]:
        """Return what the page logged as a warning or worse, and what it asked of any other place."""
        self.run("0")
        said = [(event["method"], event["params"]) for event in self.events if "method" in event]
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        bad = [json.dumps(what) for kind, what in said if kind in kinds]
        asked = [what["request"]["url"] for kind, what in said if kind == "Network.requestWillBeSent"]
        return bad + [url for url in asked if not url.startswith((self.home, "data:"))]

    def shoot(self, path: Path, full: bool = True) -> None:
        """Write a picture of the page."""
        picture = self.ask("Page.captureScreenshot", captureBeyondViewport=full)["data"]
        path.write_bytes(base64.b64decode(picture))


@contextmanager
def browsing(program: str, folder: Path) -> Iterator[Browser]:
    """Start a browser whose files lie in this folder, and end it."""
    (inside, to), (back, outside) = os.pipe(), os.pipe()

    def lay() -> None:  # where the browser looks for its pipe
        ends = os.dup(inside), os.dup(outside)
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    flags = ["--headless", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars"]
    flags += ["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"]
    process = subprocess.Popen(
        [program, *flags, f"--user-data-dir={folder}", "about:blank"],
        preexec_fn=lay,
        close_fds=False,
        env={**os.environ, "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(inside)
    os.close(outside)
    try:
        yield Browser(to, back)
    finally:
        process.kill()
        process.wait()
        os.close(to)
