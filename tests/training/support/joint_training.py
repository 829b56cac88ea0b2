"""`torchrun -m tests.training.support.joint_training FOLDER`: what the tests compare between one process and two.

Each process writes a file with its rank as its name.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from model.errors import TrainingError
from training.data.album import Album, PairSet
from training.data.datasets import PairData
from training.learning import parallel
from training.learning.experiments import SMOKE
from training.learning.loop import run_epoch

CPU = torch.device("cpu")


def train_three_epochs() -> dict[str, Any]:
    """The rows of three epochs without batch normalisation, and the weights at their end."""
    with _double_precision():
        draws = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (16, 105, 105), generator=draws, dtype=torch.uint8)
        left, right = torch.randint(0, 16, (2, 23), generator=draws)
        pairs = PairSet(left=left, right=right, same=torch.randint(0, 2, (23,), generator=draws).double())
        album = Album(keys=[], pixels=pixels, sha256="", preprocessing=SMOKE.preprocessing)
        data = PairData(album=album, training=pairs, validation=pairs)
        network = SMOKE.network.model_copy(update={"batch_norm": False})
        experiment = replace(SMOKE, network=network, batch_pairs=8, weight_decay=1e-4)
        recipe = experiment.recipe(data, CPU)
        recipe.network.twin.register_forward_pre_hook(lambda _, images: (images[0].double(),))
        rows = [asdict(run_epoch(experiment, recipe, number, CPU)) for number in (1, 2, 3)]
        weights = {name: tensor.flatten().tolist() for name, tensor in recipe.network.state_dict().items()}
    return {"rows": rows, "weights": weights}


def read_and_share() -> dict[str, Any]:
    """What a process gets of what the first reads, and the error of a batch that is too small for two processes."""
    calls: list[int] = []

    def read() -> dict[str, Any]:
        calls.append(parallel.rank())
        return {"from": parallel.rank(), "tensor": torch.full((2,), parallel.rank())}

    value = parallel.from_first(read)
    refused = ""
    try:
        parallel.require_share_of(17, 16)
    except TrainingError as error:
        refused = str(error)
    parallel.require_share_of(18, 16)
    parallel.require_share_of(16, 16)
    return {"calls": calls, "from": value["from"], "tensor": value["tensor"].tolist(), "refused": refused}


@contextmanager
def _double_precision() -> Iterator[None]:
    """Adam amplifies float32's rounding where a gradient is nearly zero."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def main() -> None:
    torch.set_num_threads(1)
    with parallel.process_group(CPU):
        found = {**train_three_epochs(), **read_and_share()}
        Path(sys.argv[1], str(parallel.rank())).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
