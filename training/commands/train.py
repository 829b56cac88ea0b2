"""The sub-commands that train, prepare and report, given their parsed options.

Those that measure are in `measuring.py`, View 2 in `view2_command.py`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from model.checkpoint import Header, load
from model.errors import TrainingError
from model.imaging.decoding import decode
from model.imaging.detection import LANDMARKS, FaceFinder
from training.commands.options import (
    album_of,
    compute_of,
    names_of,
    pairs_to_test,
    source_of,
)
from training.commands.report import write_report
from training.data.album import PairSet
from training.data.face_template import measure_template
from training.data.lists import read_people
from training.data.source import DataSource
from training.learning import parallel
from training.learning.experiment import Data, Experiment
from training.learning.experiments import ALIGNED, GRID_BASE, find_experiment, with_seed
from training.learning.grid import BEST_FOLDER, Grid, known_points, run_grid, winner
from training.learning.history import METRICS_FILE, write_metrics
from training.learning.loop import Trained, train
from training.metrics import format_metrics
from training.pairs.pair_recipe import PairExperiment
from training.reports.gallery import write_gallery
from training.runs.card import format_card
from training.runs.finish import finish
from training.runs.provenance import code_version
from training.runs.read import read_run


def prepare(options: argparse.Namespace) -> None:
    """Fills the cache of an experiment and checks its lists."""
    experiment, source = find_experiment(options.experiment), source_of(options)
    album = album_of(source, experiment.preprocessing)
    print(f"{len(album.keys)} pictures of {len({person for person, _ in album.keys})} people, sha256 {album.sha256}")
    if experiment.preprocessing.alignment:
        print(f"{len(album.faceless)} pictures left out, in which no face was found: {names_of(album.faceless)}")
    print(experiment.read_data(source, album).describe())
    if not options.no_test:
        pairs = source.pairs(album, source.test_pairs)
        print(f"{source.test_pairs}: {len(pairs)} pairs, {int(pairs.same.sum())} of them of one person")


def template(options: argparse.Namespace) -> None:
    """Prints the mean landmarks of the people of a list, from each one's first picture."""
    source = source_of(options)
    people = read_people(source.folder / source.train_people)
    config = ALIGNED.model_copy(update={"alignment": None})
    first = {(person, f"{person}_0001") for person in people}
    files = source.files(first)
    photographs = (decode(data, config) for data in tqdm(files.values(), unit=" pictures"))
    found = measure_template(photographs, FaceFinder())
    print(f"{len(files)} pictures of {source.train_people}, in shares of the frame's side:")
    print("\n".join(f"{name} {x:.4f} {y:.4f}" for name, (x, y) in zip(LANDMARKS, found, strict=True)))


def run(options: argparse.Namespace) -> None:
    """Trains an experiment, alone or as one of several processes, and measures it."""
    code = code_version()  # before hours of training in which the files may change
    experiment, source = with_seed(find_experiment(options.experiment), options.seed), source_of(options)
    device = parallel.local_device(compute_of(options).select())
    folder = options.out or Path("runs") / experiment.name
    with parallel.process_group(device):
        data, test = _training_data(source, experiment, tested=not options.no_test)
        if parallel.rank() == 0:
            print(f"{experiment.name}: {data.describe()}, on {device}")
        trained = train(experiment, data, folder, device, resume=options.resume, code=code)
        if parallel.rank() > 0:
            return
    _print_result(finish(experiment, trained, data, test, folder, code), folder)


def grid(options: argparse.Namespace) -> None:
    """Runs the trajectories, going on where the last call stopped; tests the best point unless only some are wanted."""
    parallel.require_lone_process()
    code, device, plan = code_version(), compute_of(options).select(), Grid(base=GRID_BASE)
    trajectories = {each.name: each for each in plan.trajectories()}
    if unknown := set(options.only) - set(trajectories):
        raise TrainingError(f"there is no trajectory {min(unknown)!r}; there are {', '.join(trajectories)}")
    data, test = _training_data(source_of(options), plan.base, tested=True)
    kept: dict[str, Trained] = {}

    def run_one(experiment: PairExperiment, folder: Path) -> None:
        print(f"trajectory {list(trajectories).index(experiment.name) + 1} of {len(trajectories)}: {experiment.name}")
        kept[experiment.name] = train(experiment, data, folder, device, resume=True, code=code)

    run_grid(plan, options.out, run_one, options.only)
    points = known_points(plan, options.out)
    best = winner(points)
    count = sum(len(plan.points(trajectory)) for trajectory in trajectories.values())
    print(f"{len(points)} of {count} points are known; the best by validation loss is {best.experiment.name}")
    if options.only:
        print("run it without --only to test the best of all")
        return
    trained = next(kept[each.name] for each in plan.trajectories() if best.experiment in plan.points(each))
    folder = options.out / BEST_FOLDER
    write_metrics(folder / METRICS_FILE, trained.history[: best.stopped])
    experiment = replace(best.experiment, name=BEST_FOLDER)
    _print_result(finish(experiment, trained, data, test, folder, code), folder)


def _training_data(source: DataSource, experiment: Experiment[Data], *, tested: bool) -> tuple[Data, PairSet | None]:
    """A run's data, and its test pairs if it is to be tested; of several processes the first fills the cache."""
    if parallel.rank() > 0:
        parallel.wait_for_all()
    album = album_of(source, experiment.preprocessing)
    if parallel.rank() == 0:
        parallel.wait_for_all()
    data = experiment.read_data(source, album)
    return data, pairs_to_test(source, album) if tested else None


def report(options: argparse.Namespace) -> None:
    """Writes the reports of all runs."""
    for page in write_report(options.results, options.out):
        print(f"wrote {page}")


def gallery(options: argparse.Namespace) -> None:
    """Writes the gallery of a run."""
    found = read_run(options.run)
    write_gallery(options.out, found, album_of(source_of(options), found.header.preprocessing))
    print(f"wrote {options.out}; it holds pictures of the data set")


def card(options: argparse.Namespace) -> None:
    """Prints a checkpoint's card."""
    print(format_card(load(options.checkpoint).header), end="")


def _print_result(header: Header, folder: Path) -> None:
    path = folder / f"{header.name}.safetensors"
    print(format_metrics(header.metrics))
    print(f"threshold {header.threshold.value:.4f}; wrote {path}; serve it with: python -m app --weights {path}")
