"""Starts several processes as users do."""

import os
import subprocess
import sys
from pathlib import Path

PATIENCE_S = 240
ROOT = Path(__file__).parents[3]
OF_TORCHRUN = ("WORLD_SIZE", "RANK", "LOCAL_RANK")


def torchrun(processes: int, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs a module with these arguments, and with `more` variables, in its own process group, to its end."""
    variables = {name: value for name, value in os.environ.items() if name not in OF_TORCHRUN} | more
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
