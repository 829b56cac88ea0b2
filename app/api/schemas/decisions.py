"""What answers say of a pair: the model and the decision."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import examples
from model.checkpoint import Header
from model.conditions import ComparedPair, decide_for_pair, rate_of_pair, with_shown
from model.rules import Rule
from model.similarity import Decision

Similarity = Annotated[float, Field(ge=0, le=1, description="0 to 1, higher means closer")]
Rate = Annotated[
    float, Field(ge=0, le=1, description="false match rate: the share of impostor pairs that are accepted")
]
IsUpperBound = Annotated[
    bool, Field(description="whether the rate is the lowest that its measurement can show, so that it may be lower")
]
Conditions = Annotated[list[str], Field(description="what pictures are in, such as blurred or covered_eyes")]


class ModelName(BaseModel):
    """Which model answered; embeddings can be compared only under one digest."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.MODEL]})

    name: str
    embedding_sha256: str

    @classmethod
    def of(cls, header: Header) -> Self:
        """The model of a checkpoint."""
        return cls(name=header.name, embedding_sha256=header.embedding_sha256)


class DecisionReport(BaseModel):
    """What /verify and /compare both say of a similarity.

    `conditions` are those that both sides share, `not_photograph` if either is one, and `alike` if they are; null if
    they are not known.
    `fmr_at_similarity` is that of pairs in them. It and `fmr_is_upper_bound` are null if it was not measured.
    "undecided" is only said with max_fmr.
    """

    decision: Decision
    verified: bool
    similarity: Similarity
    threshold: Similarity
    operating_point: str | None
    fmr_at_similarity: Rate | None
    fmr_is_upper_bound: IsUpperBound | None
    conditions: Conditions | None

    @classmethod
    def of(cls, pair: ComparedPair, rule: Rule, header: Header, shared: list[str] | None, **answer: Any) -> Self:
        """The decision of a rule for a pair that shares these conditions, with the further fields of the answer."""
        conditions, similarity = with_shown(shared, pair.conditions), pair.similarity
        rates, known = header.condition_rates, conditions or []
        decision = decide_for_pair(similarity, rule.threshold, rule.max_fmr, rates, known)
        rate = rate_of_pair(similarity, header.false_match_curve, rates, known)
        return cls(
            decision=decision,
            verified=decision == "same",
            similarity=similarity,
            threshold=rule.threshold,
            operating_point=rule.operating_point,
            fmr_at_similarity=rate.value if rate else None,
            fmr_is_upper_bound=rate.is_bound if rate else None,
            conditions=conditions,
            **answer,
        )
