"""An example of each body, as the documentation at /docs shows it."""

from pydantic.config import JsonDict

DIGEST = "9f2c41d0" * 8
MODEL: JsonDict = {"name": "experiment-12", "embedding_sha256": DIGEST}

FACE: JsonDict = {
    "index": 0,
    "box": {"x": 76.1, "y": 61.9, "width": 98.2, "height": 131.0},
    "landmarks": {
        "right_eye": [103.4, 112.5],
        "left_eye": [146.6, 112.5],
        "nose": [125.0, 137.4],
        "right_mouth": [106.7, 156.9],
        "left_mouth": [143.3, 156.9],
    },
    "score": 0.93,
    "quality": {"inter_eye_px": 43.2, "sharpness": 310.5, "brightness": 121.3, "roll_deg": 0.4, "yaw_deg": -3.1},
    "conditions": [],
    "warnings": [],
}
IMAGE: JsonDict = {
    "field": "image1",
    "width": 250,
    "height": 250,
    "orientation": 1,
    "format": "JPEG",
    "faces_found": 1,
    "face": FACE,
    "faces": None,
    "warnings": [],
}
VERIFICATION: JsonDict = {
    "decision": "same",
    "verified": True,
    "similarity": 0.9681,
    "threshold": 0.9138,
    "operating_point": "fmr_1e-2",
    "fmr_at_similarity": 0.0044,
    "fmr_is_upper_bound": False,
    "conditions": [],
    "images": [
        IMAGE,
        {**IMAGE, "field": "image2"},
    ],
    "model": MODEL,
    "timing_ms": {"decode": 12.0, "face": 10.0, "queue": 0.1, "inference": 21.4, "total": 25.0},
    "request_id": "5b0e1c8f",
}
BLURRED: JsonDict = {**IMAGE, "face": {**FACE, "conditions": ["blurred"]}}
VERIFICATION_UNDECIDED: JsonDict = {
    **VERIFICATION,
    "decision": "undecided",
    "verified": False,
    "fmr_at_similarity": 0.034,
    "conditions": ["blurred"],
    "images": [BLURRED, {**BLURRED, "field": "image2"}],
}
VERIFICATION_OF_SEVERAL: JsonDict = {
    **VERIFICATION,
    "similarity": 0.9912,
    "fmr_at_similarity": 0.0009,
    "images": [IMAGE, *({**IMAGE, "field": f"image2[{number}]"} for number in range(3))],
}
PROBLEM: JsonDict = {
    "type": "urn:facepair:problem:missing_part",
    "title": "A required part is missing",
    "status": 400,
    "detail": "the part image2 is missing",
    "code": "missing_part",
    "field": "image2",
    "request_id": "5b0e1c8f",
}
DECISION: JsonDict = {
    name: value for name, value in VERIFICATION.items() if name not in ("images", "model", "timing_ms", "request_id")
}
BATCH_VERIFICATION: JsonDict = {
    "pairs": [
        {"index": 0, "image1": "image1", "image2": "image2[0]", "decided": DECISION, "problem": None},
        {
            "index": 1,
            "image1": "image1",
            "image2": "image2[1]",
            "decided": None,
            "problem": {
                "type": "urn:facepair:problem:no_face",
                "title": "There is no face in the image",
                "status": 422,
                "detail": "no face was found; send a photograph that shows one",
                "code": "no_face",
                "field": "image2[1]",
                "request_id": "5b0e1c8f",
            },
        },
    ],
    "images": [IMAGE, {**IMAGE, "field": "image2[0]"}],
    "model": MODEL,
    "timing_ms": VERIFICATION["timing_ms"],
    "request_id": "5b0e1c8f",
}
EMBEDDING_LIST: JsonDict = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "image": 0, "face": 0, "conditions": [], "embedding": [0.0, 0.25]}],
    "images": [{**IMAGE, "field": "image[0]"}],
    "problems": [],
    "model": MODEL,
    "dimension": 896,
    "request_id": "5b0e1c8f",
}
DETECTION: JsonDict = {
    "images": [{**IMAGE, "field": "image[0]", "face": None, "faces": [FACE]}],
    "problems": [],
    "request_id": "5b0e1c8f",
}
COMPARE_REQUEST: JsonDict = {
    "embedding1": [0.0, 0.25],
    "embedding2": "AAAAAAAAgD4=",
    "conditions1": [],
    "conditions2": ["blurred"],
    "embedding_sha256": DIGEST,
}
COMPARE_REQUEST_OF_SEVERAL: JsonDict = {
    **COMPARE_REQUEST,
    "embedding2": [[0.0, 0.25], "AAAAAAAAgD4="],
    "conditions2": [[], ["blurred"]],
}
COMPARISON: JsonDict = {
    "decision": "different",
    "verified": False,
    "similarity": 0.12,
    "threshold": 0.9138,
    "operating_point": "fmr_1e-2",
    "fmr_at_similarity": 0.61,
    "fmr_is_upper_bound": False,
    "conditions": [],
    "warnings": [],
    "model": MODEL,
    "request_id": "5b0e1c8f",
}
INFO: JsonDict = {
    "version": "0.1.0",
    "model": MODEL,
    "checkpoint_sha256": DIGEST,
    "device": "cpu",
    "dimension": 896,
    "network": {"kind": "residual", "side_px": 100, "input_channels": 3},
    "preprocessing": {"side_px": 100, "colour": "rgb"},
    "calibration": {"centred": False, "scale": 1.0, "bias": 0.0, "made_on": None},
    "rates_hold_for": "photographs like the training data's; calibrate with your own for others",
    "threshold": {"value": 0.5, "method": "even odds", "split": "validation", "pairs": 1702},
    "operating_points": [
        {
            "name": "fmr_1e-2",
            "max_fmr": 0.01,
            "threshold": 0.9138,
            "fmr": 0.01,
            "interval": [0.008, 0.012],
            "split": "held-out people",
            "pairs": 500000,
            "people": 600,
        }
    ],
    "metrics": [{"name": "accuracy at threshold", "split": "test", "value": 0.92, "pairs": 1000}],
    "provenance": {
        "experiment": "experiment-12",
        "seed": 0,
        "epochs": 0,
        "data_sha256": DIGEST,
        "code_version": "0.1.0",
        "torch_version": "2.15.0",
        "created_utc": "2026-01-31T12:00:00Z",
    },
    "limits": {
        "max_image_bytes": 20971520,
        "max_pixels": 64000000,
        "min_side_px": 32,
        "max_images": 8,
        "max_request_bytes": 100663296,
        "max_request_pixels": 128000000,
        "max_faces": 64,
    },
    "sandbox": {"system_calls": "filtered", "landlock": 7, "memory_bytes": 1252321536},
}
HEALTH: JsonDict = {"status": "ready"}
