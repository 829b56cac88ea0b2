"""One fleet and one balancer for all tests of this folder, which leave every replica up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.fleet import HAPROXY, REPLICAS, Balancer, Fleet, balancing


@pytest.fixture(scope="session")
def fleet(checkpoint_path: Path) -> Iterator[Fleet]:
    """Three replicas that listen."""
    if HAPROXY is None:
        pytest.skip("haproxy is not installed: apt-get install haproxy")
    fleet = Fleet(checkpoint_path)
    try:
        for number in range(REPLICAS):
            fleet.start(number)
        yield fleet
    finally:
        fleet.close()


@pytest.fixture(scope="session")
def shared_balancer(fleet: Fleet) -> Iterator[Balancer]:
    with balancing(fleet.ports) as balancer:
        yield balancer


@pytest.fixture
def balancer(shared_balancer: Balancer) -> Balancer:
    """A balancer that sends to all three, as Compose starts it."""
    shared_balancer.wait_until(REPLICAS)
    return shared_balancer
