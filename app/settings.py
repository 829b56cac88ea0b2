"""Every setting of the service, from a flag or from an environment variable `FACEPAIR_NAME`."""

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from model.errors import FacepairError

PREFIX = "FACEPAIR_"
SHIPPED = Path(__file__).parent.parent / "weights" / "experiment-12.safetensors"
# Names with the prefix that are not settings, but may be in the same environment.
NOT_OURS = {"FACEPAIR_LFW", "FACEPAIR_HOSTILE_IMAGES"}
# As browsers send it: no path, no letter in upper case.
ORIGIN = re.compile(r"https?://[a-z0-9._\[\]:-]+")
HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
DAY_S = 24 * 60 * 60


class SettingsError(FacepairError):
    """A setting that is unknown or malformed."""


def _split(form: re.Pattern[str], advice: str, text: object) -> object:
    if not isinstance(text, str):
        return text
    values = tuple(filter(None, (each.strip() for each in text.split(","))))
    if not all(map(form.fullmatch, values)):
        raise ValueError(f"{advice}, separated by commas")
    return values


Origins = Annotated[
    tuple[str, ...], BeforeValidator(partial(_split, ORIGIN, "write each origin as https://host or https://host:port"))
]
Hosts = Annotated[
    tuple[str, ...], BeforeValidator(partial(_split, HOST, "write each host as in a URL, without its port"))
]


class Settings(BaseModel):
    """All settings, with the descriptions that `python -m app --help` shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    weights: Path = Field(default=SHIPPED, description="checkpoint to serve")
    threads: int | None = Field(default=None, ge=1, le=1024, description="most CPU threads of the network at a time")
    decoders: int | None = Field(
        default=None, ge=1, le=256, description="processes that decode images and find faces in them"
    )
    decoder_images: int = Field(default=256, ge=1, description="images after which a decoder is replaced by a new one")
    decoder_memory_bytes: int | None = Field(
        default=None, ge=64 * 2**20, le=2**40, description="most memory that one image may take in a decoder"
    )
    sandbox: Literal["required", "on", "off"] = Field(
        default="on", description="required, on or off: decoders may only do what decoding needs"
    )
    max_batch: int = Field(default=16, ge=1, le=256, description="most images in one pass of the network")
    max_image_bytes: int = Field(default=20 * 1024 * 1024, ge=1024, description="largest upload of one image")
    max_pixels: int = Field(default=64_000_000, ge=1024, le=89_000_000, description="most pixels of one image")
    min_side_px: int = Field(default=32, ge=1, description="shortest side of an image")
    max_faces: int = Field(default=64, ge=1, le=1024, description="most faces in one request to /embed or /detect")
    max_request_bytes: int = Field(
        default=96 * 1024 * 1024, ge=1024, description="largest body of a request with images"
    )
    max_request_pixels: int = Field(
        default=128_000_000, ge=1024, description="most pixels of the images of a request together"
    )
    detector: Path | None = Field(default=None, description="face detector file, if not the installed one")
    max_images: int = Field(default=8, ge=1, le=1024, description="most images, or embeddings, in one request")
    max_wait_s: float = Field(
        default=1.0,
        gt=0,
        le=DAY_S,
        description="longest expected wait for other images; 429 beyond it",
    )
    queue: int | None = Field(default=None, ge=2, description="most images worked on, however short the wait")
    held_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=1024,
        description="most bytes of uploads in memory",
    )
    large_pixels: int | None = Field(
        default=None, ge=1024, description="most pixels of large images worked on; more are refused with 429"
    )
    connections: int = Field(default=512, ge=1, le=65536, description="most connections at a time")
    upload_s: float = Field(default=180.0, gt=0, le=DAY_S, description="how long an upload may take")
    deadline_s: float = Field(default=30.0, gt=0, le=DAY_S, description="how long a request may take after its upload")
    keep_alive_s: int = Field(default=75, ge=1, le=DAY_S, description="how long an idle connection stays open")
    drain_s: float = Field(
        default=2.0, ge=0, le=DAY_S, description="how long SIGTERM leaves the listener open, not ready"
    )
    grace_s: int = Field(default=7, ge=1, le=DAY_S, description="how long SIGTERM lets requests in progress go on")
    hung_s: float = Field(
        default=4.0, ge=1, le=DAY_S, description="longest pass of the network, longest time without a decoder"
    )
    allowed_hosts: Hosts = Field(
        default=(), description="names of the service that a request's Host may have, separated by commas"
    )
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="port for /metrics alone; not on the other port then"
    )
    api_keys_file: Path | None = Field(default=None, description="file of the API keys that requests need, one a line")
    metrics: Literal["open", "key"] = Field(
        default="open", description="open or key: whether /metrics needs an API key, if there are any"
    )
    cors_origins: Origins = Field(
        default=(), description="origins whose pages may call the service, separated by commas"
    )
    tls_certificate: Path | None = Field(
        default=None, description="certificate chain, to speak HTTPS; it may hold the private key"
    )
    tls_key: Path | None = Field(default=None, description="private key of the certificate")
    page: Literal["on", "off"] = Field(default="on", description="on or off: the page for people at /")
    traces_url: str | None = Field(
        default=None, pattern="^https?://", description="OpenTelemetry collector that traces go to, by OTLP over HTTP"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="lowest level logged")


def read_settings(flags: Mapping[str, object], environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from flags, which win, and the environment. Raises SettingsError, in one line."""
    names = os.environ if environment is None else environment
    ours = {name for name in names if name.upper().startswith(PREFIX) and name.upper() not in NOT_OURS}
    unknown = sorted(name for name in ours if name.upper().removeprefix(PREFIX).lower() not in Settings.model_fields)
    if unknown:
        known = ", ".join(PREFIX + name.upper() for name in Settings.model_fields)
        raise SettingsError(f"{unknown[0]} is not a setting; there are {known}")
    given = {name.upper().removeprefix(PREFIX).lower(): names[name] for name in ours}
    if len(given) < len(ours):
        raise SettingsError(f"a setting stands twice in the environment, in small and in large letters: {sorted(ours)}")
    try:
        return Settings.model_validate({**given, **flags})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        raise SettingsError(f"{PREFIX}{name.upper()} (--{name.replace('_', '-')}): {first['msg']}") from error
