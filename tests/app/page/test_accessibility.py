"""The page at three sizes, in light and dark, by keyboard, and as axe-core judges it."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ViewportSize

from tests.app.support.browser import ANNA, ANNA_AGAIN, BOTH, NOBODY, Visit, visit
from tests.drawing import encode
from tests.faces import head_at, scene

SIZES = {
    "phone": ViewportSize(width=360, height=740),
    "tablet": ViewportSize(width=800, height=1000),
    "desktop": ViewportSize(width=1280, height=900),
}


def test_the_whole_flow_works_by_keyboard(opened: Visit) -> None:
    keyboard = opened.page.keyboard
    opened.page.on("filechooser", lambda _: None)  # so that the browser reports them before the first key is pressed
    for side, picture in (("first", ANNA), ("second", ANNA_AGAIN)):
        for _ in range(10):
            keyboard.press("Tab")
            if opened.page.evaluate("document.activeElement.type === 'file'"):
                break
        with opened.page.expect_file_chooser() as chooser:
            keyboard.press("Enter")
        chooser.value.set_files({"name": f"{side}.png", "mimeType": "image/png", "buffer": encode(picture)})
        opened.wait_for_faces()
    for _ in range(10):
        if opened.page.evaluate("document.activeElement.id") == "compare":
            break
        keyboard.press("Tab")
    keyboard.press("Enter")
    opened.page.locator("#verdict").wait_for()
    assert opened.page.evaluate("document.activeElement.id") == "verdict"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_accessible_at_every_size(browser: Browser, url: str, size: str, scheme: str) -> None:
    with visit(browser, url, SIZES[size], color_scheme=scheme) as opened:
        assert violations(opened) == []
        opened.give(1, BOTH)
        opened.give(2, NOBODY)
        assert violations(opened) == []
        opened.page.get_by_role("button", name="Remove second person").click()
        opened.give(2, scene(head_at(3, inter_eye_px=18)))
        opened.compare()
        opened.folded("Its answer as JSON")
        assert violations(opened) == []
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for key in ("Home", "End"):
            opened.page.keyboard.press(f"Control+{key}")
            assert opened.page.evaluate(
                "document.querySelector('#privacy').getBoundingClientRect().bottom <= innerHeight"
            )


def violations(opened: Visit) -> list[str]:
    """What axe-core finds wrong."""
    found = Axe().run(opened.page).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]
