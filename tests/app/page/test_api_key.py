"""The page of a service with API keys asks for one and keeps it in memory alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from app.settings import SHIPPED
from tests.app.page.test_accessibility import violations
from tests.app.support.browser import ANNA, ANNA_AGAIN, Visit, visit
from tests.app.support.service import serving

KEY = "key-0123456789abcdef/ABC="
WRONG = "wrong-0123456789abcdef"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.txt"


@pytest.fixture(scope="module")
def url(keys: Path) -> Iterator[str]:
    keys.write_text(KEY + "\n")
    with serving(SHIPPED.with_name("experiment-5.safetensors"), "--api-keys-file", str(keys)) as service:
        yield service.url + "/"


@pytest.fixture
def locked(browser: Browser, url: str) -> Iterator[Visit]:
    with visit(browser, url, waits_for_model=False) as opened:
        expect(opened.page.get_by_label("This service needs an API key")).to_be_focused()
        yield opened


def enter(opened: Visit, key: str) -> None:
    opened.page.get_by_label("This service needs an API key").fill(key)
    opened.page.keyboard.press("Enter")


def test_photographs_are_compared_with_a_key_which_is_stored_nowhere(locked: Visit) -> None:
    locked.give(1, ANNA)  # before the key
    assert violations(locked) == []
    enter(locked, WRONG)
    expect(locked.page.locator("#key .problem")).to_have_text("The service does not know this key. Try another.")
    enter(locked, KEY)
    expect(locked.page.locator("#side1 .found")).to_have_text("1 face found")
    locked.give(2, ANNA_AGAIN)
    assert locked.compare().startswith("Probably the same person")
    assert locked.folded("This request with curl").startswith('curl -H "Authorization: Bearer $KEY" \\\n  -F image1=')
    assert KEY not in locked.page.content()
    assert locked.page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
    assert not any(KEY in url for url in locked.asked)
    locked.page.reload()
    expect(locked.page.get_by_label("This service needs an API key")).to_be_focused()


def test_a_key_that_is_withdrawn_is_asked_for_again(locked: Visit, keys: Path) -> None:
    enter(locked, KEY)
    locked.give(1, ANNA)
    locked.give(2, ANNA_AGAIN)
    keys.write_text(WRONG + "\n")
    locked.page.wait_for_timeout(1100)  # after which the service reads the file again
    locked.page.get_by_role("button", name="Compare").click()
    expect(locked.page.get_by_label("This service needs an API key")).to_be_focused()
    enter(locked, WRONG)
    expect(locked.page.locator("#key")).to_be_hidden()
    assert locked.compare().startswith("Probably the same person")
