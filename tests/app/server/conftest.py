from collections.abc import Iterator

import httpx
import pytest

from tests.app.support.service import PATIENCE_S, Service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """A client of the service that the test's module starts."""
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client
