"""Measures variants of a checkpoint: on other pictures, or without flip averaging or the fitted head."""

import json
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import ValidationError

from model.checkpoint import Checkpoint, Header
from model.errors import DataError
from model.networks import architecture, configurations, residual
from model.networks.calibrated import restore_calibrated
from training import fitting, scoring
from training.data import datasets, lists
from training.data.album import Album, PairSet
from training.data.source import DataSource
from training.runs.records import Variant
from training.statistics import resampling, summary

Part = Literal["flip", "head"]
WITHOUT: dict[Part, tuple[dict[str, object], str]] = {
    "flip": ({"flip_average": False}, "no flip averaging"),
    "head": ({"head": "cosine"}, "the cosine instead of the fitted head"),
}


def measure_variant(
    checkpoint: Checkpoint,
    parts: Sequence[Part],
    source: DataSource,
    album: Album,
    test: PairSet,
    device: torch.device,
) -> Variant:
    """Scores the pairs `test` without those parts. Raises DataError if a part cannot be left out."""
    header = checkpoint.header
    network, threshold = restore_calibrated(checkpoint).to(device), header.threshold.value
    if parts:
        data = source.people_data(album, held_out_rule(header))
        network, threshold = leave_out(checkpoint, parts, data, device)
    scores, same = scoring.score_pairs(network, album, test)
    people = resampling.numbered(test.names_of(album.keys))
    measured = summary.measure("test", scores, same, threshold, people=people)
    whole = "the largest face of each picture" if source.face == "largest" else ""
    return Variant(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        what=", ".join(WITHOUT[part][1] for part in parts) or whole,
        images=source.images,
        pairs_list=source.describe_list("test_pairs"),
        data_sha256=album.sha256,
        left_out=_left_out(source, test),
        threshold=threshold,
        metrics=measured.for_checkpoint(calibrated=network.calibrated),
        over_people=measured.over_people,
    )


def _left_out(source: DataSource, test: PairSet) -> int:
    path = source.find_list("test_pairs")
    return len(lists.read_pairs(path)) - len(test) if path else 0


def held_out_rule(header: Header) -> datasets.HoldOut:
    """The rule by which people were held out for the checkpoint. Raises DataError if none were."""
    rule = json.loads(header.provenance.experiment).get("held_out")
    if rule is None:
        raise DataError(
            f"{header.name}: no people were held out, as for networks that learned from pairs; take one that learned "
            "from people, or that was imported with enough of them"
        )
    return datasets.HoldOut(**rule)


def require_own_people(header: Header, data: datasets.PeopleData) -> None:
    """Raises DataError unless these are the pictures and people that the checkpoint's run trained on and held out."""
    # With others, the threshold could be chosen on people of the training or of the test.
    if data.album.sha256 != header.provenance.data_sha256:
        raise DataError(f"{header.name}: was trained on other pictures; name them with --data and --images")
    require_people(header, data)


def require_people(header: Header, data: datasets.PeopleData) -> None:
    """Raises DataError unless these are the people that the checkpoint's run trained on and held out."""
    if data.pairs_sha256 != header.provenance.pairs_sha256:
        raise DataError(f"{header.name}: was trained on another list of people; name it with --train-people")


def leave_out(
    checkpoint: Checkpoint, parts: Sequence[Part], data: datasets.PeopleData, device: torch.device
) -> tuple[residual.ResidualNetwork, float]:
    """The network without those parts, its head fitted again (of `fused` the towers' part), and its threshold.

    Raises DataError if the network has no such part, or needs it.
    """
    require_own_people(checkpoint.header, data)
    if checkpoint.header.network.runtime != "own":
        raise DataError(f"{checkpoint.header.name}: parts of a network from elsewhere cannot be left out")
    before = checkpoint.header.network.model_dump()
    changes = {name: value for part in parts for name, value in WITHOUT[part][0].items()}
    for name, value in changes.items():
        if before[name] == value:
            raise DataError(f"{checkpoint.header.name}: already has {name} {value}; there is nothing to leave out")
    try:
        config = configurations.ResidualConfig(**before | changes)
    except ValidationError as error:  # as a thumbnail, which a cosine cannot weigh
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise DataError(f"{checkpoint.header.name}: cannot leave out {', '.join(parts)}: {reason}") from error
    network = residual.ResidualNetwork(config).requires_grad_(False)
    tensors = architecture.restore(checkpoint).state_dict()
    kept = {name: tensor for name, tensor in tensors.items() if "head" not in changes or not name.startswith("head.")}
    network.load_state_dict(kept, strict="head" not in changes)
    network.to(device)
    fitting.fit_head(network, data)
    return network, fitting.even_odds(len(data.validation)).value
