"""Error rates over every pair of the pictures of a list of people, which can show low false match rates."""

import numpy as np
import torch

from model.checkpoint import Checkpoint
from model.errors import DataError
from model.networks.calibrated import restore_calibrated
from training import scoring
from training.data import lists
from training.data.album import Album, owners
from training.data.source import DataSource
from training.runs import records
from training.statistics import rates, resampling

# The bootstrap keeps the highest impostor pairs: this many times as many as may be accepted, and at least MIN_KEPT.
KEPT = 20
MIN_KEPT = 10_000
# The false match rates at which the false non-match rate is measured, if there are enough impostor pairs.
MEASURED = (0.01, 0.001, 0.0001)


def fnmr_over_people(pairs: scoring.AllPairs, max_fmr: float, *, evenly: bool = False) -> rates.Estimate:
    """The lowest FNMR among thresholds whose FMR is at most `max_fmr`, with its 95% interval over people.

    Every genuine pair has the same weight, or with `evenly` every person who has genuine pairs.

    Each round draws people with replacement and finds its own threshold, which only the highest impostor pairs decide.
    A round that needs more pairs than were kept uses the lowest of them, and its FNMR is an upper bound.
    """
    kept = min(len(pairs.impostor), max(MIN_KEPT, int(KEPT * max_fmr * len(pairs.impostor))))
    highest = np.argpartition(pairs.impostor, len(pairs.impostor) - kept)[-kept:]
    highest = highest[np.argsort(-pairs.impostor[highest], kind="stable")]
    top, left, right = pairs.impostor[highest], pairs.left[highest], pairs.right[highest]

    share = 1 / np.bincount(pairs.owner)[pairs.owner] if evenly else np.ones(len(pairs.owner))

    def rate(drawn: resampling.Owners) -> float:
        shown = drawn * pairs.pictures
        impostors = (int(shown.sum()) ** 2 - int((shown**2).sum())) / 2
        accepted = np.cumsum(drawn[left] * drawn[right])
        refused = top[min(int(np.searchsorted(accepted, max_fmr * impostors + 1e-9, side="right")), kept - 1)]
        return float(np.average(pairs.genuine <= refused, weights=drawn[pairs.owner] * share))

    people = len(pairs.pictures)
    rounds = [
        rate(drawn) for drawn in resampling.draw_people(people) if drawn[pairs.owner].any() and (drawn > 0).sum() > 1
    ]
    low, high = np.percentile(rounds, [2.5, 97.5])
    return rates.Estimate(value=rate(np.ones(people, dtype=np.int64)), low=float(low), high=float(high))


def measure_all_pairs(
    checkpoint: Checkpoint, source: DataSource, album: Album, device: torch.device
) -> records.AllPairsRates:
    """Error rates over the available pictures of the test people. Raises DataError if no person has several."""
    header, listed = checkpoint.header, source.people("test_people", album)
    people = lists.pictures_at_hand(listed, album)
    if len(people) < 2 or all(len(pictures) == 1 for pictures in people.values()):
        raise DataError(
            f"{source.describe_list('test_people')}: at least 2 people, one with several pictures in {source.images}, "
            "are needed"
        )
    pictures, owner = owners(people)
    network = restore_calibrated(checkpoint).to(device)
    pairs = scoring.score_all(network, scoring.embed_all(network, album, pictures), owner)
    return records.AllPairsRates(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        people_list=source.describe_list("test_people"),
        images=source.images,
        data_sha256=album.sha256,
        people=len(people),
        pictures=len(pictures),
        missing=sum(listed.values()) - len(pictures),
        genuine=len(pairs.genuine),
        impostor=len(pairs.impostor),
        rates=tuple(_rate_at(pairs, max_fmr) for max_fmr in MEASURED if max_fmr * len(pairs.impostor) >= 1),
    )


def _rate_at(pairs: scoring.AllPairs, max_fmr: float) -> records.RateAt:
    every, even = fnmr_over_people(pairs, max_fmr), fnmr_over_people(pairs, max_fmr, evenly=True)
    return records.RateAt(
        max_fmr=max_fmr,
        fnmr=every.value,
        interval=(every.low, every.high),
        even_fnmr=even.value,
        even_interval=(even.low, even.high),
    )


def format_rates(found: records.AllPairsRates) -> str:
    lines = [
        f"{found.pictures} pictures of {found.people} people of {found.people_list}, {found.missing} missing: "
        f"{found.genuine:,} genuine and {found.impostor:,} impostor pairs; intervals over people"
    ]
    for rate in found.rates:
        for kind, value, (low, high) in (
            ("all pairs", rate.fnmr, rate.interval),
            ("each person alike", rate.even_fnmr, rate.even_interval),
        ):
            lines.append(f"FNMR at FMR {rate.max_fmr:<6.2%} {kind:<18} {value:.4f}  95% {low:.4f} to {high:.4f}")
    return "\n".join(lines)
