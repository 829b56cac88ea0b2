"""A real Chromium without a window, and pictures for it."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, ViewportSize, expect, sync_playwright

from tests.drawing import encode
from tests.faces import head_at, scene

# Drawn people, in pictures without and with each other.
ANNA = scene(head_at(1))
ANNA_AGAIN = scene(head_at(1, x=300, tilt_deg=6))
BERTA = scene(head_at(3))
BOTH = scene(head_at(1, x=180, inter_eye_px=70), head_at(3, x=470))
NOBODY = Image.new("RGB", (320, 240), (90, 120, 140))

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 15_000
DESKTOP = ViewportSize(width=1280, height=900)
DROP = """(section, [name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, {type: "image/png"}));
  const options = {bubbles: true, cancelable: true, dataTransfer: transfer};
  section.dispatchEvent(new DragEvent("dragover", options));
  section.dispatchEvent(new DragEvent("drop", options));
}"""
PASTE = """(section, [name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, {type: "image/png"}));
  section.dispatchEvent(new ClipboardEvent("paste", {bubbles: true, clipboardData: transfer}));
}"""


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """The Chromium of this machine. The test is skipped, and says so, where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(flags))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """An opened page, every URL that it asked for, and every message of its console."""

    page: Page
    asked: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def give(self, side: int, *pictures: Image.Image | bytes, name: str = "picture.png") -> None:
        """Chooses files for a side, and waits until the service has searched them for faces."""
        payloads: list[FilePayload] = [
            {"name": name, "mimeType": "image/png", "buffer": each if isinstance(each, bytes) else encode(each)}
            for each in pictures
        ]
        self.page.set_input_files(f"#side{side} input[type=file]", payloads)
        self.wait_for_faces()

    def transfer(self, side: int, script: str, picture: Image.Image) -> None:
        """Drops or pastes a picture on a side, by the script of that event."""
        data = ["moved.png", base64.b64encode(encode(picture)).decode()]
        self.page.locator(f"#side{side}").evaluate(script, data)
        self.wait_for_faces()

    def wait_for_faces(self) -> None:
        """Until no picture is being searched."""
        expect(self.page.locator(".found", has_text="Looking")).to_have_count(0, timeout=PATIENCE_MS)

    def compare(self) -> str:
        """Presses the button; the answer in words."""
        self.page.get_by_role("button", name="Compare").click()
        self.page.locator("#verdict").wait_for()
        return self.page.inner_text("#verdict")

    def folded(self, title: str) -> str:
        """The text below a folded title, which is opened."""
        self.page.get_by_text(title, exact=True).click()
        return self.page.get_by_role("region", name=title).inner_text()


@contextmanager
def visit(
    browser: Browser, url: str, viewport: ViewportSize = DESKTOP, *, waits_for_model: bool = True, **options: Any
) -> Iterator[Visit]:
    """Opens the page in a context of its own; the page may do nothing that its own policy forbids, or that fails."""
    context = browser.new_context(viewport=viewport, **options)
    try:
        opened = Visit(context.new_page())
        opened.page.set_default_timeout(PATIENCE_MS)
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.on("console", lambda message: opened.messages.append(message.text))
        opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
        opened.page.goto(url)
        if waits_for_model:
            expect(opened.page.locator("#strictness option")).not_to_have_count(0, timeout=PATIENCE_MS)
        yield opened
    finally:
        context.close()


def write_video(path: Path, picture: Image.Image) -> None:
    """A video (YUV4MPEG2) of ten equal frames, which Chromium's fake camera shows. Sides must be even."""
    luma, *colours = picture.convert("YCbCr").split()
    small = [plane.resize((picture.width // 2, picture.height // 2)) for plane in colours]
    frame = b"FRAME\n" + b"".join(plane.tobytes() for plane in (luma, *small))
    path.write_bytes(f"YUV4MPEG2 W{picture.width} H{picture.height} F10:1 Ip A1:1 C420jpeg\n".encode() + frame * 10)
