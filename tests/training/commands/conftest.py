"""A fixture for commands whose runs are tasks."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from training.cluster import Cluster


@pytest.fixture
def tasks_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of Ray are done in this process instead, each after it was pickled as on its way to a worker."""

    def run(_: object, tasks: Iterable[Callable[[], Any]], *__: object) -> Iterator[Any]:
        return (pickle.loads(pickle.dumps(task))() for task in tasks)

    monkeypatch.setattr(Cluster, "run", run)
