"""Photographs in the forms that phones, screenshots and browsers have them, over HTTP."""

import base64
import struct

import httpx
import pytest
from PIL.Image import Resampling, Transpose

from model.imaging.decoding import MSG_NO_END
from tests.app.support.requests import check_problem, detect, files, pair, verify
from tests.drawing import encode
from tests.faces import head_at, scene

pytestmark = pytest.mark.anyio

HEAD = scene(head_at(1))
JPEG = encode(HEAD, "JPEG", quality=95)
EXIF_6 = b"Exif\0\0II" + struct.pack("<HIHHHIHHI", 42, 8, 1, 0x112, 3, 1, 6, 0, 0)
NO_EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
XMP_6 = (
    b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/>'
    b"</x:xmpmeta>"
)


async def test_heic_and_avif_are_verified(aligned_client: httpx.AsyncClient) -> None:
    answer = await verify(aligned_client, encode(HEAD, "HEIF", quality=90), encode(HEAD, "AVIF", quality=90))
    assert [image["format"] for image in answer["images"]] == ["HEIF", "AVIF"]
    assert [image["faces_found"] for image in answer["images"]] == [1, 1]
    jpegs = await verify(aligned_client, JPEG, JPEG)
    assert answer["similarity"] == pytest.approx(jpegs["similarity"], abs=0.02)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
async def test_tiles_and_turns_of_phones_are_applied(aligned_client: httpx.AsyncClient, kind: str) -> None:
    stored = HEAD.transpose(Transpose.ROTATE_90)
    options = {"tile_size": 256} if kind == "HEIF" else {}
    [image] = await detect(aligned_client, encode(stored, kind, exif=EXIF_6, quality=90, **options))
    assert (image["width"], image["height"], image["faces_found"]) == (640, 480, 1)
    assert image["orientation"] == 1  # every decoder applies it
    assert image["faces"][0]["quality"]["roll_deg"] == pytest.approx(0, abs=5)


def stating(*segments: bytes) -> bytes:
    """A JPEG stored on its side, with these APP1 segments in front of the others."""
    lying = encode(HEAD.transpose(Transpose.ROTATE_90), "JPEG", quality=95)
    parts = b"".join(b"\xff\xe1" + struct.pack(">H", len(each) + 2) + each for each in segments)
    return lying[:2] + parts + lying[2:]


@pytest.mark.parametrize(
    "segments",
    [[EXIF_6], [NO_EXIF, EXIF_6], [XMP_6], [EXIF_6.replace(b"\6", b"\0"), XMP_6], [NO_EXIF, XMP_6]],
    ids=["EXIF", "behind an empty EXIF", "XMP", "EXIF out of range, XMP", "empty EXIF, XMP"],
)
async def test_stated_orientation_is_applied(aligned_client: httpx.AsyncClient, segments: list[bytes]) -> None:
    [image] = await detect(aligned_client, stating(*segments))
    assert (image["width"], image["height"], image["orientation"]) == (640, 480, 6)
    [face] = image["faces"]
    assert face["quality"]["roll_deg"] == pytest.approx(0, abs=5)
    assert not any("turned" in warning for warning in face["warnings"])


async def test_lack_of_an_end_is_a_warning_of_the_image(aligned_client: httpx.AsyncClient) -> None:
    for left, right in ((JPEG[:-2], encode(HEAD)[:-12]), (JPEG, JPEG)):
        answer = await verify(aligned_client, left, right)
        expected = left != right
        assert [MSG_NO_END in image["warnings"] for image in answer["images"]] == [expected, expected]
    for damaged in (JPEG[:-2000], JPEG[:-100] + b"\xff\xd9", JPEG.replace(b"\n", b"\r\n")):
        response = await aligned_client.post("/verify", files=pair(JPEG, damaged))
        check_problem(response, 422, "undecodable_image", "image2")


@pytest.mark.parametrize("size", [(8160, 6144), (8192, 6144)])
async def test_pictures_of_50_megapixels_are_taken(aligned_client: httpx.AsyncClient, size: tuple[int, int]) -> None:
    large = encode(HEAD.resize(size, Resampling.BILINEAR), "JPEG", quality=60)
    [image] = await detect(aligned_client, large)
    assert (image["width"], image["height"], image["faces_found"]) == (*size, 1)


@pytest.mark.parametrize(
    ("size", "inter_eye_px"),
    [((1080, 2400), 74), ((1080, 12000), 74), ((1080, 16000), 110), ((8000, 2000), 76), ((16000, 3000), 122)],
)
async def test_faces_of_long_pictures_are_found(
    aligned_client: httpx.AsyncClient, size: tuple[int, int], inter_eye_px: float
) -> None:
    head = head_at(1, size[0] // 2, size[1] // 2, inter_eye_px)
    [image] = await detect(aligned_client, encode(scene(head, size=size, ground=(245, 245, 245)), "JPEG", quality=85))
    [face] = image["faces"]
    assert face["landmarks"]["nose"] == pytest.approx(head.landmarks[2].tolist(), abs=0.3 * inter_eye_px)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (base64.b64encode(JPEG), "base64"),
        (b"data:image/jpeg;base64,SECRET" + base64.b64encode(JPEG), "data URI"),
        (b"https://example.org/SECRET.jpg", "URL"),
        (b"%PDF-1.4 SECRET", "PDF"),
        (b"<!doctype html><p>SECRET", "HTML"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isomSECRET", "video"),
    ],
)
async def test_what_came_instead_is_named_and_not_repeated(
    aligned_client: httpx.AsyncClient, data: bytes, words: str
) -> None:
    response = await aligned_client.post("/embed", files=files(("image", data)))
    check_problem(response, 415, "unsupported_image", "image[0]")
    assert words in response.json()["detail"]
