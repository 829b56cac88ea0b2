"""Variants of experiments record what they change, and their names say so."""

import json
from dataclasses import replace

import pytest

from model.checkpoint import ChangedValue
from model.errors import TrainingError
from training.learning.experiment import Start
from training.learning.experiments import EXPERIMENT_5, EXPERIMENT_7, EXPERIMENTS, SMOKE
from training.learning.variants import changed_values, variant_of


def test_values_that_differ_are_found_field_by_field() -> None:
    augmentation = SMOKE.augmentation
    assert augmentation
    changed = replace(
        SMOKE,
        epochs=3,
        network=SMOKE.network.model_copy(update={"channels": (4, 4, 8, 16)}),
        augmentation=replace(augmentation, rotation_deg=5.0),
    )
    assert list(changed_values(SMOKE, changed)) == [
        ChangedValue(field="network.channels", named="[4, 4, 8, 8]", value="[4, 4, 8, 16]"),
        ChangedValue(field="augmentation.rotation_deg", named="15.0", value="5.0"),
        ChangedValue(field="epochs", named="2", value="3"),
    ]


def test_a_part_that_is_left_out_is_one_value() -> None:
    [found] = changed_values(EXPERIMENT_7, replace(EXPERIMENT_7, nuisances=None))
    assert (found.field, found.value) == ("nuisances", "null")
    assert json.loads(found.named) == {"people": 24, "probability": 0.4, "covered": 0.3, "each": 0.22}


def test_name_and_seed_are_no_changes() -> None:
    assert variant_of(SMOKE, replace(SMOKE, name="mine", seed=3)).changes is None
    assert variant_of(SMOKE, SMOKE) == SMOKE


def test_the_name_says_what_is_changed() -> None:
    assert variant_of(SMOKE, replace(SMOKE, epochs=3, learning_rate=1e-4)).name == "smoke-epochs3-learning_rate0.0001"
    start = Start(checkpoint="experiment-7", embedding_sha256="0" * 64)
    started = variant_of(EXPERIMENT_7, replace(EXPERIMENT_7, start=start, freeze=("stem", "stage1")))
    assert started.name == "experiment-7-from-experiment-7-freeze_stem_stage1"
    assert variant_of(SMOKE, replace(SMOKE, name="mine", epochs=3)).name == "mine"
    every = replace(
        EXPERIMENT_5, people=3, pictures=3, singles=3, virtual=3, temperature=0.3, classifier_weight=0.3,
        classifier_scale=3.0,
    )  # fmt: skip
    assert variant_of(EXPERIMENT_5, every).name == "experiment-5-with-7-changes"
    assert variant_of(EXPERIMENT_5, every).name not in EXPERIMENTS


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(TrainingError, match=r"must be (positive|finite)"):
        replace(SMOKE, learning_rate=value)
    augmentation = SMOKE.augmentation
    assert augmentation
    with pytest.raises(TrainingError, match="smoke: every number must be finite"):
        replace(SMOKE, augmentation=replace(augmentation, rotation_deg=value))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a b", "-x"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(TrainingError, match="--name"):
        variant_of(SMOKE, replace(SMOKE, name=name))
