"""`python -m benchmarks.closed_loops`: what clients get who send again at once after every answer, also after a 429.

The service with its default queue and the same service with a queue that refuses nothing are loaded in turns by wrk,
over few and over many connections. The peak of a round is the best rate of the second.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.client import BOUNDARY
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.http import ENDLESS_QUEUE, drawn_requests
from benchmarks.record import Figures, Row
from benchmarks.service import HOST, ServiceError, Serving, serving
from benchmarks.timing import spread
from model.checkpoint import load as load_checkpoint
from training.commands.options import positive

CONNECTIONS = (4, 16, 64, 256)
WARM_UP_S = 2
# wrk sends the bodies in turn, and counts the answers by status.
SCRIPT = """
local requests, sent, threads = {}, 0, {}
good, refused, others = 0, 0, 0
function setup(thread) table.insert(threads, thread) end
function init()
  for number = 0, %(bodies)d - 1 do
    local file = io.open("%(folder)s/" .. number, "rb")
    local headers = {["Content-Type"] = "multipart/form-data; boundary=%(boundary)s"}
    requests[number] = wrk.format("POST", "/verify", headers, file:read("*a"))
    file:close()
  end
end
function request()
  sent = sent + 1
  return requests[sent %% %(bodies)d]
end
function response(status)
  if status == 200 then good = good + 1 elseif status == 429 then refused = refused + 1 else others = others + 1 end
end
function done(summary, latency)
  local all = {good = 0, refused = 0, others = 0}
  for _, thread in ipairs(threads) do
    for name, count in pairs(all) do all[name] = count + thread:get(name) end
  end
  io.write(string.format(
    '\\n{"good": %%d, "refused": %%d, "others": %%d, "errors": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f}\\n',
    all.good, all.refused, all.others, summary.errors.connect + summary.errors.read + summary.errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One load: answers by kind, its length, latencies of all answers, and the cores that wrk took."""

    good: int
    refused: int
    others: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    client_cores: float

    @property
    def good_per_s(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds


@dataclass(kw_only=True)
class Measured:
    """By number of connections, for each round: the load of the default queue, and of the endless one."""

    default: dict[int, list[Turn]] = field(default_factory=dict)
    endless: dict[int, list[Turn]] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    description = "Loads /verify over connections that send again at once, with wrk (Debian's package of that name)."
    parser = new_parser("closed-loops", "benchmarks.closed_loops", description, rounds=2)
    add_weights(parser)
    parser.add_argument("--connections", type=positive, nargs="+", default=CONNECTIONS, metavar="N", help="at a time")
    parser.add_argument("--seconds", type=positive, default=6, help="how long each load lasts")
    return run_benchmark(parser, arguments, _measure)


def measure_closed_loops(weights: Path, device: str, connections: Sequence[int], rounds: int, seconds: int) -> Measured:
    """Loads both services in turns. Raises ServiceError if wrk is missing or fails."""
    measured = Measured(default={count: [] for count in connections}, endless={count: [] for count in connections})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        script = write_script(Path(folder))
        services = [stack.enter_context(serving(weights, device, *flags)) for flags in ((), ENDLESS_QUEUE)]
        for service in services:
            run_wrk(service, script, connections=1, seconds=WARM_UP_S)
        for number in range(rounds):
            pairs = list(zip((measured.default, measured.endless), services, strict=True))
            for count in connections:
                for turns, service in pairs if number % 2 == 0 else reversed(pairs):
                    turns[count].append(run_wrk(service, script, count, seconds))
    return measured


def write_script(folder: Path) -> Path:
    """wrk's script, and the bodies that it sends."""
    bodies = [request.partition(b"\r\n\r\n")[2] for request in drawn_requests()]
    for number, body in enumerate(bodies):
        (folder / str(number)).write_bytes(body)
    script = folder / "verify.lua"
    script.write_text(SCRIPT % {"bodies": len(bodies), "folder": folder, "boundary": BOUNDARY})
    return script


def run_wrk(service: Serving, script: Path, connections: int, seconds: int) -> Turn:
    """One load. Raises ServiceError."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise ServiceError("wrk is not installed: apt-get install wrk")
    command = [wrk, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", "60s", "--script", str(script), f"http://{HOST}:{service.port}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise ServiceError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    found = json.loads(done.stdout.splitlines()[-1])
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Turn(**found, client_cores=cpu_s / found["seconds"])


def closed_loop_figures(measured: Measured) -> Figures:
    """The table has a row for each number of connections."""
    rounds = zip(*measured.endless.values(), strict=True)
    peaks = [max(turn.good_per_s for turn in one) for one in rounds]
    return Figures(
        summary={"rounds": len(peaks), "peak_pairs_per_s": median(peaks)},
        table=[_row(connections, measured, peaks) for connections in measured.default],
    )


def _row(connections: int, measured: Measured, peaks: Sequence[float]) -> Row:
    turns, endless = measured.default[connections], measured.endless[connections]
    return {
        "connections": connections,
        "good_per_s": median(turn.good_per_s for turn in turns),
        "refused_per_s": median(turn.refused / turn.seconds for turn in turns),
        "others": sum(turn.others + turn.errors for turn in turns),
        "p50_ms": median(turn.p50_ms for turn in turns),
        "p99_ms": median(turn.p99_ms for turn in turns),
        **spread("good_to_peak", [turn.good_per_s / peak for turn, peak in zip(turns, peaks, strict=True)]),
        "endless_to_peak": median(turn.good_per_s / peak for turn, peak in zip(endless, peaks, strict=True)),
        "client_cores": median(turn.client_cores for turn in turns),
    }


def _measure(options: argparse.Namespace) -> Figures:
    header = load_checkpoint(options.weights).header
    measured = measure_closed_loops(
        options.weights, options.device, options.connections, options.rounds, options.seconds
    )
    figures = closed_loop_figures(measured)
    model: Row = {"model": header.name, "embedding_sha256": header.embedding_sha256}
    return Figures(summary={**model, **figures.summary}, table=figures.table)


if __name__ == "__main__":
    sys.exit(main())
