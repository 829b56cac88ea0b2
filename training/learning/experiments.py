"""All experiments, as frozen values."""

from dataclasses import replace
from typing import Any, TypeVar

from model.errors import TrainingError
from model.imaging.preprocessing import Alignment, PreprocessingConfig
from model.networks.configurations import NetworkConfig, ResidualConfig
from training.learning.experiment import Experiment, Start
from training.pairs import Augmentation, PairExperiment
from training.people import people_augmentation, people_batches, people_recipe
from training.people.nuisances import Nuisances
from training.people.teaching import Teaching

Run = TypeVar("Run", bound=Experiment[Any])

# The name of the best combination's run, and of its folder inside the grid's.
BEST_FOLDER = "grid-best"

PAPER = NetworkConfig(batch_norm=False, embedding_activation="sigmoid")
NORMALISED = NetworkConfig(batch_norm=True, embedding_activation="relu")

# The mean landmarks of the first picture of each of peopleDevTrain's 4,038 people, in the deep-funneled frame, and the
# detector that found them. Computed by `python -m training template`.
LFW_ALIGNMENT = Alignment(
    template=((0.4136, 0.4501), (0.5864, 0.4501), (0.5, 0.5495), (0.4267, 0.6274), (0.5733, 0.6274)),
    detector_sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
)
SMOOTH_ALIGNMENT = LFW_ALIGNMENT.model_copy(update={"refinement": "smooth"})
# With the landmark network that `python -m training landmarks` trained on pictures refined smoothly.
LEARNED_ALIGNMENT = LFW_ALIGNMENT.model_copy(
    update={
        "refinement": "learned",
        "landmarks_sha256": "921890a55487ac9220b13388d7362be2622e5033cf76f4787ac5d28cd6ef13d1",
    }
)
# The face without the background: 150 of the frame's 250 pixels.
ALIGNED = PreprocessingConfig(crop=0.6, draft_margin=10, alignment=LFW_ALIGNMENT)

EXPERIMENT_1 = PairExperiment(name="experiment-1", network=PAPER)
EXPERIMENT_2 = PairExperiment(name="experiment-2", network=NORMALISED, augmentation=Augmentation())
EXPERIMENT_2_ALIGNED = replace(EXPERIMENT_2, name="experiment-2-aligned", preprocessing=ALIGNED)
EXPERIMENT_3 = replace(
    EXPERIMENT_2,
    name="experiment-3",
    network=NORMALISED.model_copy(update={"dropout": 0.5}),
    weight_decay=1e-4,
    decay_every_epochs=5,
)
EXPERIMENT_4 = replace(
    EXPERIMENT_2, name="experiment-4", loss="mse", decay_every_epochs=5, patience_epochs=5, keep="best"
)
# The reference's best combination.
GRID_WINNER = replace(EXPERIMENT_4, name="grid-winner", batch_pairs=64, patience_epochs=3)
# What `python -m training grid` varies. bfloat16 halves the time on CPUs that support it.
GRID_BASE = replace(EXPERIMENT_4, precision="bfloat16")
# The best combination that the grid search found; it is tested under this name.
GRID_BEST = replace(GRID_BASE, name=BEST_FOLDER, batch_pairs=64, epochs=30, patience_epochs=7)
# A narrow network for two epochs, to check an installation and a data set within a minute.
SMOKE = replace(
    EXPERIMENT_2,
    name="smoke",
    network=NORMALISED.model_copy(update={"channels": (4, 4, 8, 8), "dimension": 32}),
    epochs=2,
    batch_pairs=16,
    learning_rate=1e-3,
)

# Eyes with brows, nose and mouth, as located in the mean of the deep-funneled pictures' central 128 of 250 pixels.
DEEP_FUNNELED_FACE = people_batches.FaceParts(
    parts=(
        people_batches.Part(x=0.5, y=0.36, half_width=0.29, half_height=0.08),
        people_batches.Part(x=0.5, y=0.55, half_width=0.09, half_height=0.09),
        people_batches.Part(x=0.5, y=0.77, half_width=0.16, half_height=0.05),
    )
)
EXPERIMENT_5 = people_recipe.PeopleExperiment(
    name="experiment-5",
    network=ResidualConfig(input_channels=3, grey_views=(1,)),
    preprocessing=PreprocessingConfig(
        side_px=100, colour="rgb", crop=150 / 250, standardised=True, draft_margin=10, alignment=LFW_ALIGNMENT
    ),
    augmentation=people_augmentation.BatchAugmentation(colour=people_augmentation.ColourChange()),
    face=DEEP_FUNNELED_FACE.seen_through(128 / 150),
    precision="bfloat16",
)
# Without data from outside LFW: no detector, the deep-funneled pictures as published.
EXPERIMENT_5_UNALIGNED = replace(
    EXPERIMENT_5,
    name="experiment-5-unaligned",
    preprocessing=PreprocessingConfig(side_px=100, colour="rgb", crop=150 / 250, standardised=True),
)
EXPERIMENT_5_COLOUR = replace(EXPERIMENT_5, name="experiment-5-colour", network=ResidualConfig(input_channels=3))
EXPERIMENT_5_GREY = replace(
    EXPERIMENT_5,
    name="experiment-5-grey",
    network=ResidualConfig(),
    preprocessing=EXPERIMENT_5.preprocessing.model_copy(update={"colour": "grey"}),
    augmentation=people_augmentation.BatchAugmentation(),
)
EXPERIMENT_5_GREY_UNALIGNED = replace(
    EXPERIMENT_5_GREY,
    name="experiment-5-grey-unaligned",
    preprocessing=EXPERIMENT_5_UNALIGNED.preprocessing.model_copy(update={"colour": "grey"}),
)
# Strangers share their pictures' conditions, so that a likeness of blur, light or covers is not taken for identity.
EXPERIMENT_6 = replace(
    EXPERIMENT_5,
    name="experiment-6",
    # Without the mirror image held-out people have 91.8% of pairs right instead of 92.2% (McNemar p = 0.34), an area
    # under ROC of 0.9745 instead of 0.9749, and half of the arithmetic.
    network=EXPERIMENT_5.network.model_copy(update={"flip_average": False}),
    preprocessing=EXPERIMENT_5.preprocessing.model_copy(update={"alignment": SMOOTH_ALIGNMENT}),
    nuisances=Nuisances(probability=0.5),
    precision="auto",
)
# Landmarks in two looks of a small network, and fewer shared conditions.
EXPERIMENT_7 = replace(
    EXPERIMENT_6,
    name="experiment-7",
    preprocessing=EXPERIMENT_6.preprocessing.model_copy(update={"alignment": LEARNED_ALIGNMENT}),
    nuisances=Nuisances(probability=0.4),
)
# A smaller network, which learns from Experiments 5 and 7 how faces resemble each other, and sees backlit faces.
EXPERIMENT_8 = replace(
    EXPERIMENT_7,
    name="experiment-8",
    network=EXPERIMENT_7.network.model_copy(update={"channels": (16, 48, 96, 128)}),
    epochs=32,
    backlit=0.2,
    teaching=Teaching(
        teachers=("experiment-5", "experiment-7"),
        embedding_sha256=(
            "726597dc0fa1191b406a73be85ce577f0bcbc3c0814624e6c35c4e5bc845dc56",
            "e71525f75bc6184cebb85fd54e587e747d025f2f211713455264ca84099b3d1f",
        ),
    ),
)
# Experiment 8 trained further, with more covers.
EXPERIMENT_9 = replace(
    EXPERIMENT_8,
    name="experiment-9",
    nuisances=Nuisances(probability=0.4, covered=0.45),
    backlit=0.15,
    epochs=30,
    learning_rate=1e-3,
    rising=0.2,
    start=Start(
        checkpoint="experiment-8",
        embedding_sha256="a6f36fb1c5789a524636728de760aa7b6b250b2b14987a15684fa6f44bd8b803",
    ),
)
# Experiment 9 with a head that makes allowance for pictures that are alike. Nothing is learned but the head.
EXPERIMENT_10 = replace(
    EXPERIMENT_9,
    name="experiment-10",
    network=EXPERIMENT_9.network.model_copy(
        update={"thumbnail_cells": 10, "thumbnail_values": 128, "dimension": 512 + 128}
    ),
    epochs=0,
    start=Start(
        checkpoint="experiment-9",
        embedding_sha256="217381b40ab62891f2fd9d45b997d58e4f4acd520ef883fdf602860da888df59",
    ),
)
# Experiment 10 with gradient histograms and a fused head. Nothing is learned; they are fitted.
EXPERIMENT_12 = replace(
    EXPERIMENT_10,
    name="experiment-12",
    network=EXPERIMENT_10.network.model_copy(
        update={"gradient_values": 256, "dimension": 512 + 256 + 128, "head": "fused"}
    ),
    start=Start(
        checkpoint="experiment-10",
        embedding_sha256="1093f096ad1a915fc58929f31d92d4b9a67ee8d2f1acd8757ed3907ce0d5a793",
    ),
)
# The first version of Experiment 5, which needs half the arithmetic.
EXPERIMENT_5_ONE_VIEW = replace(
    EXPERIMENT_5_GREY,
    name="experiment-5-one-view",
    network=ResidualConfig(side_px=64, views=(1.0,), dimension=256),
    preprocessing=PreprocessingConfig(
        side_px=64, crop=128 / 250, standardised=True, draft_margin=16, alignment=LFW_ALIGNMENT
    ),
    face=DEEP_FUNNELED_FACE,
    precision="float32",
)
# A recipe short enough to compare two ways of refining landmarks.
EXPERIMENT_5_SHORT = replace(EXPERIMENT_5_ONE_VIEW, name="experiment-5-short", epochs=12)
EXPERIMENT_5_SHORT_SMOOTH = replace(
    EXPERIMENT_5_SHORT,
    name="experiment-5-short-smooth",
    preprocessing=EXPERIMENT_5_SHORT.preprocessing.model_copy(update={"alignment": SMOOTH_ALIGNMENT}),
)


def _by_name(*runs: Run) -> dict[str, Run]:
    return {run.name: run for run in runs}


PAIR_EXPERIMENTS = _by_name(
    EXPERIMENT_1, EXPERIMENT_2, EXPERIMENT_2_ALIGNED, EXPERIMENT_3, EXPERIMENT_4, GRID_WINNER, GRID_BEST, SMOKE
)
PEOPLE_EXPERIMENTS = _by_name(
    EXPERIMENT_5, EXPERIMENT_6, EXPERIMENT_7, EXPERIMENT_8, EXPERIMENT_9, EXPERIMENT_10, EXPERIMENT_12,
    EXPERIMENT_5_UNALIGNED, EXPERIMENT_5_COLOUR, EXPERIMENT_5_GREY, EXPERIMENT_5_GREY_UNALIGNED,
    EXPERIMENT_5_ONE_VIEW, EXPERIMENT_5_SHORT, EXPERIMENT_5_SHORT_SMOOTH,
)  # fmt: skip
EXPERIMENTS: dict[str, Experiment[Any]] = {**PAIR_EXPERIMENTS, **PEOPLE_EXPERIMENTS}
# The one whose network is served by default.
SERVED = EXPERIMENT_12


def find_experiment(name: str) -> Experiment[Any]:
    """The experiment with that name. Raises TrainingError if there is none."""
    if name not in EXPERIMENTS:
        raise TrainingError(f"unknown experiment {name!r}; use one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def with_seed(experiment: Run, seed: int | None) -> Run:
    """A copy with that seed and a name that says so; the experiment itself if the seed is None or unchanged."""
    if seed in (None, experiment.seed):
        return experiment
    return replace(experiment, seed=seed, name=f"{experiment.name}-seed{seed}")
