"""`python -m training evaluate`, `all-pairs`, `references`, `scenes` and `errors`: measure finished networks."""

import argparse
from pathlib import Path

from model.checkpoint import load
from model.errors import DataError
from training import metrics
from training.commands import options
from training.data.source import NAMES
from training.learning import experiments
from training.measuring import all_pairs, elsewhere, error_analysis, references, scenes, variants
from training.measuring.calibration_draws import Rule
from training.runs import results

# How often the people to calibrate on are drawn.
DRAWS = 30


def add_evaluate(commands: options.Subcommands) -> None:
    command = commands.add_parser("evaluate", help="score the test pairs with a checkpoint")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--skip-missing", action="store_true", help="leave out pairs whose pictures are not there")
    options.add_face(command, "center", "LFW's person is there; the service takes the largest")
    command.add_argument("--no-flip", action="store_true", help="without averaging over mirror images, refitted")
    command.add_argument("--head", choices=["cosine"], help="the cosine instead of the fitted head, recalibrated")
    options.add_out_file(command, "file for the figures, such as RUN/evaluations/no-flip.json")
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=evaluate)


def evaluate(parsed: argparse.Namespace) -> None:
    on = options.Opened.of(parsed)
    asked: dict[variants.Part, bool] = {"flip": parsed.no_flip, "head": parsed.head is not None}
    parts = [part for part, wanted in asked.items() if wanted]
    if on.source.face == "largest" and (on.checkpoint.header.preprocessing.alignment is None or parts):
        raise DataError("--face largest needs a network that was trained on aligned faces, without parts left out")
    test = options.read_test_pairs(on.source, on.album, skip=parsed.skip_missing)
    found = variants.measure_variant(on.checkpoint, parts, on.source, on.album, test, on.device)
    title = f"{found.name}, {found.what}," if found.what else found.name
    print(f"{title} at its threshold {found.threshold:.4f} on {found.pairs_list} of {on.source.title}")
    if on.album.faceless:
        print(f"no face was found in {len(on.album.faceless)} pictures: {on.album.faceless_names}")
    print(metrics.format_metrics(found.metrics))
    people = {person for pair in test.keys_of(on.album.keys) for person, _ in pair}
    print(f"intervals over the {len(people)} people of these pairs:")
    print(metrics.format_metrics(found.over_people))
    options.write_json(parsed.out, found)


def add_all_pairs(commands: options.Subcommands) -> None:
    command = commands.add_parser("all-pairs", help="error rates over every pair of the people of a list")
    command.add_argument("checkpoint", type=Path)
    command.add_argument(
        "--people", dest="test_people", default=NAMES["test_people"][0], help="in the data folder, the list of people"
    )
    options.add_out_file(command, "file for the figures, such as RUN/all-pairs.json")
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=measure_all_pairs)


def measure_all_pairs(parsed: argparse.Namespace) -> None:
    on = options.Opened.of(parsed)
    found = all_pairs.measure_all_pairs(on.checkpoint, on.source, on.album, on.device)
    print(all_pairs.format_rates(found))
    options.write_json(parsed.out, found)


def add_references(commands: options.Subcommands) -> None:
    command = commands.add_parser("references", help="error rates with one to five photographs of a person")
    command.add_argument("checkpoint", type=Path)
    options.add_out_file(command, "file for the figures, such as RUN/references.json")
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=measure_references)


def measure_references(parsed: argparse.Namespace) -> None:
    on = options.Opened.of(parsed)
    found = references.measure_references(on.checkpoint, on.source, on.album, on.device)
    print(references.format_references(found))
    options.write_json(parsed.out, found)


def add_elsewhere(commands: options.Subcommands) -> None:
    command = commands.add_parser("elsewhere", help="what the thresholds do on any folder of other people")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--held-out", action="store_true", help="the people whom the checkpoint's run held out")
    command.add_argument("--keep-alike", action="store_true", help="pictures that look like copies are not")
    command.add_argument(
        "--calibrate", type=options.positive, nargs="+", default=(), help="also calibrate on so many of the people"
    )
    command.add_argument("--draws", type=options.positive, help=f"how often they are drawn (default: {DRAWS})")
    options.add_face(command, "largest", "as the service does")
    options.add_out_file(command, "file for the figures, such as RUN/elsewhere/NAME.json")
    options.add_data(command, images=options.FOLDER_ITSELF)
    options.add_device(command)
    command.set_defaults(command=measure_elsewhere)


def measure_elsewhere(parsed: argparse.Namespace) -> None:
    options.require_with(parsed, "--draws", "--calibrate")
    on = options.Opened.of(parsed)
    rules = [
        Rule(people=people, every_picture=every, draws=parsed.draws or DRAWS)
        for people in parsed.calibrate
        for every in (False, True)
    ]
    asked = elsewhere.Asked(held_out=parsed.held_out, keep_alike=parsed.keep_alike, rules=rules)
    options.say_copies(on.album)
    found = elsewhere.measure_elsewhere(on.checkpoint, on.source, on.album, asked, on.device)
    print(elsewhere.format_elsewhere(found))
    options.write_json(parsed.out, found)


def add_scenes(commands: options.Subcommands) -> None:
    command = commands.add_parser("scenes", help="score the test pairs as a person would send them")
    command.add_argument("checkpoint", type=Path)
    options.add_threads(command)
    options.add_data(command)
    command.set_defaults(command=measure_scenes)


def measure_scenes(parsed: argparse.Namespace) -> None:
    """Scores the test pairs with a checkpoint, with each picture in a scene like users' photos."""
    options.select_device(parsed)
    checkpoint, source = load(parsed.checkpoint), options.data_source(parsed)
    material = scenes.read_material(source)
    name, threshold = checkpoint.header.name, checkpoint.header.threshold.value
    print(f"{name} at its threshold {threshold:.4f} on {source.describe_list('test_pairs')}")
    for kind in scenes.KINDS:
        print(scenes.format_scenes(scenes.measure_scenes(checkpoint, material, kind)), flush=True)


def add_errors(commands: options.Subcommands) -> None:
    command = commands.add_parser("errors", help="where a finished run is wrong, by what its faces are like")
    command.add_argument("run", type=Path, help="folder of a finished run")
    options.add_data(command)
    command.set_defaults(command=analyse_errors)


def analyse_errors(parsed: argparse.Namespace) -> None:
    run, source = results.read_run(parsed.run), options.data_source(parsed)
    config = run.header.preprocessing
    album = options.open_album(source, config if config.alignment else experiments.ALIGNED)
    there = set(album.names)
    if all(name not in there for pair in run.pairs for name in pair):
        raise DataError(f"{source.images}: the run's pictures are missing; name its data with --data and --images")
    analysis = error_analysis.analyse(run, album)
    print(error_analysis.format_errors(analysis))
    options.write_json(parsed.run / results.ERRORS_FILE, analysis)
