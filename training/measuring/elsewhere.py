"""What a checkpoint does on people whom it was not trained on, as it is and after calibrations on some of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, Header
from model.conditions import likeness_table
from model.errors import DataError
from model.networks.calibrated import restore_calibrated
from model.similarity import similarity
from training import scoring
from training.conditions import of_pairs
from training.data.album import Album, People, owners
from training.data.lists import pictures_at_hand
from training.data.source import DataSource
from training.measuring import copies, samples
from training.measuring.calibration_draws import Photographs, Rule, measure_draws
from training.measuring.variants import held_out_rule, require_people
from training.runs.records import Elsewhere, RatesAtThreshold, Share, Spread
from training.statistics import operating_points, over_people, similar_people
from training.statistics.rates import Estimate, Scores
from training.statistics.resampling import Owners

DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which people are measured, and how calibrations are drawn.

    With `held_out` only those whom the checkpoint's run held out of its training. With `keep_alike` pictures under two
    names may be nearly the same.
    """

    held_out: bool = False
    keep_alike: bool = False
    rules: Sequence[Rule] = ()


def measure_elsewhere(
    checkpoint: Checkpoint, source: DataSource, album: Album, asked: Asked, device: torch.device
) -> Elsewhere:
    """The rates over all pairs of people's pictures. Of identical pictures only the first counts.

    Raises DataError for fewer than two people, for the pictures that the checkpoint was trained on, for copies under
    two names, for other people than the run's if they are to be held out, and as `measure_draws`.
    """
    header = checkpoint.header
    pictures, owner = owners(_people(header, source, album, held_out=asked.held_out))
    network = restore_calibrated(checkpoint).to(device)
    embeddings = scoring.embed_all(network, album, pictures)
    photographs = Photographs(embeddings=embeddings.cpu().numpy(), owner=owner.numpy())
    if network.unit_length and not asked.keep_alike:
        mirrored = scoring.embed_all(network, album, pictures, mirrored=True).cpu().numpy()
        copies.require_no_copies(album, pictures, photographs.embeddings, mirrored)
    pairs = scoring.score_all(network, embeddings, owner)
    conditions = of_pairs.find_conditions(header.conditions, source, album, pictures)
    return Elsewhere(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        images=source.pictures.absolute().name.removesuffix(".tgz"),
        held_out=asked.held_out,
        face=source.face,
        data_sha256=album.sha256,
        people=len(pairs.pictures),
        pictures=len(pictures),
        left_out=0 if asked.held_out else len(album.keys) - len(pictures),
        genuine=len(pairs.genuine),
        impostor=len(pairs.impostor),
        length=samples.mean_length(photographs.embeddings, owner) if network.unit_length else None,
        area=_area(pairs),
        rates=_rates(
            header,
            scoring.logit_table(network, embeddings, embeddings),
            owner.numpy(),
            pairs,
            conditions,
            likeness_table(photographs.embeddings, header.network.unit_parts),
        ),
        calibrations=tuple(measure_draws(header, network, photographs, rule) for rule in asked.rules),
    )


def _people(header: Header, source: DataSource, album: Album, *, held_out: bool) -> People:
    if held_out:
        data = source.people_data(album, held_out_rule(header))
        require_people(header, data)
        return data.held_out
    if album.sha256 == header.provenance.data_sha256:
        raise DataError(f"{header.name}: was trained on these pictures; add --held-out to measure the people held out")
    distinct = copies.distinct_pictures(album)
    there = pictures_at_hand({name for name, _ in album.keys}, album)
    people = {name: kept for name, each in there.items() if len(kept := each[torch.isin(each, distinct)])}
    if len(people) < 2:
        raise DataError(f"{source.pictures}: has pictures of {len(people)} people; at least 2 are needed")
    return samples.some_people(people, samples.MAX_PICTURES)


def _area(pairs: scoring.AllPairs) -> Share | None:
    if not len(pairs.genuine):
        return None
    genuine, impostor = pairs.genuine.astype(np.float64), pairs.impostor.astype(np.float64)
    return _share(over_people.area_under_roc(genuine, pairs.owner, impostor, pairs.left, pairs.right))


def _rates(
    header: Header,
    table: scoring.Logits,
    owner: Owners,
    pairs: scoring.AllPairs,
    conditions: Sequence[Sequence[str]],
    likeness: NDArray[np.float64] | None,
) -> tuple[RatesAtThreshold, ...]:
    """The rates at the default threshold and at each operating point.

    The `table` of all logits, and all `pairs`, are of the same pictures, whose people are `owner`, and so is the
    `likeness` of all pairs.
    """
    named: list[tuple[str, float | None, float]] = [(DEFAULT, None, header.threshold.value)]
    named += [(point.name, point.max_fmr, point.threshold) for point in header.operating_points]
    of_similar = similar_people.similar_strangers(table, owner, [threshold for *_, threshold in named])
    genuine, impostor = (similarity(each.astype(np.float64)) for each in (pairs.genuine, pairs.impostor))
    found = []
    for number, (name, max_fmr, threshold) in enumerate(named):
        rejected = over_people.non_match_rate(genuine < threshold, pairs.owner) if len(genuine) else None
        rates = RatesAtThreshold(
            name=name,
            max_fmr=max_fmr,
            threshold=threshold,
            fmr=_match_rate(impostor >= threshold, pairs),
            fmr_of_similar=_share(of_similar[number]) if of_similar else None,
            fnmr=_share(rejected) if rejected else None,
        )
        if max_fmr is not None and header.conditions:
            least = of_pairs.least_similarities(header.condition_rates, conditions, max_fmr, likeness)
            of_genuine, of_impostor = _divide(np.maximum(least, threshold), owner)
            undecided = float(((genuine >= threshold) & (genuine < of_genuine)).mean()) if len(genuine) else None
            decided = _match_rate(impostor >= of_impostor, pairs)
            rates = rates.model_copy(update={"fmr_decided": decided, "undecided": undecided})
        found.append(rates)
    return tuple(found)


def _divide(table: NDArray[np.float64], owner: Owners) -> tuple[Scores, Scores]:
    """A table of all pairs (N, N) -> the genuine and the impostor pairs, in the order of `AllPairs`."""
    one, other = np.triu_indices(len(owner), 1)
    of_pairs, same = table[one, other], owner[one] == owner[other]
    return of_pairs[same], of_pairs[~same]


def _match_rate(accepted: NDArray[np.bool_], pairs: scoring.AllPairs) -> Share:
    """Of the impostor pairs, with its interval over people."""
    interval = operating_points.rate_interval(accepted, pairs.left, pairs.right)
    return Share(value=float(accepted.mean()), interval=interval)


def _share(found: Estimate) -> Share:
    return Share(value=found.value, interval=(found.low, found.high))


def format_elsewhere(found: Elsewhere) -> str:
    """The figures as lines."""
    which = "held-out people" if found.held_out else "people"
    lines = [
        f"{found.pictures:,} pictures of {found.people:,} {which} of {found.images}, {found.left_out} left out: "
        f"{found.genuine:,} genuine and {found.impostor:,} impostor pairs; 95% intervals over people",
    ]
    if found.length is not None:
        lines.append(f"the mean embedding of different people has length {found.length:.2f}")
    if found.area:
        low, high = found.area.interval
        lines.append(f"area under ROC {found.area.value:.4f} ({low:.4f} to {high:.4f})")
    for each in found.rates:
        asked = "the default" if each.max_fmr is None else f"max_fmr={each.max_fmr:g}"
        shown = {"FMR": each.fmr, "FMR over most similar strangers": each.fmr_of_similar, "FNMR": each.fnmr}
        shown["FMR as decided"] = each.fmr_decided
        rates = "; ".join(f"{name} {_percent(share)}" for name, share in shown.items() if share)
        rates += f"; undecided {each.undecided:.1%} of genuine pairs" if each.undecided is not None else ""
        lines.append(f"{asked:<13} threshold {each.threshold:.4f}: {rates}")
    for draws in found.calibrations:
        each_of = "all pictures" if draws.every_picture else "one picture"
        lines.append(
            f"{draws.draws} draws of {draws.people} people, {each_of} each, to calibrate on, measured on the others; "
            f"the operating point for 1% is written in {draws.supported:.0%} of them"
        )
        for name in ("shipped", "calibrated", "shipped_centred", "calibrated_centred", "default", "default_refitted"):
            if outcome := getattr(draws, name):
                lines.append(f"  {name.replace('_', ', '):<20} FMR {_spread(outcome.fmr)}")
                if outcome.fnmr and outcome.area:
                    lines[-1] += f"  FNMR {_spread(outcome.fnmr)}  area {outcome.area.mean:.4f}"
    return "\n".join(lines)


def _percent(share: Share) -> str:
    low, high = share.interval
    return f"{share.value:.2%} ({low:.2%} to {high:.2%})"


def _spread(spread: Spread) -> str:
    return f"{spread.mean:.2%} (sd {spread.deviation:.2%}, 5 to 95%: {spread.low:.2%} to {spread.high:.2%})"
