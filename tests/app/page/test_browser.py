"""The page in a real browser: photographs in, words out."""

import io
import itertools
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.app.support.browser import ANNA, ANNA_AGAIN, BERTA, BOTH, DROP, NOBODY, PASTE, Visit, visit
from tests.app.support.requests import pair
from tests.drawing import STORED, encode, encode_oriented, encode_oriented_by_xmp
from tests.faces import head_at, scene
from tests.model.support.pictures import difference


def ask_api(url: str, left: Image.Image, right: Image.Image) -> dict[str, Any]:
    """The answer of /verify at the operating point that the page proposes."""
    response = httpx.post(f"{url}v1/verify", files=pair(encode(left), encode(right)), data={"max_fmr": "0.01"})
    answer: dict[str, Any] = response.raise_for_status().json()
    return answer


def test_two_photographs_are_compared(opened: Visit, url: str) -> None:
    assert opened.page.get_by_role("button", name="Compare").is_disabled()
    opened.give(1, ANNA, name="first.png")
    opened.give(2, ANNA_AGAIN, name='it\'s "mine".png')
    words = opened.compare()
    expected = ask_api(url, ANNA, ANNA_AGAIN)
    assert expected["decision"] == "same"
    assert expected["fmr_is_upper_bound"]
    assert words.startswith("Probably the same person: at most 1 in ")
    assert opened.page.evaluate("document.activeElement.id") == "verdict"
    shown = json.loads(opened.folded("Its answer as JSON"))
    assert shown["similarity"] == pytest.approx(expected["similarity"])
    command = opened.folded("This request with curl")
    assert "-F image1=@first.png" in command
    assert "-F 'image2=@\"it'\\''s \\\"mine\\\".png\"'" in command
    assert command.endswith(f"{url}v1/verify")
    assert opened.messages == []
    assert all(asked.startswith((url, "data:,")) for asked in opened.asked)


def test_a_rate_that_was_measured_is_no_upper_bound(opened: Visit, url: str) -> None:
    opened.give(1, ANNA)
    opened.give(2, BERTA)
    expected = ask_api(url, ANNA, BERTA)
    assert expected["fmr_is_upper_bound"] is False
    words = opened.compare()
    assert re.search(r": (1 in |\d+ in 100|nearly all)", words), words


def test_the_slider_shows_how_the_decision_would_change(opened: Visit) -> None:
    opened.give(1, ANNA)
    opened.give(2, BERTA)
    opened.compare()
    assert opened.page.locator(".scale .mark").all_inner_texts() == ["1:10", "1:100", "1:1,000"]
    slider, output = opened.page.get_by_role("slider"), opened.page.locator("output")
    for strictness, promised in (("0.1", "1 in 10"), ("0.01", "1 in 100"), ("0.001", "1 in 1,000")):
        opened.page.select_option("#strictness", strictness)
        opened.compare()
        assert f"at most {promised}" in output.inner_text()
    slider.focus()
    slider.press("Home")
    assert ": same." in output.inner_text()
    assert "more than 1 in 10 would" in output.inner_text()
    slider.press("End")
    assert ": different." in output.inner_text()
    assert "at most 1 in 1,000 would" in output.inner_text()
    assert slider.get_attribute("aria-valuetext") == output.inner_text().split(". ")[0]


def test_another_photograph_takes_the_answer_away(opened: Visit) -> None:
    opened.give(1, ANNA)
    opened.give(2, BERTA)
    opened.compare()
    opened.page.get_by_role("button", name="Remove second person").click()
    assert opened.page.locator("#answer").is_hidden()
    assert opened.page.inner_text("#status") == "Still missing: a photograph of the second person."


@pytest.mark.parametrize("script", [DROP, PASTE], ids=["drop", "paste"])
def test_pictures_are_dropped_and_pasted(opened: Visit, script: str) -> None:
    opened.transfer(2, DROP, ANNA)
    opened.transfer(1, script, ANNA_AGAIN)
    assert opened.page.locator("#side1 .found").inner_text() == "1 face found"
    assert opened.compare().startswith("Probably the same person")


def test_the_camera_takes_a_photograph(opened: Visit) -> None:
    opened.give(1, ANNA)
    opened.page.get_by_role("button", name="Use the camera: second person").click()
    opened.page.get_by_role("button", name="Take the photograph").click()
    opened.page.locator("#side2 .photo").wait_for()
    opened.wait_for_faces()
    assert opened.compare().startswith("Probably the same person")
    assert "image2=@camera.jpg" in opened.folded("This request with curl")


def test_similarities_on_two_sides_of_a_threshold_look_different(opened: Visit) -> None:
    module = "import(document.querySelector('script[type=module]').src.replace('page.js', 'answer.js'))"
    for values, shown in (("0.98631, 0.98689", "0.986"), ("0.98689, 0.98631", "0.987"), ("0.98631", "0.99")):
        assert opened.page.evaluate(f"{module}.then(({{digits}}) => digits({values}))") == shown


def test_one_of_several_faces_is_chosen(opened: Visit, url: str) -> None:
    opened.give(1, BOTH)
    opened.give(2, BERTA)
    assert opened.page.locator("#side1 .found").inner_text() == "2 faces found. Compare:"
    opened.compare()
    largest = json.loads(opened.folded("Its answer as JSON"))
    assert largest["similarity"] == pytest.approx(ask_api(url, BOTH, BERTA)["similarity"])
    opened.page.get_by_role("radio", name="face 2").check()
    assert opened.page.locator("#answer").is_hidden()
    assert opened.compare().startswith("Probably the same person")
    assert f"{url}v1/compare" in opened.folded("This request with curl")
    canvas = opened.page.locator("#side1 canvas")
    width = canvas.evaluate("(canvas) => canvas.clientWidth")  # of 640 pixels of the picture
    canvas.click(position={"x": 180 * width / 640, "y": 240 * width / 640})
    assert opened.page.get_by_role("radio", name="face 1").is_checked()
    opened.compare()
    assert f"{url}v1/compare" in opened.folded("This request with curl")


def test_pictures_that_the_browser_cannot_show_are_compared(opened: Visit) -> None:
    opened.give(1, encode(ANNA, "HEIF"), name="IMG_0001.HEIC")
    opened.give(2, ANNA_AGAIN)
    canvas = opened.page.locator("#side1 canvas")
    assert canvas.is_visible()
    assert canvas.get_attribute("aria-label") == "first person's photograph: IMG_0001.HEIC (no preview)"
    assert opened.page.locator("#side1 .found").inner_text() == "1 face found"
    assert opened.compare().startswith("Probably the same person")


STATED = {"EXIF": encode_oriented, "XMP": encode_oriented_by_xmp}
# The values of a canvas that shows a picture, in a copy of 64x48 pixels.
DRAWN = """(canvas) => {
  const pen = new OffscreenCanvas(64, 48).getContext("2d");
  pen.drawImage(canvas, 0, 0, 64, 48);
  return [canvas.width, canvas.height, [...pen.getImageData(0, 0, 64, 48).data]];
}"""


@pytest.mark.parametrize(("kind", "stated"), [*itertools.product(["JPEG", "PNG", "WEBP"], STATED), ("AVIF", "EXIF")])
def test_pictures_are_drawn_upright_as_the_service_sees_them(opened: Visit, kind: str, stated: str) -> None:
    lopsided = ANNA.copy()
    lopsided.paste((255, 0, 0), (0, 0, 160, 120))
    opened.give(1, lopsided, *(STATED[stated](lopsided, each, kind, quality=95) for each in STORED))
    canvases = opened.page.locator("#side1 canvas")
    width, height, expected = canvases.first.evaluate(DRAWN)
    for orientation, canvas in zip(STORED, canvases.all()[1:], strict=True):
        *size, drawn = canvas.evaluate(DRAWN)
        assert size == [width, height], orientation
        assert difference(np.array(drawn), np.array(expected)) < 5, orientation
    assert opened.messages == []


def test_several_photographs_of_a_person_are_averaged(opened: Visit) -> None:
    opened.give(1, ANNA)
    opened.give(2, ANNA_AGAIN, ANNA)
    opened.compare()
    images = json.loads(opened.folded("Its answer as JSON"))["images"]
    assert [image["field"] for image in images] == ["image1", "image2[0]", "image2[1]"]


@pytest.mark.parametrize(
    ("picture", "words"), [(NOBODY, "no face was found"), (b"not an image", "this is text. Images can be JPEG")]
)
def test_an_error_stands_beside_its_picture(opened: Visit, picture: Image.Image | bytes, words: str) -> None:
    opened.give(1, ANNA)
    opened.give(2, ANNA, picture)
    problem = opened.page.locator("#side2 .photo").nth(1).locator(".problem")
    assert words.lower() in problem.inner_text().lower()
    opened.page.get_by_role("button", name="Compare").click()
    opened.page.get_by_text("No answer: see second person's photograph").wait_for()
    assert words in problem.inner_text()
    assert opened.page.locator(".problem:visible").count() == 1


def test_a_warning_stands_beside_its_picture(opened: Visit) -> None:
    opened.give(1, ANNA)
    opened.give(2, scene(head_at(1, inter_eye_px=18)))
    assert "the face is small" in opened.page.locator("#side2 .warnings").inner_text()
    assert opened.page.locator("#side1 .warnings").count() == 0


def test_pictures_that_share_a_condition_are_undecided(browser: Browser, url_with_conditions: str) -> None:
    with visit(browser, url_with_conditions) as opened:
        opened.give(1, ANNA)
        opened.give(2, ANNA_AGAIN)
        words = opened.compare()
        assert words.startswith("Too close to say: how many strangers look this alike in such pictures (")
        assert words.endswith("drawn) was not measured.")
        assert "what was measured holds for photographs. Try another photograph" in opened.page.inner_text("#answer")
        assert "looks like a drawing" in opened.page.locator("#side1 .warnings").inner_text()
        opened.page.get_by_role("slider").press("Home")
        assert opened.page.locator("output").inner_text().endswith(": too close to say.")


def test_photographs_of_lfw_get_the_service_s_decision(browser: Browser, url_with_conditions: str, lfw: Path) -> None:
    with tarfile.open(lfw / "lfw-deepfunneled.tgz", "r|gz") as archive:
        pictures = (archive.extractfile(member) for member in archive if member.name.endswith(".jpg"))
        left, right = (Image.open(io.BytesIO(file.read())) for file in itertools.islice(filter(None, pictures), 2))
    expected = ask_api(url_with_conditions, left, right)
    with visit(browser, url_with_conditions) as opened:
        opened.give(1, left)
        opened.give(2, right)
        assert ("Probably the same person" in opened.compare()) == expected["verified"]
        shown = json.loads(opened.folded("Its answer as JSON"))
    assert [shown[key] for key in ("decision", "conditions")] == [expected[key] for key in ("decision", "conditions")]
    assert shown["similarity"] == pytest.approx(expected["similarity"])


def test_the_form_at_docs_sends_no_threshold_by_itself(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.goto(f"{url}docs")
    page.locator("[id$='-verify']").click()
    page.get_by_role("button", name="Try it out").click()
    for field in ("threshold", "max_fmr"):
        row = page.locator(".table-container tr", has=page.get_by_text(field, exact=True))
        assert row.locator("input[type=text]").input_value() == ""
    page.close()


def test_a_service_that_does_not_answer_is_reported(opened: Visit) -> None:
    opened.give(1, ANNA)
    opened.give(2, BERTA)
    opened.page.route("**/verify", lambda route: route.abort())
    opened.page.get_by_role("button", name="Compare").click()
    opened.page.get_by_text("the service did not answer").wait_for()
    assert opened.page.get_by_role("button", name="Compare").is_enabled()
