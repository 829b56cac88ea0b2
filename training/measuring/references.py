"""Error rates with one and with several reference photographs of a person, at the threshold of an operating point.

K references, E enrolled people, M people, N pictures, R rounds
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from model.averaging import mean_embedding
from model.checkpoint import Checkpoint, Header
from model.errors import DataError
from model.networks import heads
from model.networks.calibrated import restore_calibrated
from model.networks.face_network import FaceNetwork
from model.similarity import OperatingPoint
from training import scoring
from training.data.album import Album, owners
from training.data.source import DataSource
from training.measuring.variants import held_out_rule, require_people
from training.runs.records import Measurement, Record
from training.statistics.resampling import draw_people

Method = Literal["mean", "best"]
COUNTS = (1, 2, 3, 5)
MAX_FMR = 0.01
# Which pictures are references is drawn this many times; a person has at most PROBES others in each.
DRAWS, PROBES = 20, 15


class RatesWith(Record):
    """The rates with that many references: their mean embedding ("mean"), or the highest of their scores ("best")."""

    references: int
    method: Method
    fnmr: float
    fnmr_interval: tuple[float, float]
    fmr: float
    fmr_interval: tuple[float, float]


class ReferenceRates(Measurement):
    """The rates over `draws` draws, each with `genuine` and `impostor` comparisons; 95% intervals over people."""

    threshold: float
    operating_point: str
    data_sha256: str
    people: int
    enrolled: int
    genuine: int
    impostor: int
    draws: int
    rates: tuple[RatesWith, ...]


@dataclass
class Tally:
    """Comparisons of an enrolled person's references with one person's pictures, int64 (E, M), over all draws."""

    accepted: NDArray[np.int64]
    compared: NDArray[np.int64]
    own: NDArray[np.bool_] = field(repr=False)
    """bool (E, M): whether both are the same person."""

    def fnmr(self, drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        """(R, M), how often each person is drawn in each round -> (R,) shares of own pictures that were refused."""
        weights = drawn @ self.own.T
        accepted, compared = (np.where(self.own, each, 0).sum(1) for each in (self.accepted, self.compared))
        return np.asarray(weights @ (compared - accepted) / (weights @ compared))

    def fmr(self, drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        """(R, M) -> (R,) shares of other people's pictures that were accepted."""
        left = drawn @ self.own.T
        accepted, compared = (np.where(self.own, 0, each) for each in (self.accepted, self.compared))
        return np.asarray(((left @ accepted) * drawn).sum(1) / ((left @ compared) * drawn).sum(1))


def measure_references(
    checkpoint: Checkpoint, source: DataSource, album: Album, device: torch.device
) -> ReferenceRates:
    """The rates over the held-out people of a checkpoint's run: those with more pictures than the most references.

    Raises DataError for other people than the run's, too few people, or a checkpoint without the operating point.
    """
    header = checkpoint.header
    point = _operating_point(header)
    data = source.people_data(album, held_out_rule(header))
    require_people(header, data)
    pictures, owner = owners(data.held_out)
    network = restore_calibrated(checkpoint).to(device)
    embeddings = scoring.embed_all(network, album, pictures)
    tallies = tally(network, embeddings, owner.numpy(), point.threshold, header.network.unit_parts)
    one = next(iter(tallies.values()))
    return ReferenceRates(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        threshold=point.threshold,
        operating_point=point.name,
        data_sha256=album.sha256,
        people=one.own.shape[1],
        enrolled=one.own.shape[0],
        genuine=int(one.compared[one.own].sum()) // DRAWS,
        impostor=int(one.compared[~one.own].sum()) // DRAWS,
        draws=DRAWS,
        rates=tuple(_rates_with(*key, each) for key, each in tallies.items()),
    )


@torch.no_grad()
def tally(
    network: FaceNetwork,
    embeddings: torch.Tensor,
    owner: NDArray[np.int64],
    threshold: float,
    unit_parts: Sequence[int],
) -> dict[tuple[int, Method], Tally]:
    """Embeddings float32 (N, D) and people int64 (N,), numbered from 0 -> what was accepted, by K and method.

    For every K the people and the pictures that are compared are the same. Raises DataError if there are too few.
    """
    people, most = int(owner.max()) + 1, max(COUNTS)
    enrolled = np.flatnonzero(np.bincount(owner) > most)
    if not len(enrolled) or people < 2:
        raise DataError(f"nobody can be enrolled: at least one person with {most + 1} pictures, and another, is needed")
    own = enrolled[:, None] == np.arange(people)
    shape = own.shape
    found: dict[tuple[int, Method], Tally] = {}
    draws = np.random.default_rng(0)
    rows = embeddings.cpu().numpy()
    columns = np.eye(people, dtype=np.int64)[owner]
    for _ in range(DRAWS):
        orders = [draws.permutation(np.flatnonzero(owner == person)) for person in enrolled]
        used = owner != enrolled[:, None]  # (E, N): which pictures each person's references are compared with
        for row, order in enumerate(orders):
            used[row, order[most : most + PROBES]] = True
        for count in COUNTS:
            means = np.stack([mean_embedding(rows[order[:count]], unit_parts) for order in orders])
            single = [rows[[order[place] for order in orders]] for place in range(count)]
            sides: dict[Method, list[NDArray[np.float32]]] = {"mean": [means], "best": single}
            for method, references in sides.items():
                logits = [network.logit_table(torch.from_numpy(each).to(embeddings), embeddings) for each in references]
                scores = heads.similarity(torch.stack(logits).amax(0)).cpu().numpy()
                each = found.setdefault((count, method), Tally(np.zeros(shape, int), np.zeros(shape, int), own))
                each.accepted += (used & (scores >= threshold)) @ columns
                each.compared += used @ columns
    return found


def _operating_point(header: Header) -> OperatingPoint:
    for point in header.operating_points:
        if point.max_fmr == MAX_FMR:
            return point
    raise DataError(f"{header.name}: has no operating point for an FMR of {MAX_FMR:.0%}")


def _rates_with(references: int, method: Method, found: Tally) -> RatesWith:
    people = found.own.shape[1]
    rounds, once = draw_people(people), np.ones((1, people), dtype=np.int64)
    rounds = rounds[(rounds @ found.own.T).any(1) & ((rounds > 0).sum(1) > 1)]
    (fnmr_low, fnmr_high), (fmr_low, fmr_high) = (
        np.percentile(rate(rounds), [2.5, 97.5]).tolist() for rate in (found.fnmr, found.fmr)
    )
    return RatesWith(
        references=references,
        method=method,
        fnmr=float(found.fnmr(once)[0]),
        fnmr_interval=(fnmr_low, fnmr_high),
        fmr=float(found.fmr(once)[0]),
        fmr_interval=(fmr_low, fmr_high),
    )


def format_references(found: ReferenceRates) -> str:
    lines = [
        f"{found.name} at {found.threshold:.4f} ({found.operating_point}), {found.enrolled} of {found.people} held-out "
        f"people enrolled: {found.genuine:,} genuine and {found.impostor:,} impostor comparisons, {found.draws} draws",
        "references  method   FNMR  95%               FMR   95%",
    ]
    for each in found.rates:
        fnmr, fmr = (" to ".join(f"{end:.2%}" for end in ends) for ends in (each.fnmr_interval, each.fmr_interval))
        lines.append(f"{each.references:>10}  {each.method:<6} {each.fnmr:>6.2%}  {fnmr:<16} {each.fmr:>6.2%}  {fmr}")
    return "\n".join(lines)
