"""The service and the browser for the tests of the page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from app.settings import SHIPPED
from tests.app.support.browser import ANNA, Visit, chromium, visit, write_video
from tests.app.support.service import serving


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The service with weights that have operating points and no conditions: these refuse to decide of drawings."""
    with serving(SHIPPED.with_name("experiment-5.safetensors")) as service:
        yield service.url + "/"


@pytest.fixture(scope="module")
def url_with_conditions() -> Iterator[str]:
    with serving(SHIPPED) as service:
        yield service.url + "/"


@pytest.fixture(scope="module")
def camera_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("camera") / "anna.y4m"
    write_video(path, ANNA)
    return path


@pytest.fixture(scope="module")
def browser(camera_video: Path) -> Iterator[Browser]:
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with chromium(*flags, f"--use-file-for-fake-video-capture={camera_video}") as opened:
        yield opened


@pytest.fixture
def opened(browser: Browser, url: str) -> Iterator[Visit]:
    with visit(browser, url) as opened:
        yield opened
