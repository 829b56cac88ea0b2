"""LFW's View 2: what a fold's network learns from, the other folds' people, what it is tested on, and what it found."""

from pathlib import Path

from model.checkpoint import Header
from model.errors import TrainingError
from training.data.album import Album, PairSet
from training.data.datasets import PeopleData
from training.data.lists import Folds, resolve
from training.measuring.lfw import category
from training.metrics import ACCURACY_AT_THRESHOLD, find_metric
from training.people.people_recipe import PeopleExperiment
from training.runs.records import RESULT_FILE, SCORES_FILE, Fold, View2


def fold_data(protocol: Folds, number: int, album: Album, experiment: PeopleExperiment) -> PeopleData:
    """The people of all other folds, some of them held out. Raises DataError."""
    others = {name: n for i, fold in enumerate(protocol.people, 1) if i != number for name, n in fold.items()}
    return PeopleData.of(album, protocol.people_path, others, experiment.held_out)


def done_fold(experiment: PeopleExperiment, data: PeopleData, folder: Path) -> Header | None:
    """What a finished fold says of itself, or None. Raises TrainingError if it is of another run."""
    if not all((folder / name).exists() for name in (RESULT_FILE, SCORES_FILE)):
        return None
    try:
        header = Header.model_validate_json((folder / RESULT_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{folder / RESULT_FILE}: cannot be read as the result of a fold") from error
    found, wanted = header.provenance, (experiment.as_json(), data.album.sha256, data.pairs_sha256)
    networks = (header.network, header.preprocessing) == (experiment.network, experiment.preprocessing)
    if (found.experiment, found.data_sha256, found.pairs_sha256) != wanted or not networks:
        raise TrainingError(f"{folder}: holds a fold of another run; choose another --out")
    return header


def pairs_of_fold(protocol: Folds, number: int, album: Album) -> PairSet:
    """A fold's pairs. Raises DataError for pictures that are not there."""
    return resolve(protocol.pairs_path, protocol.pairs[number - 1], album.index(), album.faceless)


def summarise(name: str, headers: dict[int, Header], of_folds: int) -> View2:
    """The folds that are done, by number, at least one."""
    done = []
    for number, header in sorted(headers.items()):
        metric = find_metric(header.metrics, ACCURACY_AT_THRESHOLD)
        done.append(
            Fold(
                fold=number,
                accuracy=metric.value,
                pairs=metric.pairs,
                threshold=header.threshold.value,
                checkpoint_sha256=header.checkpoint_sha256,
            )
        )
    first = next(iter(headers.values()))
    return View2(name=name, category=category(first), of_folds=of_folds, done=tuple(done))
