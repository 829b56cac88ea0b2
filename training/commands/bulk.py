"""`python -m training embed` and `verify`: photographs by the thousand, with the code that serves."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from model import __version__
from model.checkpoint import Header, load
from model.errors import DataError
from model.imaging.analysis import Choice
from model.imaging.crops import FaceChoice
from model.rules import Rule
from model.verifier import Verifier
from training.bulk.embedding import (
    Embedded,
    Run,
    embed_parts,
    open_parts,
    parts_folder,
    remove_parts,
    run_here,
)
from training.bulk.image_files import ImageTask
from training.bulk.listing import Listing, digest_of
from training.bulk.outputs import (
    Record,
    beside,
    is_finished,
    require_own,
    write_embeddings,
    write_record,
    written_by_embed,
)
from training.bulk.pairs import EmbeddedImages, PairList, PairVerifier
from training.bulk.parts import Part, PartCounts, PartTask
from training.commands import options
from training.commands.on_cluster import add_ray, cluster_of
from training.data.cropping import cores

GOES_ON = "; the same command continues where it stopped"
CHOICES = (*get_args(FaceChoice), "none")


def add_embed(commands: options.Subcommands) -> None:
    command = commands.add_parser("embed", help="embed a folder of photographs, or a list of them, into one file")
    command.add_argument("source", type=Path, help="folder, with any folders inside, or a file with a path a line")
    _add_work(command, (*CHOICES, "all"))
    options.add_out_file(command, "OUT.parquet, or OUT.npy with OUT.csv for its rows", required=True)
    command.set_defaults(command=embed, goes_on=GOES_ON)


def embed(parsed: argparse.Namespace) -> None:
    """Embeds every file, continuing where the last call stopped. Files without an embedding are listed."""
    _require_ending(parsed.out, (".parquet", ".npy"))
    written = written_by_embed(parsed.out)
    options.spare([parsed.source, parsed.weights], *written)
    require_own(parsed.out, written, of_pairs=False)
    work = _Work.of(parsed)
    listing = Listing.of(parsed.source)
    parts = list(listing.parts(parts_folder(parsed.out), work.task))
    inputs = digest_of(parts)
    if is_finished(parsed.out, inputs, listing.root):
        print(f"{parsed.out}: is complete already; nothing has changed since")
        return
    with open_parts(parsed.out) as folder:
        embedded = work.embed(parts, folder)
        write_embeddings(parsed.out, embedded, work.header.network.dimension, work.record(embedded, inputs))
        remove_parts(folder)
    print(embedded.describe())
    print(f"wrote {parsed.out}" + (f" and {beside(parsed.out, '.problems.csv')}" if embedded.problems else ""))


def add_verify(commands: options.Subcommands) -> None:
    command = commands.add_parser("verify", help="decide about the pairs of photographs of a CSV file")
    command.add_argument("pairs", type=Path, help="CSV file with two paths a line")
    _add_work(command, CHOICES)
    rule = command.add_mutually_exclusive_group()
    rule.add_argument("--threshold", type=_rate, help="similarity from which a pair is the same (default: the model's)")
    rule.add_argument("--max-fmr", type=_rate, help="false match rate that chooses the threshold")
    options.add_out_file(command, "RESULT.csv or RESULT.parquet", required=True)
    command.set_defaults(command=verify, goes_on=GOES_ON)


def verify(parsed: argparse.Namespace) -> None:
    """Decides about each pair. The images are embedded first, continuing where the last call stopped."""
    _require_ending(parsed.out, (".csv", ".parquet"))
    written = [parsed.out, beside(parsed.out, ".json")]
    options.spare([parsed.pairs, parsed.weights], *written)
    require_own(parsed.out, written, of_pairs=True)
    work = _Work.of(parsed)
    header = work.header
    points, curve = header.operating_points, header.false_match_curve
    rule = Rule.choose(parsed.threshold, parsed.max_fmr, header.threshold.value, points, curve)
    pairs = PairList.read(parsed.pairs)
    with open_parts(parsed.out) as folder:
        parts = list(pairs.images.parts(folder, work.task))
        embedded = work.embed(parts, folder)
        images = EmbeddedImages.of(embedded, folder / "embeddings.raw", header.network.dimension)
        verifier = PairVerifier(work.verifier, rule, pairs, images)
        with tqdm(total=len(pairs.left), unit=" pairs", disable=None, mininterval=1) as bar:
            counts = verifier.write(parsed.out, bar.update)
        write_record(parsed.out, work.record(embedded, digest_of(parts)) | {"rule": vars(rule), "pairs": counts})
        remove_parts(folder)
    print(f"{len(pairs.left)} pairs: " + ", ".join(f"{said} {count}" for said, count in sorted(counts.items())))
    print(f"wrote {parsed.out}")


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What both commands begin with."""

    task: ImageTask
    verifier: Verifier
    run: Run

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> "_Work":
        """Raises FacepairError if the checkpoint cannot be used, or not with --face."""
        verifier = Verifier.of(load(parsed.weights), "cpu")
        task = ImageTask(
            weights=parsed.weights.absolute(),
            checkpoint_sha256=verifier.header.checkpoint_sha256,
            device=parsed.device,
            choice=_choice(parsed.face, verifier.header),
        )
        return cls(task=task, verifier=verifier, run=_run_of(parsed))

    @property
    def header(self) -> Header:
        return self.verifier.header

    def embed(self, parts: Sequence[Part], folder: Path) -> Embedded:
        with tqdm(total=sum(len(part.names) for part in parts), unit=" files", disable=None, mininterval=1) as bar:
            return embed_parts(parts, self.task, folder, self.run, _updating(bar))

    def record(self, embedded: Embedded, inputs_sha256: str) -> Record:
        """What is stored beside a result."""
        header = self.header
        return {
            "model": header.name,
            "embedding_sha256": header.embedding_sha256,
            "checkpoint_sha256": header.checkpoint_sha256,
            "dimension": header.network.dimension,
            "face": self.task.choice,
            "device": self.task.device,
            "files": embedded.files,
            "embeddings": embedded.embeddings,
            "problems": embedded.problems,
            "version": __version__,
            "inputs_sha256": inputs_sha256,
        }


def _run_of(parsed: argparse.Namespace) -> Run:
    """How parts are embedded: by processes of this machine, or on a cluster."""
    cluster, folder = cluster_of(parsed), parts_folder(parsed.out)
    if cluster is None:
        return run_here(parsed.workers)
    return lambda task, parts: cluster.run((PartTask(task=task, part=_absolute(part)) for part in parts), folder)


def _absolute(part: Part) -> Part:
    return replace(part, root=part.root.absolute(), path=part.path.absolute())


def _updating(bar: Any) -> Callable[[PartCounts], object]:
    return lambda counts: bar.update(counts.files)


def _add_work(command: argparse.ArgumentParser, choices: Sequence[str]) -> None:
    command.add_argument("--weights", type=Path, required=True, help="checkpoint")
    command.add_argument(
        "--face",
        choices=choices,
        help="which face of a photograph (default: largest; none for models of whole pictures)",
    )
    command.add_argument(
        "--workers", type=options.positive, default=cores(), help="processes (default: one for each core)"
    )
    command.add_argument("--device", default="cpu", help="of the network: auto, cpu, cuda or cuda:N (default: cpu)")
    add_ray(command)


def _choice(face: Choice | None, header: Header) -> Choice:
    if header.preprocessing.alignment:
        return face or "largest"
    if face not in (None, "none"):
        raise DataError(f"--face {face}: the model sees whole pictures and finds no faces; leave --face out")
    return "none"


def _require_ending(path: Path, endings: Sequence[str]) -> None:
    if path.suffix not in endings:
        raise DataError(f"{path}: --out must end with {' or '.join(endings)}")


def _rate(text: str) -> float:
    if not 0 <= (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return number
