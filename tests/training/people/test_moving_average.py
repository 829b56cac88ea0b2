"""The moving average of the weights, compared with a slow loop."""

import torch
from torch import nn

from training.people.people_recipe import update_average


def layers(value: float) -> nn.Sequential:
    made = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for tensor in made.state_dict().values():
        tensor.fill_(int(value) if not tensor.is_floating_point() else value)
    return made


def test_average_equals_a_slow_loop() -> None:
    average, expected = layers(0.0), 0.0
    for step in range(50):
        update_average(average, layers(step + 1.0), 0.8, step)
        stays = min(0.8, (1 + step) / (10 + step))
        expected = stays * expected + (1 - stays) * (step + 1)
    state = average.state_dict()
    assert torch.allclose(state["0.weight"], torch.full((2, 2), expected))
    assert torch.allclose(state["1.running_var"], torch.full((2,), expected))
    assert int(state["1.num_batches_tracked"]) == 50


def test_first_weights_are_forgotten() -> None:
    average = layers(100.0)
    for step in range(30):
        update_average(average, layers(1.0), 0.998, step)
    assert torch.allclose(average.state_dict()["0.bias"], torch.ones(2), atol=1e-3)


def test_update_leaves_the_network_unchanged() -> None:
    network = layers(3.0)
    update_average(layers(0.0), network, 0.9, 7)
    assert all(bool((tensor == 3).all()) for tensor in network.state_dict().values())
