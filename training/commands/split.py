"""`python -m training split`: lists of the people to train on and to test on, and of pairs of both."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from model.errors import DataError
from model.files import replacing
from training.commands import options
from training.data import division
from training.data.album import Album
from training.data.source import LFW, NAMES, DataSource
from training.learning import experiments
from training.measuring import copies


def add_split(commands: options.Subcommands) -> None:
    command = commands.add_parser("split", help="lists for a folder of people: whom to train on, whom to test on")
    command.add_argument("experiment", nargs="?", default=experiments.SERVED.name, help="default: %(default)s")
    command.add_argument(
        "--test", type=_share, default=division.TEST_SHARE, metavar="SHARE", help="of the people (default: %(default)s)"
    )
    command.add_argument("--seed", type=options.seed, default=division.SEED, help="another seed tests other people")
    command.add_argument("--keep-alike", action="store_true", help="pictures that look like copies are not")
    command.add_argument("--replace", action="store_true", help="write over lists that are there")
    options.add_out_folder(command, "folder of the lists (default: the data folder, where other commands find them)")
    options.add_data(command)
    command.set_defaults(command=split)


def split(parsed: argparse.Namespace) -> None:
    """Divides the people whose faces are found, and writes the lists that an experiment needs."""
    experiment, source = experiments.find_experiment(parsed.experiment), options.data_source(parsed)
    out = parsed.out or source.folder
    _require_room(source, out, replace=parsed.replace)
    album = options.open_album(source, experiment.preprocessing)
    if album.faceless:
        print(f"left out, because no face large enough was found: {album.faceless_names}")
    if not parsed.keep_alike:
        copies.require_none_under_two_names(album)
    sides = division.divide({name for name, _ in album.keys}, parsed.test, parsed.seed)
    _write(out, _format_lists(source, album, sides))
    for which, side in (("train", sides.train), ("test", sides.test)):
        counts = division.count_pictures(side, album.keys)
        several = sum(count > 1 for count in counts.values())
        print(f"{len(side)} people to {which} on with {sum(counts.values())} pictures, {several} of them with several")
    print(f"wrote {', '.join(_NAMES)} into {out}")


# What `split` writes, in the order of the message.
_NAMES = (division.TRAIN_PEOPLE, division.TRAIN_PAIRS, division.TEST_PEOPLE, division.TEST_PAIRS)


def _share(text: str) -> float:
    if not 0 < (share := float(text)) < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return share


def _require_room(source: DataSource, out: Path, *, replace: bool) -> None:
    """Raises DataError if lists would be written over, or if others in the folder would be read instead of them."""
    if source.images == LFW:
        raise DataError(f"{source.folder}: holds LFW, whose own lists divide its people; download those")
    if first := next((out / usual for usual, _ in NAMES.values() if (out / usual).exists()), None):
        raise DataError(f"{first}: would be read instead of the new lists; rename it, or choose another --out")
    if not replace and (there := next((out / name for name in _NAMES if (out / name).exists()), None)):
        raise DataError(f"{there}: exists; add --replace to write over the lists, or choose another --out")


def _format_lists(source: DataSource, album: Album, sides: division.Division) -> Mapping[str, str]:
    files, texts = source.file_names(), {}
    names = ((division.TRAIN_PEOPLE, division.TRAIN_PAIRS, sides.train),
             (division.TEST_PEOPLE, division.TEST_PAIRS, sides.test))  # fmt: skip
    for people, pairs, side in names:
        if not side:
            raise DataError(
                f"{source.title}: all {len(sides.train | sides.test)} people would be on one side; add people, or "
                "choose another --test or --seed"
            )
        counts = division.count_pictures(side, album.keys)
        if max(counts.values()) < 2:
            raise DataError(
                f"{source.title}: none of {len(side)} people of {people} has two pictures, so they give no genuine "
                "pair; add pictures, or choose another --test or --seed"
            )
        texts[people] = division.format_people(counts)
        texts[pairs] = division.format_pairs(division.draw_pairs(side, album), album.keys, files)
    return texts


def _write(out: Path, texts: Mapping[str, str]) -> None:
    try:
        for name, text in texts.items():
            with replacing(out / name) as partial:
                partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out}: the lists cannot be written: {error}; choose another --out") from error
