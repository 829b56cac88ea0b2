"""Where a checkpoint comes from: its experiment, its data, and the code that trained and measured it."""

import json
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from model import __version__
from model.checkpoint import Provenance
from training.data.pair_data import AnyData
from training.learning.experiments import AnyExperiment
from training.learning.loop import Trained


def provenance_of(experiment: AnyExperiment, trained: Trained, data: AnyData, code: str) -> Provenance:
    """A finished run's, as its checkpoint keeps it; `code` is the code that measured."""
    return Provenance(
        experiment=as_json(experiment),
        seed=experiment.seed,
        epochs=trained.epoch,
        data_sha256=data.album.sha256,
        pairs_sha256=data.pairs_sha256,
        validation_pairs_sharing_people=data.sharing_people,
        code_version=trained.code_version,
        measured_with=code,
        torch_version=str(torch.__version__),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def as_json(experiment: AnyExperiment) -> str:
    """An experiment as a checkpoint's provenance has it; network and preprocessing stand elsewhere in the header."""
    return json.dumps({**asdict(experiment), "network": None, "preprocessing": None})


def code_version() -> str:
    """The commit that the code is at, marked `-dirty` if it was changed since; the package's version outside git."""
    root = Path(__file__).parents[2]
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")) != root.resolve():  # another project's, around this one
            return __version__
        return _git(root, "describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return __version__


def _git(folder: Path, *command: str) -> str:
    line = ["git", "-C", str(folder), *command]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
