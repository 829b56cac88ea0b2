"""Schemathesis sends what /openapi.json allows and what it forbids, and holds each answer against the document."""

import re
import subprocess
import sysconfig
from pathlib import Path

from app.settings import SHIPPED
from tests.app.support.service import serving

SCHEMATHESIS = Path(sysconfig.get_path("scripts")) / "st"
CONFIG = Path(__file__).with_name("schemathesis.toml")
# Of each operation, in each of its phases. Deterministic, so that a number holds for every machine.
EXAMPLES = 5
OPERATIONS = 10
PATIENCE_S = 280


def test_answers_are_what_the_document_says(tmp_path: Path) -> None:
    with serving(SHIPPED) as service:
        command = [str(SCHEMATHESIS), "--config-file", str(CONFIG), "run", f"{service.url}/openapi.json"]
        options = ["--generation-deterministic", "--no-shrink", "--no-color", "--max-examples", str(EXAMPLES)]
        checked = subprocess.run(
            [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    assert checked.returncode == 0, checked.stdout[-6000:] + checked.stderr[-2000:]
    assert f"Tested: {OPERATIONS}\n" in checked.stdout
    passed = re.search(r"(\d+) generated, (\d+) passed", checked.stdout)
    assert passed
    assert passed[1] == passed[2]
    assert int(passed[1]) >= 200
