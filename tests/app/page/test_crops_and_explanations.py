"""What the page shows of the network's view: the straightened crops, and which parts speak for and against."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from tests.app.page.test_accessibility import SIZES, violations
from tests.app.support.browser import ANNA, ANNA_AGAIN, BERTA, BOTH, PATIENCE_MS, Visit, visit


def crops(opened: Visit, side: int) -> list[str]:
    """The addresses of the crops that a side shows."""
    found = opened.page.locator(f"#side{side} .crop:visible img")
    return [found.nth(number).get_attribute("src") or "" for number in range(found.count())]


def explain(opened: Visit) -> None:
    opened.page.get_by_role("button", name="Show which parts speak for and against").click()
    expect(opened.page.locator(".explained figure")).to_have_count(2, timeout=2 * PATIENCE_MS)


def test_each_photograph_has_its_straightened_crop_that_of_the_chosen_face(opened: Visit) -> None:
    opened.give(1, BOTH)
    [first] = crops(opened, 1)
    assert first.startswith("data:image/png;base64,")
    assert opened.page.evaluate("document.querySelector('#side1 .crop img').naturalWidth") > 50
    opened.page.get_by_role("radio", name="face 2").check()
    [second] = crops(opened, 1)
    assert first != second
    assert opened.messages == []


def test_an_explanation_is_shown_on_both_crops_with_a_caution(opened: Visit) -> None:
    opened.give(1, BOTH)
    opened.page.get_by_role("radio", name="face 2").check()
    opened.give(2, BERTA)
    opened.compare()
    explain(opened)
    assert "it can be wrong" in opened.page.locator(".explained .caution").inner_text()
    shown = [opened.page.locator(f".explained figure >> nth={side}").locator("img") for side in (0, 1)]
    assert [image.get_attribute("src") for image in shown] == [*crops(opened, 1), *crops(opened, 2)]
    painted = "(canvas) => canvas.getContext('2d').getImageData(0, 0, 6, 6).data.some((value) => value > 0)"
    assert opened.page.locator(".explained canvas").first.evaluate(painted)
    assert opened.page.evaluate("document.activeElement.className") == "explained"
    assert opened.messages == []


def test_several_photographs_of_a_side_have_no_explanation(opened: Visit) -> None:
    opened.give(1, ANNA)
    opened.give(2, ANNA_AGAIN, ANNA)
    opened.compare()
    assert opened.page.locator("#explanation").count() == 0


@pytest.mark.parametrize(("example", "same"), [("one person", True), ("two people", False)])
def test_drawn_heads_take_the_place_of_what_was_there(opened: Visit, example: str, same: bool) -> None:
    opened.give(1, ANNA, BERTA)
    opened.page.get_by_role("button", name=example).click()
    expect(opened.page.locator(".found", has_text="1 face found")).to_have_count(2, timeout=PATIENCE_MS)
    assert opened.page.locator(".photo").count() == 2
    assert opened.compare().startswith("Probably the same person") == same


@pytest.fixture(scope="module")
def explained(browser: Browser, url: str) -> Iterator[Visit]:
    """A page that shows an explanation, which takes seconds to compute."""
    with visit(browser, url) as opened:
        opened.give(1, BOTH)
        opened.give(2, BERTA)
        opened.compare()
        explain(opened)
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_an_explanation_is_accessible_at_every_size(
    explained: Visit, size: str, scheme: Literal["light", "dark"]
) -> None:
    explained.page.set_viewport_size(SIZES[size])
    explained.page.emulate_media(color_scheme=scheme)
    assert violations(explained) == []
    assert explained.page.evaluate("[innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]") == [
        SIZES[size]["width"],
        scheme == "dark",
    ]
    assert explained.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
