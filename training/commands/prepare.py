"""`python -m training prepare` and `template`: prepare pictures before training."""

import argparse
from collections.abc import Iterable

import numpy as np
from tqdm import tqdm

from model.arrays import Points
from model.errors import DataError
from model.imaging import crops, decoding, detection, preprocessing, refinement
from training.commands import options
from training.learning import experiments

Template = tuple[tuple[float, float], ...]


def add_prepare(commands: options.Subcommands) -> None:
    command = commands.add_parser("prepare", help="read an experiment's pictures, check its lists, fill the cache")
    command.add_argument("experiment", nargs="?", default="experiment-2", help="default: experiment-2")
    command.add_argument("--no-test", action="store_true", help="do without a list of test pairs")
    options.add_data(command)
    command.set_defaults(command=prepare)


def prepare(parsed: argparse.Namespace) -> None:
    """Fills the cache of an experiment and checks its lists."""
    experiment, source = experiments.find_experiment(parsed.experiment), options.data_source(parsed)
    album = options.open_album(source, experiment.preprocessing)
    print(f"{len(album.keys)} pictures of {len({person for person, _ in album.keys})} people, sha256 {album.sha256}")
    if experiment.preprocessing.alignment:
        print(f"{len(album.faceless)} pictures left out, because no face was found: {album.faceless_names}")
    options.say_copies(album)
    data = experiment.read_data(source, album)
    print(data.describe())
    options.warn(experiment.warnings(data))
    if not parsed.no_test:
        pairs = source.pairs_of("test_pairs", album)
        shown = source.describe_list("test_pairs")
        print(f"{shown}: {len(pairs)} pairs, {int(pairs.same.sum())} of them of one person")


def add_template(commands: options.Subcommands) -> None:
    command = commands.add_parser("template", help="measure where faces stand, on training people")
    options.add_data(command)
    command.set_defaults(command=template)


def template(parsed: argparse.Namespace) -> None:
    """Prints the mean landmarks of the people of a list, from each person's first picture."""
    source = options.data_source(parsed)
    config = experiments.ALIGNED.model_copy(update={"alignment": None})
    files = source.files(source.first_pictures(source.people("train_people")))
    photographs = (decoding.decode(data, config) for data in tqdm(files.values(), unit=" pictures", disable=None))
    found = measure_template(photographs, detection.FaceFinder())
    print(f"{len(files)} pictures of {source.describe_list('train_people')}, in shares of the frame's side:")
    print("\n".join(f"{name} {x:.4f} {y:.4f}" for name, (x, y) in zip(detection.LANDMARKS, found, strict=True)))


def measure_template(photographs: Iterable[decoding.Photo], finder: detection.FaceFinder) -> Template:
    """The mean landmarks of the upright faces nearest the centre, as shares of the frame's side.

    Two rounds: the detector's landmarks, then those that it finds again in faces aligned by the first round's mean. The
    mean is made symmetric, so that a mirrored picture gives the mirrored crop. Raises DataError if no picture has a
    face.
    """
    found = [(photograph, finder.find(np.asarray(photograph.grey))) for photograph in photographs]
    faces = [(photograph, faces[crops.choose(faces, "center", photograph)]) for photograph, faces in found if faces]
    if not faces:
        raise DataError("the template needs pictures with a face; no face was found")
    first = _symmetric_mean([face.landmarks / photograph.grey.width for photograph, face in faces])
    alignment = preprocessing.Alignment(template=first, detector_sha256=finder.sha256)
    return _symmetric_mean(
        [
            refinement.refine_landmarks(photograph, face, alignment, finder) / photograph.grey.width
            for photograph, face in faces
        ]
    )


def _symmetric_mean(shares: list[Points]) -> Template:
    mean = np.mean(shares, axis=0)
    mirrored = mean[detection.MIRRORED] * [-1, 1] + [1, 0]
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in (mean + mirrored) / 2)
