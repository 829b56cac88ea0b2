"""The people and pictures of batches, and how often each is drawn."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from training.people.people_batches import BatchPlan, BatchSizes, pick, plan_epoch

# Seven people with 2 to 8 pictures.
SEVERAL = [torch.arange(10 * person, 10 * person + 2 + person) for person in range(7)]
SINGLE = torch.arange(100, 111)
SIZES = BatchSizes(people=3, pictures=4, singles=5)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plans(batches: int = 12, seed: int = 0) -> list[BatchPlan]:
    return list(plan_epoch(SEVERAL, SINGLE, SIZES, batches, draws(seed)))


def test_batches_have_the_requested_sizes() -> None:
    assert len(plans()) == 12
    for plan in plans():
        assert plan.people.shape == (3,)
        assert plan.pictures.shape == (3, 4)
        assert plan.singles.shape == (5,)


def test_batch_has_distinct_people_with_their_pictures() -> None:
    for plan in plans():
        assert len(set(plan.people.tolist())) == 3
        assert len(set(plan.singles.tolist())) == 5
        assert set(plan.singles.tolist()) <= set(SINGLE.tolist())
        for person, pictures in zip(plan.people.tolist(), plan.pictures.tolist(), strict=True):
            assert set(pictures) <= set(SEVERAL[person].tolist())


def test_people_appear_about_equally_often() -> None:
    """Two of three batches are a round of six of the seven people."""
    people = Counter(person for plan in plans(40) for person in plan.people.tolist())
    assert sum(people.values()) == 120
    assert set(people) == set(range(7))
    for first, second in zip(plans(40)[::2], plans(40)[1::2], strict=True):
        assert len({*first.people.tolist(), *second.people.tolist()}) == 6
        assert len({*first.singles.tolist(), *second.singles.tolist()}) == 10


def test_epoch_depends_only_on_the_generator() -> None:
    def flat(found: list[BatchPlan]) -> list[Tensor]:
        return [tensor for plan in found for tensor in (plan.people, plan.pictures, plan.singles)]

    assert all(torch.equal(a, b) for a, b in zip(flat(plans()), flat(plans()), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(flat(plans()), flat(plans(seed=1)), strict=True))


def test_all_people_are_used_if_there_are_too_few() -> None:
    (plan,) = plan_epoch(SEVERAL[:2], SINGLE[:3], BatchSizes(people=32, pictures=4, singles=48), 1, draws())
    assert sorted(plan.people.tolist()) == [0, 1]
    assert sorted(plan.singles.tolist()) == [100, 101, 102]


@pytest.mark.parametrize(("single", "singles"), [(SINGLE, 0), (SINGLE[:0], 5)])
def test_batch_without_singles(single: Tensor, singles: int) -> None:
    found = list(plan_epoch(SEVERAL, single, replace(SIZES, singles=singles), 3, draws()))
    assert [len(plan.singles) for plan in found] == [0, 0, 0]


@pytest.mark.parametrize(("has", "count"), [(8, 4), (4, 4), (2, 4), (3, 4), (3, 7), (1, 2)])
def test_pictures_repeat_only_if_there_are_too_few(has: int, count: int) -> None:
    found = Counter(pick(torch.arange(has), count, draws()).tolist())
    assert sum(found.values()) == count
    assert max(found.values()) - min([found[i] for i in range(has)]) <= 1
