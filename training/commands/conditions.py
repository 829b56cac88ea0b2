"""`python -m training conditions` and `shared-changes`: pictures that have a blur, a light or a cover in common."""

import argparse
from pathlib import Path

from model.checkpoint import Description, Header, save
from model.errors import DataError
from model.networks.calibrated import restore_calibrated
from training.commands import options
from training.conditions.fitting import Fitted, fit_conditions, refit_conditions
from training.measuring import shared_changes
from training.measuring.variants import held_out_rule, require_people

# Landmarks are rounded otherwise by processors with other instructions, and crops follow them.
OTHER_CROPS = "the crops differ from those of the run: other pictures, or a processor that rounds landmarks otherwise"


def add_conditions(commands: options.Subcommands) -> None:
    command = commands.add_parser("conditions", help="add what finds a picture's conditions, and the rates in them")
    command.add_argument("checkpoint", type=Path)
    options.add_out_file(command, "the new checkpoint; may be the old one", required=True)
    command.add_argument(
        "--only",
        action="append",
        metavar="CONDITION",
        help="fit again what finds this condition, and keep the others and their rates; may be repeated",
    )
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=add_conditions_to_checkpoint)


def add_conditions_to_checkpoint(parsed: argparse.Namespace) -> None:
    """Writes a checkpoint with the same tensors and thresholds, and conditions fitted on its run's people."""
    on = options.Opened.of(parsed)
    header = on.checkpoint.header
    if header.preprocessing.alignment is None:
        raise DataError(f"{header.name}: was not trained on aligned faces, which conditions need")
    data = on.source.people_data(on.album, held_out_rule(header))
    require_people(header, data)
    if on.album.sha256 != header.provenance.data_sha256:
        print(OTHER_CROPS)
    network = restore_calibrated(on.checkpoint).to(on.device)
    if parsed.only:
        if header.conditions is None:
            raise DataError(f"{header.name}: has no conditions yet; fit all of them, without --only")
        old = Fitted(detectors=header.conditions, rates=header.condition_rates)
        fitted = refit_conditions(old, parsed.only, network, on.source, data)
    else:
        fitted = fit_conditions(network, on.source, data)
    changed = {"conditions": fitted.detectors, "condition_rates": fitted.rates}
    description = Description(**{name: changed.get(name, getattr(header, name)) for name in Description.model_fields})
    found = save(parsed.out, on.checkpoint.tensors, description, canary_similarity=header.canary_similarity)
    print(format_conditions(found))
    print(f"wrote {parsed.out}; embeddings stored with the old checkpoint stay valid")


def format_conditions(header: Header) -> str:
    """How many clean pictures are found to be in each condition, and from which similarity pairs keep each rate."""
    flagged = {each.condition: each.flagged for each in header.conditions.detectors} if header.conditions else {}
    points = header.operating_points
    lines = [f"{'condition':<18} {'clean':>6}  " + "  ".join(f"from, for {point.max_fmr:<6g}" for point in points)]
    for each in header.condition_rates:
        share = f"{flagged[each.condition]:.1%}" if each.condition in flagged else ""
        least = "  ".join(f"{max(point.threshold, each.least_similarity(point.max_fmr)):<16.4f}" for point in points)
        lines.append(f"{each.condition:<18} {share:>6}  {least}")
    return "\n".join(lines)


def add_shared_changes(commands: options.Subcommands) -> None:
    command = commands.add_parser("shared-changes", help="error rates if all pictures have a blur, light or cover")
    command.add_argument("checkpoint", type=Path)
    options.add_out_file(command, "file for the figures, such as RUN/shared-changes.json")
    command.add_argument(
        "--calibrate", type=options.positive, metavar="N", help="also set the threshold for 1%% on N changed people"
    )
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=measure_shared_changes)


def measure_shared_changes(parsed: argparse.Namespace) -> None:
    on = options.Opened.of(parsed)
    found = shared_changes.measure_shared_changes(
        on.checkpoint, on.source, on.album, on.device, calibrate=parsed.calibrate
    )
    print(shared_changes.format_shared_changes(found))
    options.write_json(parsed.out, found)
