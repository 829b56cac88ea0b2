"""Error rates of held-out people's pictures that are changed alike: strangers have the blur, light or cover in common.

K held-out pictures, M people, P validation pairs
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.networks import heads
from model.networks.calibrated import restore_calibrated
from model.networks.face_network import FaceNetwork
from model.similarity import OperatingPoint
from training import scoring
from training.data.album import Album, owners
from training.data.change import Change
from training.data.changed import ChangedPictures, prepare_changed
from training.data.changes import CHANGES, NONE
from training.data.datasets import PeopleData
from training.data.lists import read_people
from training.data.source import DataSource
from training.measuring.variants import held_out_rule, require_people
from training.runs.records import Measurement, Record
from training.statistics import operating_points, rates
from training.statistics.resampling import Owners


class PointUnderChange(Record):
    """What a threshold of the checkpoint does on changed pictures, with the FMR's 95% interval over people."""

    name: str
    threshold: float
    fmr: float
    interval: tuple[float, float]
    fnmr: float


class ChangeRates(Record):
    """The rates if all pictures have one change, and the accuracy if only the first picture of each pair has it.

    A face was found in `found` of `pictures`; `impostor` pairs are all pairs of strangers among those. FNMR and area
    are over the validation pairs whose faces were found, of which `genuine` are genuine. `accuracy_of_one` is over all
    validation pairs, at the default threshold; a pair without a face counts as wrong.
    """

    change: str
    pictures: int
    found: int
    impostor: int
    genuine: int
    area: float
    points: tuple[PointUnderChange, ...]
    accuracy_of_one: float
    accuracy_interval: tuple[float, float]


class SharedChanges(Measurement):
    """The rates under each change, over `people` held-out people and `pairs` validation pairs."""

    data_sha256: str
    people: int
    pairs: int
    changes: tuple[ChangeRates, ...]


def measure_shared_changes(
    checkpoint: Checkpoint,
    source: DataSource,
    album: Album,
    device: torch.device,
    changes: Sequence[Change] | None = None,
) -> SharedChanges:
    """The rates over the held-out people of a checkpoint's run: unchanged, then under each change, by default all.

    Raises DataError for other people than the run's.
    """
    header, path = checkpoint.header, source.folder / source.train_people
    data = PeopleData.of(album, path, read_people(path), held_out_rule(header))
    require_people(header, data)
    network = restore_calibrated(checkpoint).to(device)
    measured = _Measured(network, data, header.threshold.value, header.operating_points)
    found = [
        measured.under(change.name, prepare_changed(source, album, measured.keys, change, "shared"))
        for change in (NONE, *(CHANGES if changes is None else changes))
    ]
    return SharedChanges(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        data_sha256=album.sha256,
        people=len(data.held_out),
        pairs=len(data.validation),
        changes=tuple(found),
    )


class _Measured:
    """A network, and the held-out pictures (K,) of a data set with their people's numbers and validation pairs."""

    def __init__(
        self, network: FaceNetwork, data: PeopleData, threshold: float, points: Sequence[OperatingPoint]
    ) -> None:
        pictures, owner = owners(data.held_out)
        self.network = network
        self.keys = [data.album.keys[number] for number in pictures.tolist()]
        self.owner = owner.numpy()
        self.thresholds = {"default": threshold, **{point.name: point.threshold for point in points}}
        places = torch.full((len(data.album.keys),), -1)
        places[pictures] = torch.arange(len(pictures))
        self.left, self.right = places[data.validation.left].numpy(), places[data.validation.right].numpy()
        self.same = data.validation.same.bool().numpy()
        self.unchanged = scoring.embed_all(network, data.album, pictures)

    def under(self, name: str, changed: ChangedPictures) -> ChangeRates:
        places = changed.indices(self.keys)
        there = places >= 0
        embeddings = torch.zeros_like(self.unchanged)
        embeddings[torch.from_numpy(there)] = scoring.embed_all(
            self.network, changed.album, torch.from_numpy(places[there])
        )
        table = similarity_table(self.network, embeddings, embeddings)
        left, right = np.triu_indices(len(places), 1)
        wanted = (self.owner[left] != self.owner[right]) & there[left] & there[right]
        left, right = left[wanted], right[wanted]
        both = there[self.left] & there[self.right]
        scores, same = table[self.left, self.right][both], self.same[both]
        correct = rates.wilson(self._right_of_one(embeddings, there), len(self.same))
        return ChangeRates(
            change=name,
            pictures=len(places),
            found=int(there.sum()),
            impostor=len(left),
            genuine=int(same.sum()),
            area=rates.area_under_roc(scores, same),
            points=tuple(
                self._point(point, table[left, right], self.owner[left], self.owner[right], scores[same])
                for point in self.thresholds
            ),
            accuracy_of_one=correct.value,
            accuracy_interval=(correct.low, correct.high),
        )

    def _point(
        self, name: str, impostor: rates.Scores, left: Owners, right: Owners, genuine: rates.Scores
    ) -> PointUnderChange:
        threshold = self.thresholds[name]
        accepted = impostor >= threshold
        return PointUnderChange(
            name=name,
            threshold=threshold,
            fmr=float(accepted.mean()),
            interval=operating_points.rate_interval(accepted, left, right),
            fnmr=float((genuine < threshold).mean()),
        )

    @torch.no_grad()
    def _right_of_one(self, embeddings: torch.Tensor, there: NDArray[np.bool_]) -> int:
        """How many validation pairs are decided correctly if their first picture is changed."""
        logits = self.network.compare(embeddings[self.left], self.unchanged[self.right])
        scores = heads.similarity(logits).cpu().numpy()
        return int((((scores >= self.thresholds["default"]) == self.same) & there[self.left]).sum())


@torch.no_grad()
def similarity_table(network: FaceNetwork, left: torch.Tensor, right: torch.Tensor) -> NDArray[np.float64]:
    """Embeddings (A, D) and (B, D) -> the similarities of all pairs, float64 (A, B)."""
    rows = [network.logit_table(part, right) for part in left.split(scoring.ROWS)]
    return heads.similarity(torch.cat(rows)).double().cpu().numpy()


def format_shared_changes(found: SharedChanges) -> str:
    """A table, one line a change; FMR and FNMR at the default threshold and at the operating points."""
    points = [point.name for point in found.changes[0].points]
    lines = [
        f"{found.name}, pictures of {found.people} held-out people changed alike: FMR over all pairs of strangers,",
        f"FNMR over genuine validation pairs; one changed: accuracy over {found.pairs} validation pairs at the default",
        f"{'change':<16} {'found':>6} " + " ".join(f"{name:>16}" for name in points) + "   area  one changed",
        f"{'':<23} " + " ".join(f"{'FMR    FNMR':>16}" for _ in points),
    ]
    for each in found.changes:
        columns = " ".join(f"{point.fmr:>8.2%} {point.fnmr:>7.2%}" for point in each.points)
        first = f"{each.change:<16} {each.found / each.pictures:>6.1%}"
        lines.append(f"{first} {columns} {each.area:>6.4f} {each.accuracy_of_one:>12.1%}")
    return "\n".join(lines)
