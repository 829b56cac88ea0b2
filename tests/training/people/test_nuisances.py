"""Changes that pictures of different people share."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.errors import TrainingError
from tests.training.support.small_people import SMALL_PEOPLE
from training.learning.experiments import EXPERIMENT_6
from training.people import photo_changes
from training.people.covers import COVERS, KINDS, cover, mask
from training.people.nuisances import Group, Nuisances, change_groups, cover_groups, draw_groups
from training.people.photo_changes import CHANGES, Change, Draws

SIDE = 64
EYES = EXPERIMENT_6.eyes
ALWAYS = Nuisances(people=3, probability=1, covered=1, each=1)


def draws(seed: int = 0) -> Draws:
    return Draws(torch.Generator().manual_seed(seed))


def noise(count: int, channels: int = 3) -> Tensor:
    pictures = torch.rand(count, channels, 8, 8, generator=torch.Generator().manual_seed(9))
    return torch.nn.functional.interpolate(pictures, (SIDE, SIDE), mode="bilinear")


def apply(groups: list[Group], images: Tensor, seed: int = 1) -> Tensor:
    shared = draws(seed)
    return change_groups(cover_groups(images.clone(), groups, EYES, shared), groups, shared)


def test_a_group_has_the_pictures_of_different_people_at_one_place() -> None:
    people, pictures, singles = 6, 4, 5
    groups = draw_groups(people, pictures, singles, ALWAYS, draws())
    owners = torch.cat([torch.arange(people).repeat_interleave(pictures), *[people + torch.arange(singles)] * 2])
    for group in groups:
        assert len(owners[group.pictures].unique()) == len(group.pictures) <= ALWAYS.people
    assert torch.cat([group.pictures for group in groups]).sort().values.tolist() == list(range(len(owners)))
    of_first = [group for group in groups if (owners[group.pictures] == 0).any()]
    assert len(of_first) == pictures  # each of a person's pictures has another draw


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_equal_for_equal_pictures_and_keeps_the_range(change: Change, channels: int) -> None:
    same = noise(1, channels).expand(4, -1, -1, -1).clone()
    found = change(same, draws(4))
    assert found.shape == same.shape
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    if change is not photo_changes.noise:  # every picture has its own grain
        assert all(torch.equal(found[0], other) for other in found)
    if channels == 3 or change is not photo_changes.cast:
        assert not torch.allclose(found, same, atol=1e-3)


@pytest.mark.parametrize("shared_out", [False, True])
def test_a_batch_of_people_who_all_have_several_pictures_is_changed(shared_out: bool) -> None:
    images = noise(8)
    groups = draw_groups(4, 2, 0, ALWAYS, draws())
    assert any(len(group.pictures) == 0 for group in groups)
    if shared_out:
        groups = [group.within(torch.arange(8), 8) for group in groups]
    found = apply(groups, images)
    assert not any(torch.equal(before, after) for before, after in zip(images, found, strict=True))


def test_only_the_groups_pictures_change() -> None:
    images = noise(6)
    group = Group(pictures=torch.tensor([1, 4]), cover=0, changes=(photo_changes.exposure,))
    found = apply([group], images)
    unchanged = [0, 2, 3, 5]
    assert torch.equal(found[unchanged], images[unchanged])
    assert not torch.allclose(found[[1, 4]], images[[1, 4]], atol=1e-2)


def test_draws_depend_only_on_the_generator() -> None:
    images = noise(4 * 2 + 2 * 3)
    one, again, other = (apply(draw_groups(4, 2, 3, ALWAYS, draws(seed)), images, seed) for seed in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_probability_of_nought_changes_nothing() -> None:
    assert draw_groups(4, 2, 3, Nuisances(probability=0), draws()) == []
    groups = draw_groups(4, 2, 3, Nuisances(probability=1, covered=0, each=0), draws())
    assert all((group.cover, group.changes) == (None, ()) for group in groups)


@pytest.mark.parametrize("kind", range(COVERS))
def test_a_cover_is_drawn_at_one_place_on_all_pictures(kind: int) -> None:
    found = cover(noise(1).expand(3, -1, -1, -1), kind, EYES, draws(2).between)
    assert torch.equal(found[0], found[2])
    assert not torch.allclose(found[0], noise(1)[0], atol=1e-2)


@pytest.mark.parametrize(("kind", "hidden", "seen"), [("dark", "eyes", "mouth"), ("mask", "mouth", "eyes")])
def test_dark_glasses_hide_the_eyes_and_masks_the_mouth(kind: str, hidden: str, seen: str) -> None:
    number = 0 if kind == "dark" else next(i for i, each in enumerate(KINDS) if each is mask)
    places = {"eyes": (EYES.y, EYES.x - EYES.distance / 2), "mouth": (EYES.y + 1.05 * EYES.distance, EYES.x)}
    images = noise(8)
    for seed in range(10):
        found = cover(images, number, EYES, draws(seed).between)
        deviation = {
            name: [float(each[:, :, round(y * SIDE), round(x * SIDE)].std(0).mean()) for each in (images, found)]
            for name, (y, x) in places.items()
        }
        assert deviation[hidden][1] < 0.5 * deviation[hidden][0]
        assert deviation[seen][1] == pytest.approx(deviation[seen][0])


def test_eyes_are_those_of_the_alignments_template() -> None:
    assert EYES.x == pytest.approx(0.5)
    assert EYES.y == pytest.approx((0.4501 - 0.5) / 0.6 + 0.5)
    assert EYES.distance == pytest.approx((0.5864 - 0.4136) / 0.6)


def test_backlight_darkens_the_face_and_drowns_the_ground() -> None:
    images = noise(8)
    centre = round((EYES.y + 0.4 * EYES.distance) * SIDE)
    for seed in range(10):
        found = photo_changes.backlight(images, draws(seed), eyes=EYES)
        assert 0 <= float(found.min()) < float(found.max()) <= 1
        face, ground = found[:, :, centre, SIDE // 2], found[:, :, 1, 1]
        assert float(ground.mean()) > float(face.mean()) + 0.1
        spread = images[:, :, centre, SIDE // 2].std()
        assert float(face.std()) < 0.6 * float(spread)


def test_the_share_of_backlit_groups_is_drawn_and_others_stay_as_they_are() -> None:
    plain = Nuisances(probability=1, covered=0, each=0)
    groups = draw_groups(400, 1, 0, replace(plain, people=1), draws(), backlit=0.25, eyes=EYES)
    lit = sum(bool(group.changes) for group in groups)
    assert 0.15 < lit / len(groups) < 0.35
    sometimes, drawn, again = Nuisances(people=3, probability=0.5, covered=0.5, each=0.5), draws(), draws()
    before = draw_groups(6, 4, 5, sometimes, drawn)
    after = draw_groups(6, 4, 5, sometimes, again, backlit=0, eyes=EYES)
    for one, other in zip(before, after, strict=True):
        assert (one.cover, one.changes, one.pictures.tolist()) == (other.cover, other.changes, other.pictures.tolist())
    assert drawn.between(0, 1) == again.between(0, 1)


def test_nuisances_need_an_alignment() -> None:
    with pytest.raises(TrainingError, match="nuisances need aligned pictures"):
        replace(SMALL_PEOPLE, nuisances=Nuisances())


def test_backlit_groups_need_nuisances() -> None:
    with pytest.raises(TrainingError, match="add nuisances"):
        replace(EXPERIMENT_6, nuisances=None, backlit=0.1)
