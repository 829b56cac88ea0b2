"""A checkpoint measured another way than in its run: on other pictures, or with a part of it left out."""

from pydantic import BaseModel, ConfigDict

from model.checkpoint import Metric

VARIANTS_FOLDER = "evaluations"


class Variant(BaseModel):
    """What `evaluate` found; `over_people` are the same figures of the test pairs with their intervals over people.

    `what` says in words what was changed, and is empty where nothing was; `left_out` pairs have a picture that is not
    there, or without a face.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    checkpoint_sha256: str
    what: str
    images: str
    pairs_list: str
    data_sha256: str
    left_out: int
    threshold: float
    metrics: tuple[Metric, ...]
    over_people: tuple[Metric, ...]
