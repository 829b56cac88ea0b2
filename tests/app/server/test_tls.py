"""The service speaks HTTPS with a certificate, and refuses in one line to start with one that it cannot use."""

import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.server.sockets import ListenError, require_certificate
from tests.app.support.requests import pair
from tests.app.support.service import HOST, PATIENCE_S, ROOT, Service, environment, serving, start_in_vain

OPENSSL = shutil.which("openssl")

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of this machine that signs itself, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def certificate(folder: Path) -> tuple[Path, Path]:
    return make_certificate(folder, "own")


@pytest.fixture(scope="module")
def service(checkpoint_path: Path, certificate: tuple[Path, Path]) -> Iterator[Service]:
    path, key = map(str, certificate)
    with serving(checkpoint_path, "--tls-certificate", path, "--tls-key", key) as service:
        yield service


def test_requests_are_answered_over_https(service: Service, certificate: tuple[Path, Path]) -> None:
    assert service.url.startswith("https://")
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    with httpx.Client(base_url=service.url, verify=trusted, timeout=PATIENCE_S) as client:
        for _ in range(2):  # the second over the same connection
            assert client.post("/verify", files=pair()).status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(service.url.replace("https", "http") + "/health/live")


def test_the_container_s_health_check_speaks_https(service: Service, certificate: tuple[Path, Path]) -> None:
    own = {"FACEPAIR_PORT": str(service.port), "FACEPAIR_TLS_CERTIFICATE": str(certificate[0])}
    asked = subprocess.run(
        [sys.executable, "-m", "app.health"], env=environment(own), cwd=ROOT, timeout=PATIENCE_S, check=False
    )
    assert asked.returncode == 0


def test_a_start_with_an_unusable_certificate_fails_in_one_line(tmp_path: Path) -> None:
    ended = start_in_vain("--port", "0", "--tls-certificate", str(tmp_path / "none.pem"))
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: the certificate and its key cannot be used: No such file or directory; give PEM")


def test_what_does_not_belong_together_is_refused(folder: Path, certificate: tuple[Path, Path]) -> None:
    path, key = certificate
    _, other_key = make_certificate(folder, "other")
    locked = folder / "locked.key"
    command = ["openssl", "pkcs8", "-topk8", "-in", str(key), "-out", str(locked), "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True)
    require_certificate(path, key)
    require_certificate(None, None)
    for wrong in [(path, None), (path, other_key), (path, locked), (key, key), (folder, key)]:
        with pytest.raises(ListenError, match="the certificate and its key cannot be used: "):
            require_certificate(*wrong)
    with pytest.raises(ListenError, match="private key without a certificate"):
        require_certificate(None, key)
    both = folder / "both.pem"
    both.write_bytes(path.read_bytes() + key.read_bytes())
    require_certificate(both, None)
