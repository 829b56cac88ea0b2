"""Loading refuses checkpoints that other tools edited, and the error names what does not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.checkpoint import load
from tests.model.support.checkpoints import edited, read_header, refused, same

WEIGHT = "fully_connected.weight"

TENSOR_EDITS: dict[str, tuple[Callable[[dict[str, Tensor]], object], str, str]] = {
    "missing": (lambda all_: all_.pop(WEIGHT), WEIGHT, "is missing"),
    "extra": (lambda all_: all_.update(extra=torch.zeros(1)), "extra", "is not of this network"),
    "extra, over two lines": (lambda all_: all_.update({"a\nb": torch.zeros(1)}), "b", "is not of this network"),
    "wrong shape": (lambda all_: all_.update({WEIGHT: all_[WEIGHT].reshape(-1, 16)}), WEIGHT, "wrong shape or type"),
    "transposed": (lambda all_: all_.update({WEIGHT: all_[WEIGHT].T.contiguous()}), WEIGHT, "wrong shape or type"),
    "single precision": (lambda all_: all_.update({WEIGHT: all_[WEIGHT].float()}), WEIGHT, "wrong shape or type"),
    "bfloat16": (lambda all_: all_.update({WEIGHT: all_[WEIGHT].bfloat16()}), WEIGHT, "wrong shape or type"),
    "not a number": (lambda all_: all_[WEIGHT][0].fill_(torch.nan), WEIGHT, "not finite"),
    "infinite": (lambda all_: all_["twin.0.bias"][1:2].fill_(torch.inf), "twin.0.bias", "not finite"),
    "another value": (lambda all_: all_[WEIGHT][0, :1].add_(1), "", "not match their digest"),
    "swapped": (
        lambda all_: all_.update({"twin.4.bias": all_["twin.0.bias"].clone()}),
        "",
        "not match their digest",
    ),
}


@pytest.mark.parametrize("name", TENSOR_EDITS)
def test_edited_tensors_are_refused(checkpoint_path: Path, tmp_path: Path, name: str) -> None:
    edit, tensor, reason = TENSOR_EDITS[name]
    refused(edited(checkpoint_path, tmp_path, tensors=edit), tensor, reason)


HEADER_EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "threshold": (lambda header: header["threshold"].update(value=0.4), "header does not match its digest"),
    "name": (lambda header: header.update(name="another"), "header does not match its digest"),
    "canary": (lambda header: header.update(canary_similarity=0.5), "header does not match its digest"),
    "metrics": (lambda header: header.update(metrics=[{"name": "accuracy", "split": "test", "value": 1, "pairs": 9}]),
                "header does not match its digest"),
    "no digest": (lambda header: header.pop("checkpoint_sha256"), "header does not match its digest"),
    "activation": (lambda header: header["network"].update(embedding_activation="sigmoid"), "not match their digest"),
    "mean": (lambda header: header["preprocessing"].update(mean=0.4), "not match their digest"),
    "embedding digest": (lambda header: header.update(embedding_sha256="0" * 64), "not match their digest"),
    "wider": (lambda header: header["network"].update(dimension=64), "wrong shape or type"),
    "negative width": (lambda header: header["network"].update(channels=[-1, 4, 8, 8]), "network"),
    "endless width": (lambda header: header["network"].update(channels=[2**40, 4, 8, 8]), "network"),
    "endless dimension": (lambda header: header["network"].update(dimension=2**62), "network"),
    "endless blocks": (
        lambda header: header.update(network={"kind": "residual", "blocks": [2**40, 1, 1, 1]}), "blocks"
    ),
    "endless side": (lambda header: header["preprocessing"].update(side_px=10**15), "side_px"),
    "endless view_px": (lambda header: header.update(network={"kind": "residual", "view_px": 2**40}), "view_px"),
    "an empty region": (lambda header: header.update(network={"kind": "residual", "views": [1.0, 1e-9]}), "views"),
    "a rate above 1": (
        lambda header: header.update(false_match_curve={"thresholds": [0.1, 0.2], "rates": [1.5, 1], "split": "held",
                                                        "pairs": 9, "people": 3}),
        "false_match_curve",
    ),
    "a range upside down": (lambda header: header.update(trained_on={"sharpness": {"low": 2, "high": 1}}), "sharpness"),
    "not normalised": (lambda header: header["network"].update(batch_norm=False), "is not of this network"),
    "threshold out of range": (lambda header: header["threshold"].update(value=1.5), "threshold.value"),
    "later format": (lambda header: header.update(format="facepair-checkpoint-2"), "format"),
    "unknown field": (lambda header: header.update(extra=1), "extra"),
    "unknown field, over two lines": (lambda header: header.update({"a\nb": 1}), "the header does not fit"),
    "missing field": (lambda header: header.pop("network"), "network"),
    "sides disagree": (lambda header: header["network"].update(side_px=106), "side_px"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADER_EDITS)
def test_edited_headers_are_refused(checkpoint_path: Path, tmp_path: Path, name: str) -> None:
    edit, reason = HEADER_EDITS[name]
    refused(edited(checkpoint_path, tmp_path, header=edit), reason)


def test_unedited_copy_loads(checkpoint_path: Path, tmp_path: Path) -> None:
    copy = edited(checkpoint_path, tmp_path)
    assert same(load(copy), load(checkpoint_path))
    assert read_header(copy) == read_header(checkpoint_path)
