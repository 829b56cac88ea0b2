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
from training.data.album import Album, owners
from training.data.source import DataSource
from training.measuring import copies, recalibration, samples
from training.measuring.variants import held_out_rule
from training.statistics import operating_points, rates

# The rate whose threshold is calibrated.
WANTED = "fmr_1e-2"


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
    """The figures of one folder; `shipped` at the checkpoint's own threshold for 1%, on the same others.

    `half` is at a similarity of 0.5, and `refitted` at 0.5 after scale and bias were fitted to those drawn, both None
    if they have too few genuine pairs.
    """

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
    half: Outcome | None
    refitted: Outcome | None
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
    the network has no embeddings of length 1 or is calibrated, or there are too few people.
    """
    header = checkpoint.header
    if not network.unit_length:
        raise DataError(f"{header.name}: has no embeddings of length 1; take a network that learned from people")
    if header.calibration != Calibration():
        raise DataError(f"{header.name}: is calibrated already; take the checkpoint that it was made from")
    distinct = copies.distinct_pictures(album)
    people = lists.pictures_at_hand({name for name, _ in album.keys} if chosen is None else chosen, album)
    people = {name: kept for name, each in people.items() if len(kept := each[torch.isin(each, distinct)])}
    if len(people) < rule.people + 2:
        raise DataError(
            f"{images}: has {len(people)} people; at least {rule.people + 2} are needed for --people {rule.people}"
        )
    pictures, owner = owners(people)
    embeddings, numbers = scoring.embed_all(network, album, pictures).cpu().numpy(), owner.numpy()
    draws = np.random.default_rng(0)
    shipped = next((point.threshold for point in header.operating_points if point.name == WANTED), None)
    rows: dict[str, list[Row]] = {
        kind: [] for kind in ("shipped", "shipped_centred", "plain", "centred", "half", "refitted")
    }
    for _ in range(rule.draws):
        drawn = draws.permutation(len(people))[: rule.people]
        inside = np.isin(numbers, drawn)
        used = np.flatnonzero(inside) if rule.every_picture else _one_each(numbers, drawn, draws)
        here = samples.Sample(
            embeddings=embeddings[used], owner=owner[used], pairs=samples.some_pairs(owner[used]), every=True
        )
        mean = samples.mean_of_people(here.embeddings, here.owner)
        for suffix, scored, fitted in (
            ("", here.score(network, Calibration()), Calibration()),
            ("_centred", here.score_without_own_mean(network), Calibration(mean=mean)),
        ):
            there = _score(network, fitted, embeddings[~inside], numbers[~inside])
            threshold, written = _threshold(scored)
            rows[suffix[1:] or "plain"].append((*_rates(*there, threshold), written))
            if shipped is not None:
                rows[f"shipped{suffix}"].append((*_rates(*there, shipped), True))
            if not suffix and here.genuine >= recalibration.MIN_GENUINE:
                fitted = recalibration.refit(scored, ())
                rows["half"].append((*_rates(*there, 0.5), True))
                rows["refitted"].append((*_rates(*there, _at_half(fitted)), True))
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
        half=_outcome(rows["half"]) if rows["half"] else None,
        refitted=_outcome(rows["refitted"]) if rows["refitted"] else None,
        plain=_outcome(rows["plain"]),
        centred=_outcome(rows["centred"]),
    )


def _one_each(owner: NDArray[np.int64], people: NDArray[np.int64], draws: np.random.Generator) -> NDArray[np.int64]:
    return np.array([draws.choice(np.flatnonzero(owner == person)) for person in people])


def _threshold(scored: samples.Scored) -> tuple[float, bool]:
    """The threshold for `WANTED`, and whether `calibrate` would write it."""
    strangers = similarity(scored.impostor)
    found = operating_points.operating_points(strangers, scored.left, scored.right, "")
    supported, _ = operating_points.supported(found, scored.left, scored.right)
    threshold = operating_points.lowest_threshold(strangers, operating_points.WANTED[WANTED])
    return 1.0 if threshold is None else threshold, WANTED in {point.name for point in supported}


def _at_half(fitted: Calibration) -> float:
    """The similarity before the calibration of a pair that has 0.5 after it."""
    return float(similarity(np.array([-fitted.bias / fitted.scale]))[0])


def _score(
    network: FaceNetwork, fitted: Calibration, embeddings: Embeddings, owner: NDArray[np.int64]
) -> tuple[rates.Scores, rates.Scores]:
    """The similarities of all genuine and of all impostor pairs."""
    rows = torch.from_numpy(fitted.centre(embeddings)).to(next(network.parameters()).device)
    found = scoring.score_all(network, rows, torch.from_numpy(owner))
    return similarity(found.genuine.astype(np.float64)), similarity(found.impostor.astype(np.float64))


def _rates(genuine: rates.Scores, impostor: rates.Scores, threshold: float) -> tuple[float, float, float]:
    """FMR, FNMR and area under ROC; the last two are NaN without genuine pairs."""
    fmr = float((impostor >= threshold).mean())
    if not len(genuine):
        return fmr, np.nan, np.nan
    scores = np.concatenate([genuine, impostor])
    area = rates.area_under_roc(scores, np.arange(len(scores)) < len(genuine))
    return fmr, float((genuine < threshold).mean()), area


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
        "as shipped, at 0.5": found.half,
        "refitted, at 0.5": found.refitted,
    }
    for kind, outcome in kinds.items():
        if outcome:
            lines.append(
                f"{kind:<20} FMR {_percent(outcome.fmr)}  FNMR {_percent(outcome.fnmr)}  area {outcome.area.mean:.4f}"
                + (
                    ""
                    if kind.endswith("0.5") or kind.startswith("as shipped")
                    else f"  written in {outcome.supported:.0%} of draws"
                )
            )
    return "\n".join(lines)


def _percent(spread: Spread) -> str:
    return f"{spread.mean:.2%} (sd {spread.deviation:.2%}, 5 to 95%: {spread.low:.2%} to {spread.high:.2%})"
