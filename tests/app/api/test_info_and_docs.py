"""/info, /openapi.json and /docs say what the service does."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from app.api.openapi.document import MODULES
from app.api.problems import KINDS
from app.server.replica import open_verifier
from app.settings import SHIPPED, Settings
from model import __version__
from model.checkpoint import load
from model.networks.embedder import save
from model.similarity import Calibration
from model.verifier import Verifier
from tests.app.support.requests import ANNA, BERTA, compare_request, embed, files, verify
from tests.conftest import client_of, describe, tiny_network

pytestmark = pytest.mark.anyio

MODELS = {
    name: model
    for module in MODULES
    for name, model in vars(module).items()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__
}
WHOLE_ANSWERS = {
    ("/v1/verify", "post"): "Verification",
    ("/v1/verify/batch", "post"): "BatchVerification",
    ("/v1/embed", "post"): "EmbeddingList",
    ("/v1/detect", "post"): "Detection",
    ("/v1/compare", "post"): "Comparison",
    ("/v1/info", "get"): "Info",
    ("/health/live", "get"): "Health",
    ("/health/ready", "get"): "Health",
}

# A body of each route with images, in one of its two forms.
FORMS = ("VerifyRequest", "BatchForm", "EmbedForm", "DetectRequest", "ExplainForm")


@pytest.mark.parametrize(
    "weights",
    ["experiment-2", "experiment-5", "experiment-7", "experiment-8", "experiment-9", "experiment-10", "experiment-12"],
)
def test_a_shipped_network_is_described_by_one_schema(weights: str) -> None:
    """/info has the network and its preprocessing; where either schema fitted, a client could not tell which it is."""
    import jsonschema  # which takes seconds to import

    header = load(SHIPPED.with_name(f"{weights}.safetensors")).header
    document = MODELS["Info"].model_json_schema(mode="serialization")
    values = header.model_dump(mode="json")
    for field, others in (("network", {"side_px": "large"}), ("preprocessing", {"unheard_of": 1})):
        schema = document["properties"][field] | {"$defs": document["$defs"]}
        jsonschema.validate(values[field], schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values[field] | others, schema)


async def test_info_describes_the_checkpoint(client: httpx.AsyncClient, verifier: Verifier) -> None:
    info = (await client.get("/info")).json()
    header = verifier.header.model_dump(mode="json")
    assert info["version"] == __version__
    assert info["model"] == {"name": header["name"], "embedding_sha256": header["embedding_sha256"]}
    assert info["device"] == "cpu"
    assert info["dimension"] == 32
    same = ("checkpoint_sha256", "network", "preprocessing", "threshold", "metrics", "provenance")
    assert {key: info[key] for key in same} == {key: header[key] for key in same}


async def test_info_says_what_the_rates_hold_for(settings: Settings, client: httpx.AsyncClient, tmp_path: Path) -> None:
    info = (await client.get("/info")).json()
    assert info["calibration"] == {"centred": False, "scale": 1.0, "bias": 0.0, "made_on": None}
    assert info["rates_hold_for"] == "photographs like the training data's; calibrate with your own for others"
    made_on = "50 people, 50 pictures, SHA-256 abababababab"
    changed = describe().model_copy(update={"calibration": Calibration(scale=2.0, bias=-0.5, made_on=made_on)})
    save(tmp_path / "mine.safetensors", tiny_network(), changed)
    mine = settings.model_copy(update={"weights": tmp_path / "mine.safetensors"})
    async with client_of(mine, open_verifier(mine)) as calibrated:
        info = (await calibrated.get("/info")).json()
    assert info["calibration"] == {"centred": False, "scale": 2.0, "bias": -0.5, "made_on": made_on}
    assert info["rates_hold_for"] == f"photographs like those of the calibration ({made_on})"


async def test_info_states_the_limits_that_hold(settings: Settings, verifier: Verifier) -> None:
    limits = {"max_image_bytes": 2048, "max_pixels": 4096, "min_side_px": 33, "max_images": 3, "max_faces": 5}
    limits |= {"max_request_bytes": 5000, "max_request_pixels": 9000}
    async with client_of(settings.model_copy(update=limits), verifier) as client:
        assert (await client.get("/info")).json()["limits"] == limits


async def test_info_hides_the_machine(client: httpx.AsyncClient, settings: Settings) -> None:
    text = (await client.get("/info")).text
    assert str(settings.weights) not in text
    assert settings.weights.parent.name not in text


@pytest.mark.parametrize(
    ("path", "required", "optional"),
    [
        ("/v1/verify", {"image1", "image2"}, {"threshold", "max_fmr", "face"}),
        ("/v1/verify/batch", {"image1", "image2"}, {"threshold", "max_fmr", "face"}),
        ("/v1/embed", {"image"}, {"encoding_format", "face", "on_error"}),
        ("/v1/detect", {"image"}, {"crops", "on_error"}),
        ("/v1/explain", {"image1", "image2"}, {"face1", "face2"}),
    ],
)
async def test_the_multipart_bodies_are_documented(
    openapi: dict[str, Any], path: str, required: set[str], optional: set[str]
) -> None:
    content = openapi["paths"][path]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    for form in content.values():
        schema = referred(openapi, form["schema"])
        assert set(schema["required"]) == required
        assert set(schema["properties"]) == required | optional


@pytest.mark.parametrize(
    ("path", "part"),
    [("/v1/embed", "image"), ("/v1/detect", "image"), ("/v1/verify", "image1"), ("/v1/verify", "image2")],
)
async def test_several_images_are_documented_as_a_list(openapi: dict[str, Any], path: str, part: str) -> None:
    content = openapi["paths"][path]["post"]["requestBody"]["content"]
    image = referred(openapi, content["multipart/form-data"]["schema"])["properties"][part]
    assert (image["type"], image["items"]["format"]) == ("array", "binary")


async def test_the_document_has_the_limits_of_lists(settings: Settings, verifier: Verifier) -> None:
    async with client_of(settings.model_copy(update={"max_images": 3}), verifier) as client:
        schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    most = {
        name: {part["maxItems"] for part in schemas[name]["properties"].values() if "items" in part} for name in FORMS
    }
    assert most == {"VerifyRequest": {2}, "BatchForm": {2}, "EmbedForm": {3}, "DetectRequest": {3}, "ExplainForm": {1}}


@pytest.mark.parametrize("name", ["VerifyRequest", "BatchRequest", "CompareRequest"])
async def test_threshold_and_max_fmr_exclude_each_other(openapi: dict[str, Any], name: str) -> None:
    import jsonschema

    schema = openapi["components"]["schemas"][name]
    images = {"image1": ["aGk="], "image2": ["aGk="]}
    sides = {"embedding1": [0.5], "embedding2": [0.5], "embedding_sha256": "0" * 64}
    body = sides if name == "CompareRequest" else images
    for rule in ({}, {"threshold": 0.5}, {"max_fmr": 0.1}):
        jsonschema.validate(body | rule, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body | {"threshold": 0.5, "max_fmr": 0.1}, schema)


async def test_the_json_body_is_documented_with_an_example(openapi: dict[str, Any]) -> None:
    content = openapi["paths"]["/v1/compare"]["post"]["requestBody"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/CompareRequest"}
    for example in openapi["components"]["schemas"]["CompareRequest"]["examples"]:
        MODELS["CompareRequest"].model_validate(example)


async def test_every_operation_has_an_id(openapi: dict[str, Any]) -> None:
    operations = [each for operations in openapi["paths"].values() for each in operations.values()]
    assert sorted(operation["operationId"] for operation in operations) == [
        "compare", "detect", "embed", "explain", "info", "live", "metrics", "ready", "verify", "verify_batch",
    ]  # fmt: skip
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(openapi)):
        assert reference.removeprefix("#/components/schemas/") in openapi["components"]["schemas"]


async def test_fields_that_every_answer_has_are_required(openapi: dict[str, Any]) -> None:
    answers = (
        "Verification",
        "BatchVerification",
        "EmbeddingList",
        "Detection",
        "Comparison",
        "Explanation",
        "ProblemDetail",
    )
    for name in (*answers, "PairReport", "EmbeddedFace", "ImageReport", "FaceReport", "ExplainedImage"):
        schema = openapi["components"]["schemas"][name]
        on_request = {"crop"} if name == "FaceReport" else set()
        assert set(schema["required"]) == set(schema["properties"]) - on_request, name


async def test_every_header_is_documented(client: httpx.AsyncClient, openapi: dict[str, Any]) -> None:
    for operation in operations_of(openapi):
        assert all("X-Request-ID" in response["headers"] for response in operation["responses"].values())
        for status, header in (("401", "WWW-Authenticate"), ("429", "Retry-After"), ("503", "Retry-After")):
            assert header in operation["responses"].get(status, {"headers": {header}})["headers"]
        assert "Allow" in operation["responses"]["default"]["headers"]
    response = await client.get("/metrics")
    documented = openapi["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert list(documented) == [response.headers["content-type"].partition(";")[0]]


@pytest.mark.parametrize(("route", "name"), WHOLE_ANSWERS.items())
async def test_examples_match_their_schema(openapi: dict[str, Any], route: tuple[str, str], name: str) -> None:
    path, method = route
    content = openapi["paths"][path][method]["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}
    examples = openapi["components"]["schemas"][name]["examples"]
    assert examples
    for example in examples:
        MODELS[name].model_validate(example)


@pytest.mark.parametrize("name", ["Verification", "EmbeddingList", "Comparison", "Info"])
async def test_each_example_has_the_fields_of_a_real_answer(client: httpx.AsyncClient, name: str) -> None:
    several = await client.post("/verify", files=files(("image1", ANNA), *[("image2", BERTA)] * 3))
    answers = {
        "Verification": [await verify(client), await verify(client), several.json()],
        "EmbeddingList": [await embed(client, ANNA)],
        "Comparison": [(await client.post("/compare", json=await compare_request(client))).json()],
        "Info": [(await client.get("/info")).json()],
    }[name]
    for example, real in zip(MODELS[name].model_json_schema()["examples"], answers, strict=True):
        assert set(example) == set(real)
        for key in ("images", "limits", "timing_ms"):
            assert fields(example.get(key)) == fields(real.get(key))


def fields(value: Any) -> Any:
    """The names in a part of an answer; of images also what each is called."""
    if isinstance(value, list):
        return {(item["field"], *sorted(item)) for item in value}
    return value and set(value)


async def test_every_error_is_documented_with_its_media_type_and_codes(openapi: dict[str, Any]) -> None:
    codes = openapi["components"]["schemas"]["ProblemDetail"]["properties"]["code"]["enum"]
    assert codes == [kind.code for kind in KINDS]
    for operation in operations_of(openapi):
        for status, response in operation["responses"].items():
            assert status == "200" or set(response["content"]) == {"application/problem+json"}
    example = MODELS["ProblemDetail"].model_json_schema()["examples"][0]
    MODELS["ProblemDetail"].model_validate(example)


async def test_every_error_is_documented_under_its_status(openapi: dict[str, Any]) -> None:
    said = [
        (status, code)
        for operation in operations_of(openapi)
        for status, response in operation["responses"].items()
        for code in re.findall(r"`(\w+)`", response["description"])
    ]
    of_any_path = {"not_found", "method_not_allowed"}
    assert set(said) == {(str(kind.status), kind.code) for kind in KINDS if kind.code not in of_any_path}


async def test_the_document_suits_linters_and_generators(openapi: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in openapi["tags"]}
    assert openapi["servers"]
    for operation in operations_of(openapi):
        assert set(operation["tags"]) <= tags
        assert operation["tags"]
        content = operation.get("requestBody", {}).get("content", {"application/json": None})
        assert next(iter(content)) == "application/json"  # generators take the first, and some send no other numbers
    for name, schema in openapi["components"]["schemas"].items():
        assert name.lower() not in {field.replace("_", "") for field in schema.get("properties", {})}, name
    for schema in objects_in(openapi):
        if schema.get("type") == "array":
            assert "items" in schema
            assert "prefixItems" not in schema


async def test_the_form_at_docs_has_files_to_choose_and_empty_boxes(client: httpx.AsyncClient) -> None:
    assert '"docs/openapi.json"' in (await client.get("/docs")).text
    document = (await client.get("/docs/openapi.json")).json()
    for path in ("/v1/verify", "/v1/verify/batch"):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        assert next(iter(content)) == "multipart/form-data"
        for part in ("threshold", "max_fmr"):
            form, request = (referred(document, content[kind]["schema"]) for kind in content)
            assert form["properties"][part]["examples"] == [""]
            assert "examples" not in request["properties"][part]


def referred(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference means."""
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def operations_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for operations in document["paths"].values() for operation in operations.values()]


def objects_in(value: Any) -> list[dict[str, Any]]:
    """Every object within a value."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] * isinstance(value, dict) + [each for item in inner for each in objects_in(item)]


async def test_the_documentation_page_answers(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in response.text
    for path in ("/docs", "/docs/openapi.json"):
        response = await client.head(path)
        assert (response.status_code, response.content) == (200, b"")


async def test_documentation_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", (await client.get("/docs")).text)
    assert {link.rpartition(".")[2] for link in links} == {"js", "css", "png"}
    for link in links:
        assert link.startswith("/")
        assert not link.startswith("//")
        assert (await client.get(link)).status_code == 200
    assert (await client.get("/redoc")).status_code == 404
