"""`python -m training import`: a checkpoint from an ONNX network that was trained elsewhere."""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from model.checkpoint import Provenance
from model.errors import CheckpointError, DataError
from model.networks import embedder
from model.networks.configurations import MAX_GRAPH_BYTES, OnnxConfig
from model.networks.onnx_network import OnnxNetwork
from model.onnx.embedder import open_runner, runtime_on
from model.onnx.session import GraphRunner
from model.onnx.trial import GraphInput, Question, Trial, try_out
from training import metrics
from training.commands import options
from training.data import lists
from training.data.album import Album, People
from training.data.datasets import HoldOut, PeopleData
from training.data.source import DataSource
from training.importing import dlib_format, families, fitting, self_test
from training.importing.families import CUSTOM, FAMILIES, MAY_NORMALISE, VALUES, Declaration
from training.learning.variants import require_name

HELD_OUT = HoldOut()
# Networks for faces decide far more of the calibration's pairs rightly; with random weights about 0.6.
LEAST_ACCURACY = 0.8


def add_import(commands: options.Subcommands) -> None:
    command = commands.add_parser("import", help="a checkpoint from an ONNX face network that was trained elsewhere")
    command.add_argument("network", type=Path, help="the ONNX file with its weights in it, or dlib's .dat")
    command.add_argument("--family", choices=[*FAMILIES, CUSTOM], required=True, help="what the network needs")
    command.add_argument("--license", required=True, help="what the network's licence allows, in your words")
    command.add_argument("--source", required=True, help="where the file comes from")
    options.add_out_file(command, "the checkpoint", required=True)
    command.add_argument("--name", help="the checkpoint's name (default: that of --out)")
    command.add_argument("--output", default="", help="the graph's output, if it has several")
    command.add_argument("--side", type=options.positive, help="pixels of a crop's side, if the graph does not say it")
    command.add_argument("--order", choices=["rgb", "bgr"], help="the order of colours (default: the family's)")
    command.add_argument("--values", help=f"{', '.join(VALUES)}, or MEAN/DEVIATION (default: the family's)")
    points = "x and y of eyes, nose and corners of the mouth in the crop (default: the family's)"
    command.add_argument("--template", type=float, nargs=10, metavar="PX", help=points)
    command.add_argument("--zoom", type=float, default=1.0, help="1.1 shows a tenth more around the face (default: 1)")
    command.add_argument("--flip", action="store_true", help="average over mirror images: twice the time")
    command.add_argument("--keep-length", action="store_true", help="embeddings keep the network's length")
    command.add_argument("--trust-me", action="store_true", help="import even if another declaration is better")
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=import_network)


def import_network(parsed: argparse.Namespace) -> None:
    """Checks the network and its declaration, fits its calibration to training people, and writes a checkpoint."""
    options.spare([parsed.network], parsed.out)
    name = require_name(parsed.out.stem if parsed.name is None else parsed.name)
    device, source = options.select_device(parsed), options.data_source(parsed)
    graph = _read(parsed.network)
    if parsed.family == "dlib" and parsed.network.suffix == ".dat":
        graph = dlib_format.to_onnx(graph)
    trial = _try_out(graph, parsed)
    entry, declared = trial.input, declaration_of(parsed, trial)
    config = declared.network(trial, len(graph))
    _print_declared(parsed.network, declared, config)
    album = options.open_album(source, declared.preprocessing(entry))
    people = lists.pictures_at_hand(source.people("train_people", album), album)
    runner = open_runner(config, graph, runtime_on(str(device), config), str(device), torch.get_num_threads())
    self_test.require_variety(declared, entry, runner, album, trial.output)
    rows = _test(declared, entry, runner, source, album, people, insist=parsed.trust_me)
    network = OnnxNetwork(config, graph).to(device)
    split = f"people of {source.describe_list('train_people')}"
    fitted = fitting.fit(network, album, people, split)
    held_out = _hold_out(source, album)
    provenance = _provenance(parsed, graph, declared, rows, album, held_out)
    embedder.save(parsed.out, network, fitted.describe(name, config, album, provenance))
    _print_fitted(fitted, split)
    print("what photographs it was trained on is unknown, so there are no warnings of blurred, dark or turned faces")
    print(f"wrote {parsed.out}; serve it with: python -m app --weights {parsed.out}")
    print(f"measure it with: python -m training evaluate {parsed.out} --data {source.folder} --images {source.images}")


def _try_out(graph: bytes, parsed: argparse.Namespace) -> Trial:
    """What a child process finds out about the graph. ONNX Runtime is the reference for OpenVINO."""
    known = FAMILIES.get(parsed.family)
    side_px = parsed.side or (known.side_px if known else None)
    return try_out(graph, Question(side_px=side_px, output=parsed.output, runtimes=("onnxruntime", "openvino")))


def declaration_of(parsed: argparse.Namespace, trial: Trial) -> Declaration:
    """The family's values, changed by options. Raises DataError if an option is missing or impossible."""
    known, side = FAMILIES.get(parsed.family), trial.side_px
    if parsed.side not in (None, side):
        raise DataError(f"the graph's crops have {side} pixels; give another --side")
    if known is None:
        if parsed.order is None or parsed.values is None or parsed.template is None:
            raise DataError(f"--family {CUSTOM} needs --order, --values and --template")
        template = families.points_of(parsed.template, side)
        known = Declaration(
            family=CUSTOM, side_px=side, template=template, values=None, source="options of the command"
        )
    if parsed.values:
        values = families.values_of(parsed.values)
    elif trial.normalises and known.family in MAY_NORMALISE:
        print("the graph subtracts and multiplies first, so it is taken to normalise the crops itself")
        values = VALUES["levels"]
    else:
        values = known.values
    return replace(
        known,
        side_px=side,
        order=parsed.order or known.order,
        values=values,
        template=families.points_of(parsed.template, side) if parsed.template else known.template,
        zoom=parsed.zoom,
        flip_average=parsed.flip,
        unit_length=known.unit_length and not parsed.keep_length,
    )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_GRAPH_BYTES:
            raise CheckpointError(f"{path}: has more than {MAX_GRAPH_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _test(
    declared: Declaration,
    entry: GraphInput,
    runner: GraphRunner,
    source: DataSource,
    album: Album,
    people: People,
    *,
    insist: bool,
) -> list[self_test.Row]:
    """Tries other ways to feed the network, and prints them. Raises DataError if one is surely better.

    With `insist` it only prints that, or that there are too few people for the test.
    """
    try:
        places = self_test.draw_people(people)
    except DataError as error:
        if not insist:
            raise
        print(f"the declaration was not tested: {error}")
        return []
    rows = self_test.run_self_test(declared, entry, runner, self_test.DrawnCrops(source, album, places, entry))
    print(self_test.format_rows(rows, len(places)))
    if better := self_test.better_than_declared(rows):
        found = (
            f"the network is better as {better.name} than as declared ({rows[0].name}): d' {better.d_prime:.2f} and "
            f"{rows[0].d_prime:.2f}"
        )
        if not insist:
            raise DataError(f"{found}; declare that by --order, --values and --zoom, or insist by --trust-me")
        print(f"{found}; kept as declared, by --trust-me")
    elif maybe := self_test.maybe_better_than_declared(rows):
        more = ", or test it on more people by --train-people" if len(places) < self_test.PEOPLE else ""
        print(
            f"{len(places)} people cannot decide the test: as {maybe.name} d' is {maybe.gain:.1%} higher "
            f"({maybe.low:+.1%} to {maybe.high:+.1%}) than as declared; look up what the network needs{more}",
            file=sys.stderr,
        )
    return rows


def _hold_out(source: DataSource, album: Album) -> PeopleData | None:
    """The people on whom `conditions` is fitted and measured, divided as for our own networks; None if too few."""
    try:
        return source.people_data(album, HELD_OUT)
    except DataError as error:
        print(f"`conditions` and `shared-changes` will not work with this checkpoint: {error}")
        return None


def _provenance(
    parsed: argparse.Namespace,
    graph: bytes,
    declared: Declaration,
    rows: list[self_test.Row],
    album: Album,
    held_out: PeopleData | None,
) -> Provenance:
    experiment: dict[str, object] = {
        "imported": parsed.network.name,
        "sha256": hashlib.sha256(graph).hexdigest(),
        "values_from": declared.source,
        "self_test": [f"{row.name}: d' {row.d_prime:.2f}" for row in rows] or "too few people",
    }
    if held_out:
        experiment["held_out"] = asdict(HELD_OUT)
    return Provenance(
        experiment=json.dumps(experiment),
        seed=0,
        epochs=0,
        data_sha256=album.sha256,
        pairs_sha256=held_out.pairs_sha256 if held_out else "",
        code_version=options.code_version(),
        torch_version=str(torch.__version__),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        source=parsed.source,
        license=parsed.license,
    )


def _print_declared(path: Path, declared: Declaration, config: OnnxConfig) -> None:
    values = families.describe_values(declared.values)
    print(f"{path}: {config.dimension} values from crops of {declared.side_px} pixels, {declared.order}, {values}")
    print(f"{declared.family}: {declared.source}")
    if config.batch == "one":
        print("crops pass one at a time: the graph takes one, or its output depends on the batch")
    if config.cpu_runtime == "onnxruntime":
        print("ONNX Runtime computes, also on a CPU: OpenVINO gives other embeddings, or cannot run the graph")


def _print_fitted(fitted: fitting.Fitted, split: str) -> None:
    print(
        f"scale {fitted.calibration.scale:.3f} and bias {fitted.calibration.bias:+.3f} from {fitted.genuine} genuine "
        f"pairs and every impostor pair of {fitted.pictures:,} pictures of {fitted.people:,} {split}"
    )
    print(metrics.format_metrics(fitted.metrics))
    for point in fitted.operating_points:
        low, high = point.interval
        print(f"max_fmr={point.max_fmr:<5g} threshold {point.threshold:.6f}: {point.fmr:.3%} ({low:.3%} to {high:.3%})")
    for name, why in fitted.refused.items():
        print(f"{name:<8} is left out: {why}")
    [accuracy] = (each.value for each in fitted.metrics if each.name == metrics.ACCURACY_AT_HALF)
    if accuracy < LEAST_ACCURACY:
        print(
            f"only {accuracy:.0%} of the pairs are decided rightly, as by a network without training; check that the "
            "file has its trained weights, and what the network needs",
            file=sys.stderr,
        )
