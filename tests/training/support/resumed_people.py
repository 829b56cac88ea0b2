"""`torchrun -m tests.training.support.resumed_people DATA OUT`: resumes the run in OUT/killed, and trains OUT/whole.

DATA has drawn people, and DATA/cache their prepared pictures.
"""

import sys
from pathlib import Path
from unittest.mock import patch

import torch

from tests.training.support.people_command import SHARDED, draw_no_curves
from tests.training.support.small_people import album_of, data_of
from training.learning import history, loop, parallel

CPU = torch.device("cpu")


def main() -> None:
    torch.set_num_threads(1)
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    with parallel.process_group(CPU), patch.object(history, "draw_curves", draw_no_curves):
        data = data_of(album_of(source, source / "cache"))
        loop.train(SHARDED, data, out / "killed", CPU, resume=True)
        loop.train(SHARDED, data, out / "whole", CPU)


if __name__ == "__main__":
    main()
