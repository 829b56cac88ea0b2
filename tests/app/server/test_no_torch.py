"""Where PyTorch is not installed, the service answers on a CPU, and says what a GPU needs."""

from pathlib import Path

import httpx

from tests.app.support.requests import pair
from tests.app.support.service import PATIENCE_S, serving, start_in_vain

MODULE = "tests.app.support.no_torch"


def test_service_answers_without_torch(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, module=MODULE) as service:
        ready = httpx.get(f"{service.url}/health/ready", timeout=PATIENCE_S, trust_env=False)
        answer = httpx.post(f"{service.url}/verify", files=pair(), timeout=PATIENCE_S, trust_env=False)
    assert (ready.status_code, answer.status_code) == (200, 200)


def test_gpu_is_refused_in_one_line_that_says_what_it_needs(checkpoint_path: Path) -> None:
    flags = ("--device", "cuda", "--weights", str(checkpoint_path), "--port", "0")
    ended = start_in_vain(*flags, module=MODULE)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: device cuda needs PyTorch, which is not installed; install it by `make gpu`")
