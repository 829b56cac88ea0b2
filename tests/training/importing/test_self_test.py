"""The test of a declaration on a network that sees only the red channel of crops in their right size.

What tells people apart is in the red channel; green and blue are noise. Crops of another zoom are noisier.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import helper

from model.errors import DataError
from model.onnx.embedder import open_runner
from model.onnx.trial import GraphInput
from tests.model.support.onnx_graphs import config_of, model_bytes
from training.importing import self_test
from training.importing.families import FAMILIES, VALUES, Declaration
from training.importing.self_test import (
    Row,
    Sides,
    better_than_declared,
    compare,
    draw_people,
    format_rows,
    maybe_better_than_declared,
    run_self_test,
)

SIDE_PX, PEOPLE, DRAWS = 16, 60, 20
ENTRY = GraphInput(name="x", layout="nchw", channels=3, side_px=SIDE_PX, batch="any")
# The graph subtracts and multiplies itself, so it wants 0 to 255.
RIGHT = replace(FAMILIES["mobilefacenet"], side_px=SIDE_PX, values=VALUES["levels"])
WRONG = {
    "blue first": replace(RIGHT, order="bgr"),
    "normalised twice": replace(RIGHT, values=VALUES["centred-128"]),
    "too wide": replace(RIGHT, zoom=1.15),
    "too narrow": replace(RIGHT, zoom=1 / 1.15),
    "blue first and normalised twice": replace(RIGHT, order="bgr", values=VALUES["centred-128"]),
}


def red_network() -> bytes:
    """Crops -> the red channel, in patches, from -1 to 1, as far as it is above 0."""
    weights = {
        "middle": np.array(127.5, np.float32), "scale": np.array(1 / 128, np.float32),
        "red": np.array([[[[1.0]], [[0.0]], [[0.0]]]], np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Sub", ["x", "middle"], ["apart"]),
        helper.make_node("Mul", ["apart", "scale"], ["normal"]),
        helper.make_node("Conv", ["normal", "red"], ["plane"]),
        helper.make_node("AveragePool", ["plane"], ["patches"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Relu", ["patches"], ["active"]),
        helper.make_node("Flatten", ["active"], ["embedding"]),
    ]
    return model_bytes(nodes, weights, {"x": ["N", 3, SIDE_PX, SIDE_PX]}, {"embedding": ["N", 64]})


GRAPH = red_network()


def crops_of(seed: int) -> self_test.CropsOf:
    """Crops of drawn people, two of each."""

    def make(way: Declaration) -> Sides:
        draws = np.random.default_rng(seed)
        people = draws.normal(130, 40, (PEOPLE, SIDE_PX // 2, SIDE_PX // 2)).repeat(2, axis=1).repeat(2, axis=2)
        noise = 25 + 150 * abs(np.log(way.zoom))
        sides = []
        for _ in range(2):
            pixels = draws.normal(130, 40, (PEOPLE, SIDE_PX, SIDE_PX, 3))
            pixels[..., 0] = people + draws.normal(0, 1, people.shape) * noise
            sides.append(pixels.clip(0, 255).astype(np.uint8))
        return sides[0], sides[1]

    return make


def run(declared: Declaration, seed: int) -> list[Row]:
    config = config_of(GRAPH, side_px=SIDE_PX, dimension=64, channel_order=declared.order)
    return run_self_test(declared, ENTRY, open_runner(config, GRAPH, "openvino"), crops_of(seed))


def test_the_right_declaration_passes_on_every_draw_of_people() -> None:
    for seed in range(DRAWS):
        rows = run(RIGHT, seed)
        assert rows[0].declaration == RIGHT
        assert better_than_declared(rows) is None, format_rows(rows, PEOPLE)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_declaration_fails_on_every_draw_of_people_and_the_right_one_is_named(name: str) -> None:
    for seed in range(DRAWS if name in ("blue first", "normalised twice") else 3):
        better = better_than_declared(run(WRONG[name], seed))
        assert better
        found = better.declaration
        assert (found.order, found.values) == (RIGHT.order, RIGHT.values)
        assert found.zoom == pytest.approx(1)


def test_a_table_shows_every_way_once() -> None:
    rows = run(RIGHT, 0)
    names = [row.name for row in rows]
    assert names[0] == "rgb, levels, zoom 1"
    assert len(set(names)) == len(names) == 2 * 4 + 2
    lines = format_rows(rows, PEOPLE).splitlines()
    assert lines[0].startswith(f"{PEOPLE} people with two pictures each")
    assert lines[1].endswith("as declared")
    assert len(lines) == 1 + len(rows)


def test_grey_networks_have_no_order_of_colours() -> None:
    grey = replace(ENTRY, channels=1)
    assert {way.order for way in self_test._ways(RIGHT, grey)} == {"rgb"}


def test_values_are_alike_only_if_they_make_nearly_the_same_numbers() -> None:
    assert self_test._alike(VALUES["centred"], VALUES["centred-128"])
    # A mean and a deviation of half a grey level are no levels.
    half = (0.5 / 255, 0.5 / 255)
    assert not any(self_test._alike(each, half) or self_test._alike(half, each) for each in VALUES.values())
    assert VALUES["levels"] in {way.values for way in self_test._ways(replace(RIGHT, values=half), ENTRY)}


def test_a_gain_that_few_people_leave_open_is_said() -> None:
    declared, draws = np.full(1001, 5.0), np.random.default_rng(0)
    unsure = compare(RIGHT, declared * np.r_[1.05, draws.normal(1.05, 0.05, 1000)], declared)
    assert (unsure.better, unsure.maybe_better) == (False, True)
    sure = compare(RIGHT, declared * 1.05, declared)
    assert (sure.better, sure.maybe_better) == (True, False)
    first = compare(RIGHT, declared, declared)
    assert maybe_better_than_declared([first, sure, unsure]) == unsure
    assert maybe_better_than_declared([first, sure]) is None


def test_a_gain_within_the_margin_is_no_fault() -> None:
    declared = np.full(1001, 5.0)
    assert not compare(RIGHT, declared * 1.029, declared).better
    assert compare(RIGHT, declared * 1.031, declared).better
    unsure = np.where(np.arange(1001) % 50 == 0, 4.9, 6.0)
    assert not compare(RIGHT, unsure, declared).better


def test_a_network_that_tells_nobody_apart_as_declared_is_compared() -> None:
    assert compare(RIGHT, np.full(1001, 3.0), np.zeros(1001)).better


def test_people_need_two_pictures() -> None:
    people = {f"P{number:03d}": torch.arange(2) + 2 * number for number in range(60)} | {"Alone": torch.tensor([200])}
    drawn = draw_people(people, 55)
    assert len(set(drawn)) == 55
    assert all(second == first + 1 for first, second in drawn)
    assert drawn != draw_people(people, 55, seed=1)
    with pytest.raises(DataError, match="needs 50 people with several pictures; there are 49"):
        draw_people(dict(list(people.items())[:49]))
