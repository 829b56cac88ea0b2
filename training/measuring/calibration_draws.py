"""What a calibration on some people of a folder does on its other people, over random draws.

N pictures, D embedding
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from model.arrays import Embeddings
from model.checkpoint import Checkpoint, Header
from model.errors import DataError
from model.networks.face_network import FaceNetwork
from model.similarity import Calibration, similarity
from training import scoring
from training.data import datasets, lists
from training.data.album import Album, PairSet, owners
from training.data.source import DataSource
from training.measuring import copies, samples
from training.measuring.variants import held_out_rule
from training.statistics import operating_points, rates

# The rate whose threshold is calibrated.
WANTED = "fmr_1e-2"
SEED = 0
NO_PAIRS = PairSet(
    left=torch.tensor([], dtype=torch.int64), right=torch.tensor([], dtype=torch.int64), same=torch.tensor([])
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How people are drawn. Those who are not drawn are the others, with all their pictures."""

    people: int
    every_picture: bool
    draws: int


class Spread(BaseModel):
    """One figure over the draws: its mean, standard deviation, and the range of the middle 90%."""

    model_config = ConfigDict(frozen=True)

    mean: float
    deviation: float
    low: float
    high: float


class Outcome(BaseModel):
    """On the others, at the threshold for 1% of the people drawn: false match and non-match rate; and the area.

    `supported` is the share of draws in which `calibrate` writes this operating point.
    """

    model_config = ConfigDict(frozen=True)

    fmr: Spread
    fnmr: Spread
    area: Spread
    supported: float


class Draws(BaseModel):
    """The figures of one folder; `shipped` at the checkpoint's own threshold for 1%, on the same others."""

    model_config = ConfigDict(frozen=True)

    name: str
    checkpoint_sha256: str
    images: str
    data_sha256: str
    people: int
    pictures: int
    rule: dict[str, int | bool]
    length: float
    shipped: Outcome | None
    shipped_centred: Outcome | None
    plain: Outcome
    centred: Outcome


Row = tuple[float, float, float, bool]


def held_out_people(header: Header, source: DataSource) -> Collection[str]:
    """The names that the checkpoint's run held out of the list of training people. Raises DataError."""
    listed = lists.read_people(source.folder / source.train_people)
    people = {name: torch.arange(count) for name, count in listed.items()}
    return set(datasets.hold_out(people, held_out_rule(header))[1])


def measure_draws(
    checkpoint: Checkpoint,
    network: FaceNetwork,
    album: Album,
    rule: Rule,
    chosen: Collection[str] | None = None,
    *,
    images: str = "",
) -> Draws:
    """Draws people of the album (only those `chosen`), calibrates on them, and measures on the others.

    Of identical pictures only the first counts. `network` is the checkpoint's without calibration. Raises DataError if
    the network has no embeddings of length 1, or there are too few people.
    """
    header = checkpoint.header
    if not network.unit_length:
        raise DataError(f"{header.name}: has no embeddings of length 1; take a network that learned from people")
    distinct = copies.distinct_pictures(album)
    people = lists.pictures_at_hand({name for name, _ in album.keys} if chosen is None else chosen, album)
    people = {name: kept for name, each in people.items() if len(kept := each[torch.isin(each, distinct)])}
    if len(people) < rule.people + 2:
        raise DataError(
            f"{images}: has {len(people)} people; at least {rule.people + 2} are needed for --people {rule.people}"
        )
    pictures, owner = owners(people)
    embeddings, numbers = scoring.embed_all(network, album, pictures).cpu().numpy(), owner.numpy()
    draws = np.random.default_rng(SEED)
    shipped = next((point.threshold for point in header.operating_points if point.name == WANTED), None)
    rows: dict[str, list[Row]] = {kind: [] for kind in ("shipped", "shipped_centred", "plain", "centred")}
    for _ in range(rule.draws):
        drawn = draws.permutation(len(people))[: rule.people]
        inside = np.isin(numbers, drawn)
        used = np.flatnonzero(inside) if rule.every_picture else _one_each(numbers, drawn, draws)
        here = samples.Sample(embeddings=embeddings[used], owner=owner[used], pairs=NO_PAIRS, every=True)
        mean = samples.mean_of_people(here.embeddings, here.owner)
        for suffix, scored, fitted in (
            ("", here.score(network, Calibration()), Calibration()),
            ("_centred", here.score_without_own_mean(network), Calibration(mean=mean)),
        ):
            there = _score(network, fitted, embeddings[~inside], numbers[~inside])
            threshold, written = _threshold(scored)
            rows[suffix[1:] or "plain"].append((*_rates(there, threshold), written))
            if shipped is not None:
                rows[f"shipped{suffix}"].append((*_rates(there, shipped), True))
    return Draws(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        images=images,
        data_sha256=album.sha256,
        people=len(people),
        pictures=len(pictures),
        rule=asdict(rule),
        length=samples.mean_length(embeddings, owner),
        shipped=_outcome(rows["shipped"]) if shipped is not None else None,
        shipped_centred=_outcome(rows["shipped_centred"]) if shipped is not None else None,
        plain=_outcome(rows["plain"]),
        centred=_outcome(rows["centred"]),
    )


@dataclass(frozen=True, kw_only=True)
class _Similarities:
    genuine: rates.Scores
    impostor: rates.Scores


def _one_each(owner: NDArray[np.int64], people: NDArray[np.int64], draws: np.random.Generator) -> NDArray[np.int64]:
    return np.array([draws.choice(np.flatnonzero(owner == person)) for person in people])


def _threshold(scored: samples.Scored) -> tuple[float, bool]:
    """The threshold for `WANTED`, and whether `calibrate` would write it."""
    strangers = similarity(scored.impostor)
    found = operating_points.operating_points(strangers, scored.left, scored.right, "")
    supported, _ = operating_points.supported(found, scored.left, scored.right)
    threshold = operating_points.lowest_threshold(strangers, operating_points.WANTED[WANTED])
    return 1.0 if threshold is None else threshold, WANTED in {point.name for point in supported}


def _score(
    network: FaceNetwork, fitted: Calibration, embeddings: Embeddings, owner: NDArray[np.int64]
) -> _Similarities:
    rows = torch.from_numpy(fitted.centre(embeddings)).to(next(network.parameters()).device)
    found = scoring.score_all(network, rows, torch.from_numpy(owner))
    return _Similarities(
        genuine=similarity(found.genuine.astype(np.float64)),
        impostor=similarity(found.impostor.astype(np.float64)),
    )


def _rates(there: _Similarities, threshold: float) -> tuple[float, float, float]:
    """FMR, FNMR and area under ROC; the last two are NaN without genuine pairs."""
    fmr = float((there.impostor >= threshold).mean())
    if not len(there.genuine):
        return fmr, np.nan, np.nan
    scores = np.concatenate([there.genuine, there.impostor])
    area = rates.area_under_roc(scores, np.arange(len(scores)) < len(there.genuine))
    return fmr, float((there.genuine < threshold).mean()), area


def _outcome(rows: list[Row]) -> Outcome:
    columns = np.array(rows, dtype=np.float64).T
    fmr, fnmr, area = (_spread(column) for column in columns[:3])
    return Outcome(fmr=fmr, fnmr=fnmr, area=area, supported=float(columns[3].mean()))


def _spread(values: NDArray[np.float64]) -> Spread:
    low, high = np.percentile(values, [5, 95])
    return Spread(mean=float(values.mean()), deviation=float(values.std()), low=float(low), high=float(high))


def format_draws(found: Draws) -> str:
    """The figures as lines."""
    each = "all pictures" if found.rule["every_picture"] else "one picture"
    lines = [
        f"{found.pictures:,} pictures of {found.people} people of {found.images}, whose mean embedding has length "
        f"{found.length:.2f}; {found.rule['draws']} draws of {found.rule['people']} people, {each} each, measured on "
        "all pictures of the others; threshold for 1%"
    ]
    kinds = {
        "as shipped": found.shipped,
        "as shipped, centred": found.shipped_centred,
        "calibrated": found.plain,
        "calibrated, centred": found.centred,
    }
    for kind, outcome in kinds.items():
        if outcome:
            lines.append(
                f"{kind:<20} FMR {_percent(outcome.fmr)}  FNMR {_percent(outcome.fnmr)}  area {outcome.area.mean:.4f}"
                + ("" if kind.startswith("as shipped") else f"  written in {outcome.supported:.0%} of draws")
            )
    return "\n".join(lines)


def _percent(spread: Spread) -> str:
    return f"{spread.mean:.2%} (sd {spread.deviation:.2%}, 5 to 95%: {spread.low:.2%} to {spread.high:.2%})"
