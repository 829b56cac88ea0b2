"""The CPU time of a service, whose decoders are replaced while it is measured."""

import subprocess
import sys

from benchmarks.processes import cpu_s, family

# A parent whose child works for a third of a second and ends. The parent says so, and waits.
PARENT = """
import os, sys, time
if os.fork() == 0:
    while time.process_time() < 0.3:
        pass
    os._exit(0)
os.wait()
print("ended", flush=True)
sys.stdin.read()
"""


def test_cpu_time_of_children_that_ended_is_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "ended\n"
        assert family(parent.pid) == [parent.pid]
        assert cpu_s(parent.pid) >= 0.25
        parent.communicate()
    assert cpu_s(parent.pid) == 0
