"""What /compare reads from its body, checked. Errors end the request as a Problem.

D embedding
"""

import base64
import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from pydantic import ValidationError

from app.api.inputs import choose_rule
from app.api.problems import Problem
from app.api.schemas.compare_request import CompareRequest, Names, Side
from model.arrays import Embeddings
from model.averaging import mean_embedding, scale_parts
from model.checkpoint import Header
from model.conditions import shared_conditions
from model.errors import InferenceError
from model.networks.configurations import AnyNetworkConfig
from model.rules import Rule

# A float in JSON takes up to 25 bytes, with its comma and space 27.
JSON_BYTES_PER_VALUE = 32
JSON_BYTES_BESIDE = 4096
# More than the settings allow embeddings. A body of empty lists would block the event loop for a tenth of a second.
MAX_LISTS = 1100
MSG_NO_REQUEST = "send the fields of the documentation, as JSON"
LITTLE_ENDIAN = np.dtype("<f4")
# Far above what a network gives, and far enough below float32's end that differences and their sums cannot overflow.
LARGEST = 1e30
# Of embeddings of unit length; those that were stored in half precision are within it.
LENGTH_TOLERANCE = 0.01
FOREIGN = "these embeddings are of another model than the one served; embed the images again"


@dataclass(frozen=True, kw_only=True)
class EmbeddingPair:
    """The two sides of /compare, float32 (D,), each an embedding or the mean of several.

    `shared` are the conditions that both are in, None if those of a side were not sent.
    """

    left: Embeddings
    right: Embeddings
    shared: list[str] | None
    rule: Rule


def max_json_bytes(dimension: int, embeddings: int) -> int:
    """The largest body of /compare for embeddings of D values."""
    return JSON_BYTES_BESIDE + JSON_BYTES_PER_VALUE * dimension * embeddings


def parse_embedding_pair(body: bytes, header: Header, max_embeddings: int) -> EmbeddingPair:
    """The JSON body of /compare. Raises Problem."""
    request = _parse_compare_request(body)
    if request.embedding_sha256 != header.embedding_sha256:
        raise Problem("foreign_embedding", FOREIGN, "embedding_sha256")
    sides = {"embedding1": _embeddings_of(request.embedding1), "embedding2": _embeddings_of(request.embedding2)}
    if sum(map(len, sides.values())) > max_embeddings:
        longest = max(sides, key=lambda field: len(sides[field]))
        raise Problem("too_many_embeddings", f"a request may have {max_embeddings} embeddings; send fewer", longest)
    left, right = (_mean_of_side(values, header.network, field) for field, values in sides.items())
    one, other = (
        _lists_of(names, len(sides[f"embedding{side}"]), f"conditions{side}")
        for side, names in ((1, request.conditions1), (2, request.conditions2))
    )
    return EmbeddingPair(
        left=left,
        right=right,
        shared=shared_conditions(one, other) if one is not None and other is not None and header.conditions else None,
        rule=choose_rule(request.threshold, request.max_fmr, header),
    )


def _lists_of(names: Names | None, embeddings: int, field: str) -> list[list[str]] | None:
    """The conditions of a side's pictures, from a list for one or a list of lists; None if one is not known.

    Raises Problem unless there is a list for each embedding.
    """
    if names is None:
        return None
    lists = not all(isinstance(each, str) for each in names)
    if (lists and len(names) != embeddings) or (not lists and embeddings > 1):
        count = len(names) if lists else 1
        why = f"{field} has {count} lists of conditions for {embeddings} embeddings; send one for each"
        raise Problem("malformed_json", why, field)
    if None in names:
        return None
    return [[name] if isinstance(name, str) else name for name in names if name is not None]


def _embeddings_of(side: Side) -> list[list[float] | str]:
    """The embeddings of a side, at least one; each is a list of numbers, or base64."""
    several = isinstance(side, list) and side and not isinstance(side[0], float)
    return cast("list[list[float] | str]", side if several else [side])


def _mean_of_side(values: Sequence[list[float] | str], network: AnyNetworkConfig, field: str) -> Embeddings:
    """The mean of a side's embeddings, float32 (D,). Raises Problem."""
    names = [field] if len(values) == 1 else [f"{field}[{number}]" for number in range(len(values))]
    embeddings = [decode_embedding(each, network, name) for each, name in zip(values, names, strict=True)]
    try:
        return mean_embedding(np.stack(embeddings), network.unit_parts)
    except InferenceError as error:
        raise Problem("malformed_embedding", str(error), field) from error


def _parse_compare_request(body: bytes) -> CompareRequest:
    if body.count(b"[") > MAX_LISTS:
        raise Problem("malformed_json", MSG_NO_REQUEST, _side_with_most_lists(body))
    try:
        request = CompareRequest.model_validate_json(body.removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        known = [str(e["loc"][0]) for e in error.errors() if e["loc"] and e["loc"][0] in CompareRequest.model_fields]
        detail = f"{known[0]} is missing or malformed" if known else MSG_NO_REQUEST
        raise Problem("malformed_json", detail, known[0] if known else None) from error
    if name := _repeated_name(body, len(request.model_fields_set)):
        raise Problem("duplicate_part", f"the field {name} may be given once", name)
    return request


def _repeated_name(body: bytes, fields: int) -> str | None:
    """A name that comes twice in a valid body with so many different ones. Of two values pydantic takes the last."""
    if body.count(b":") == fields:  # one for each name
        return None
    names = [name for name, _ in json.loads(body, object_pairs_hook=list)]  # which knows a byte order mark
    return next((name for place, name in enumerate(names) if name in names[:place]), None)


def _side_with_most_lists(body: bytes) -> str | None:
    """The side whose name is followed by the most lists, without parsing the body; None if no side is named."""
    _, *found = re.split(rb'"(embedding[12])"', body)
    sides = list(zip(found[::2], found[1::2], strict=True))
    return max(sides, key=lambda side: side[1].count(b"["))[0].decode() if sides else None


def encode_base64(embedding: Embeddings) -> str:
    """float32 (D,) -> base64 of its little-endian bytes."""
    return base64.b64encode(embedding.astype(LITTLE_ENDIAN).tobytes()).decode("ascii")


def decode_embedding(value: list[float] | str, network: AnyNetworkConfig, field: str) -> Embeddings:
    """Numbers or base64, sent as `field` -> float32 (D,) as the network gives them. Raises Problem."""
    try:
        raw = _decode_base64(value) if isinstance(value, str) else value
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            embedding: Embeddings = np.array(raw, dtype=np.float32)
    except (ValueError, OverflowError) as error:
        raise _malformed("is a list of numbers, or base64 (with + and /) of float32 values", field) from error
    if embedding.shape != (network.dimension,):
        raise _malformed(f"of this model has {network.dimension} values", field)
    if not (np.abs(embedding) <= LARGEST).all():
        raise _malformed(f"has only finite values, none beyond {LARGEST:g}", field)
    lengths = np.ravel(scale_parts(embedding[None].astype(np.float64), network.unit_parts))
    if (np.abs(lengths - 1) > LENGTH_TOLERANCE).any():
        parts = "" if len(lengths) == 1 else f", and {len(lengths)} parts of the same length"
        raise _malformed(f"of this model has length 1{parts}; send it as /embed gave it", field)
    return embedding


def _decode_base64(text: str) -> Embeddings:
    """float32 (N,). Raises ValueError unless the text is base64 of float32 values, with or without padding."""
    padding = "" if "=" in text else "=" * (-len(text) % 4)  # some clients leave it out
    return np.frombuffer(base64.b64decode(text + padding, validate=True), LITTLE_ENDIAN)


def _malformed(what: str, field: str) -> Problem:
    return Problem("malformed_embedding", f"an embedding {what}", field)
