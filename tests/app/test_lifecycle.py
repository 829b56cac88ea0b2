"""How the process ends: with the status that it was asked for, all said, and without Python's own end."""

import subprocess
import sys

import pytest

CODE = """
import atexit, sys
from app.lifecycle import run_and_leave
atexit.register(lambda: print("Python's own end"))

def main() -> int:
    print("said")
    BODY

run_and_leave(main)
"""


@pytest.mark.parametrize(
    ("body", "status"),
    [("return 0", 0), ("return 3", 3), ("sys.exit()", 0), ("sys.exit(2)", 2), ("sys.exit('in words')", 1)],
)
def test_status_is_that_of_main_without_teardown(body: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.replace("BODY", body)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (status, "said\n")


def test_an_unexpected_error_is_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.replace("BODY", "raise RuntimeError('oh')")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "RuntimeError: oh" in done.stderr


def test_closed_streams_are_tolerated() -> None:
    command = f'"{sys.executable}" -c "from app.lifecycle import run_and_leave; run_and_leave(lambda: 0)" >&- 2>&-'
    assert subprocess.run(command, shell=True, check=False).returncode == 0


def test_a_small_address_space_is_refused_in_one_line() -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9));"
        "from app.__main__ import main; sys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the limit of address space, 0.9 GiB (ulimit -v), is below 2 GiB; remove it")
    assert done.stderr.count("\n") == 1


def test_closed_standard_files_are_opened_for_nothing() -> None:
    """Without that, decoders got a socket in the place of standard error, which they then lost."""
    code = "import os; from app.lifecycle import open_standard_files; os.close(0); os.close(2); open_standard_files()\n"
    code += "print(*map(os.path.realpath, ('/proc/self/fd/0', '/proc/self/fd/2')), os.path.exists('/proc/self/fd/3'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["/dev/null", "/dev/null", "False"]
