"""Replicas come and go under load, and no client notices."""

import signal
import time

import pytest

from tests.deploy.fleet import REPLICAS, Balancer, Fleet
from tests.deploy.load import Load, loading

# Of what two replicas can serve while the third is away.
SHARE = 0.8
# A replica may have no request at the moment at which it is killed. Then others are killed, until one had.
MOST_KILLS = 12


def check_that_all_were_answered(load: Load) -> None:
    assert set(load.answers) == {"200"}, load.answers
    assert load.large > 1


def test_rolling_restarts_fail_no_request(fleet: Fleet, balancer: Balancer, pytestconfig: pytest.Config) -> None:
    capacity = _measure_two(fleet, balancer)
    restarts = pytestconfig.getoption("restarts")
    with loading(balancer.url, SHARE * capacity) as load:
        for number in range(restarts):
            assert fleet.end(number % REPLICAS) == 0
            fleet.start(number % REPLICAS)
            balancer.wait_until(REPLICAS)
    print(f"two replicas: {capacity:.1f} requests a second; {restarts} restarts under {load}")  # noqa: T201
    check_that_all_were_answered(load)


def _measure_two(fleet: Fleet, balancer: Balancer) -> float:
    """Requests a second that two replicas answer."""
    fleet.end(REPLICAS - 1)
    balancer.wait_until(REPLICAS - 1)
    with loading(balancer.url) as load:
        time.sleep(3)
    check_that_all_were_answered(load)
    fleet.start(REPLICAS - 1)
    balancer.wait_until(REPLICAS)
    return load.rate


def test_a_killed_replica_costs_no_request(fleet: Fleet, balancer: Balancer, pytestconfig: pytest.Config) -> None:
    before, kills = balancer.sent_again(), min(REPLICAS, pytestconfig.getoption("restarts"))
    with loading(balancer.url) as load:
        for number in range(MOST_KILLS):
            if number >= kills and balancer.sent_again() > before:
                break
            time.sleep(0.5)
            fleet.end(number % REPLICAS, signal.SIGKILL)
            balancer.wait_until(REPLICAS - 1)
            fleet.start(number % REPLICAS)
            balancer.wait_until(REPLICAS)
    check_that_all_were_answered(load)
    assert balancer.sent_again() > before
