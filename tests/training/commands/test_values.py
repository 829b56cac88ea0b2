"""Every value of an experiment is an option of `run`, made from the frozen value."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import pytest
from pydantic import BaseModel

from model.errors import TrainingError
from training.__main__ import _parser
from training.commands.values import DERIVED, describe_values, with_values
from training.learning.experiments import EXPERIMENT_5, EXPERIMENT_7, EXPERIMENTS, SMOKE
from training.people.nuisances import Nuisances


def leaves(value: object, path: str = "") -> Iterator[str]:
    """The dotted name of every value inside, by recursion; None stands for itself."""
    if isinstance(value, BaseModel):
        inner = {name: getattr(value, name) for name in type(value).model_fields}
    elif is_dataclass(value):
        inner = {each.name: getattr(value, each.name) for each in fields(value)}
    elif isinstance(value, tuple) and any(map(is_dataclass, value)):
        inner = {str(number): each for number, each in enumerate(value)}
    else:
        yield path
        return
    for name, each in inner.items():
        if path or name not in DERIVED:
            yield from leaves(each, f"{path}.{name}" if path else name)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_value_is_an_option(name: str) -> None:
    listed = set(re.findall(r"--([\w.-]+)", describe_values(EXPERIMENTS[name])))
    experiment = EXPERIMENTS[name]
    # A part that the experiment lacks is not listed: naming a value inside it adds the part.
    expected = {leaf.replace("_", "-") for leaf in leaves(experiment)}
    absent = {
        leaf
        for leaf in expected
        if leaf.rpartition(".")[2] in ("augmentation", "nuisances", "teaching", "colour", "alignment")
    }
    assert expected - listed <= absent
    assert {"epochs", "learning-rate", "precision", "seed", "freeze", "network.channels"} <= listed


def test_no_value_has_the_name_of_another_option() -> None:
    """`--seed` alone is both, with the same meaning."""
    shown = _parser().parse_known_args(["run", "smoke"])[0]
    taken = {name for name in vars(shown) if name not in ("seed", "experiment")}
    for experiment in (SMOKE, EXPERIMENT_7):
        assert not taken & {each.name for each in fields(experiment)} - {"start"}


def test_values_are_changed_in_the_value_alone() -> None:
    arguments = ["--epochs", "3", "--network.channels", "4", "4", "8", "16", "--patience-epochs", "1"]
    changed = with_values(SMOKE, [*arguments, "--augmentation.rotation-deg=5"], EXPERIMENTS)
    assert (changed.epochs, changed.network.channels, changed.patience_epochs) == (3, (4, 4, 8, 16), 1)
    assert changed.augmentation
    assert (changed.augmentation.rotation_deg, changed.augmentation.contrast) == (5.0, 0.2)
    assert (changed.batch_pairs, changed.preprocessing) == (SMOKE.batch_pairs, SMOKE.preprocessing)
    assert with_values(SMOKE, [], EXPERIMENTS) is SMOKE


def test_parts_are_left_out_and_added() -> None:
    assert with_values(EXPERIMENT_7, ["--nuisances", "None"], EXPERIMENTS).nuisances is None
    assert with_values(EXPERIMENT_5, ["--nuisances.people", "3"], EXPERIMENTS).nuisances == Nuisances(people=3)
    plain = with_values(EXPERIMENT_5, ["--augmentation.colour", "None"], EXPERIMENTS)
    assert plain.augmentation.colour is None
    assert plain.augmentation.rotation_deg == EXPERIMENT_5.augmentation.rotation_deg


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch", "3"], "unrecognized arguments: --epoch 3; `python -m training run smoke --help` lists all"),
        (["stray"], "unrecognized arguments: stray;"),
        (["--epochs", "1.5"], "smoke: Error parsing --epochs: invalid literal for int"),
        (["--epochs"], "smoke: Missing value for argument '--epochs'"),
        (["--epochs", "-3"], "smoke: epochs, batch_pairs, .* must be positive"),
        (["--precision", "int8"], "smoke: invalid choice 'int8' for argument '--precision'"),
        (["--network.dropout", "2"], "smoke: Error parsing network: .* dropout Input should be less than 1"),
        (["--network.side-px", "70"], "smoke: the network and the preprocessing disagree on side_px"),
        (["--preprocessing.alignment.refinement", "smooth"], "--preprocessing.alignment: the experiment has none"),
        (["--name", "experiment-5"], "--name experiment-5: is the name of an experiment"),
        (["--name=smoke", "--epochs", "3"], "--name smoke: is the name of an experiment"),
        (["--learning-rate", "nan"], "smoke: epochs, batch_pairs, learning_rate, .* must be positive"),
        (["--decay-factor", "nan"], "smoke: decay_factor must be positive"),
        (["--freeze", "stage1"], "smoke: freeze keeps the weights of a checkpoint; add --start-from CHECKPOINT"),
    ],
)
def test_a_wrong_value_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        with_values(SMOKE, arguments, EXPERIMENTS)
    assert "\n" not in str(caught.value)
    assert "│" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature", "nan"], "temperature must be positive"),
        (["--weight-decay", "-1"], "singles, virtual and weight_decay must not be negative"),
        (["--nuisances.people", "0"], "nuisances: people must be positive"),
        (["--nuisances.probability", "7"], "nuisances: .* lie between 0 and 1"),
        (["--augmentation.erase", "0.9", "0.1"], "augmentation: .* erase has the lower share first"),
    ],
)
def test_a_value_that_people_cannot_be_learned_with_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        with_values(EXPERIMENT_7, arguments, EXPERIMENTS)
