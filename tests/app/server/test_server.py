"""The service as its users meet it: a process, a socket, HTTP."""

import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from benchmarks.processes import family
from tests.app.support.requests import ANNA, BERTA, FILE_NAME, MULTIPART, SECRET, check_problem, multipart, pair
from tests.app.support.service import HOST, LISTENING, PATIENCE_S, ROOT, Service, command, environment, serving
from tests.app.support.short_head_timeout import WITHIN_S
from tests.app.support.waiting import is_alive, wait_until
from tests.drawing import encode, portrait

BODY = multipart(("image1", ANNA), ("image2", BERTA))
LIMIT = 1024 * 1024
# EXIF data of one tag whose value would lie beyond its end.
CUT_SHORT = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHLLL", 1, 270, 2, 100, 9999, 0)


@pytest.fixture(scope="module")
def service(checkpoint_path: Path) -> Iterator[Service]:
    with serving(checkpoint_path, "--max-image-bytes", str(LIMIT)) as service:
        yield service


@pytest.fixture(scope="module")
def impatient_service(checkpoint_path: Path) -> Iterator[Service]:
    """A service that waits WITHIN_S for a request's head."""
    with serving(checkpoint_path, module="tests.app.support.short_head_timeout") as service:
        yield service


@pytest.fixture(scope="module")
def service_with_short_keep_alive(checkpoint_path: Path) -> Iterator[Service]:
    with serving(checkpoint_path, "--keep-alive-s", "1") as service:
        yield service


def head(length: int, request_id: str = "raw", **further: str) -> bytes:
    """The head of a /verify request as bytes."""
    headers = {**MULTIPART, "Host": "test", "Content-Length": length, "X-Request-ID": request_id, **further}
    fields = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["POST /verify HTTP/1.1", *fields, "\r\n"]).encode()


def check_healthy(client: httpx.Client) -> None:
    assert client.get("/health/ready").status_code == 200
    assert client.post("/verify", files=pair()).status_code == 200


def check_protected(answer: bytes, status: str) -> None:
    """A plain answer from below the application, which no cache keeps."""
    line, *headers = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert line.split() == ["HTTP/1.1", status]
    assert {"content-type: text/plain", "cache-control: no-store", "x-content-type-options: nosniff"} <= set(headers)


def test_answers_a_multipart_request(client: httpx.Client) -> None:
    response = client.post("/verify", files=pair(ANNA, ANNA), data={"threshold": "0.6"})
    assert response.status_code == 200
    assert response.json()["decision"] == "same"
    assert "server" not in response.headers


def test_oversized_upload_is_answered_and_not_reset(client: httpx.Client) -> None:
    for excess in (1, LIMIT, 20 * LIMIT):
        response = client.post("/verify", files=pair(ANNA, bytes(LIMIT + excess)))
        check_problem(response, 413, "too_many_bytes", "image2")
    check_healthy(client)


def test_an_oversized_upload_without_a_length_is_answered_and_not_reset(client: httpx.Client) -> None:
    body = multipart(("image1", ANNA), ("image2", bytes(3 * LIMIT)))
    chunks = (body[i : i + 65536] for i in range(0, len(body), 65536))
    check_problem(client.post("/verify", content=chunks, headers=MULTIPART), 413, "too_many_bytes", "image2")
    check_healthy(client)


def test_client_that_leaves_during_its_upload_is_logged_as_499(service: Service, client: httpx.Client) -> None:
    with socket.create_connection((HOST, service.port), PATIENCE_S) as leaving:
        leaving.sendall(head(len(BODY), "leaving") + BODY[:1000])
    line = service.wait_for(lambda line: line.get("request_id") == "leaving")
    assert (line["status"], line["level"]) == (499, "info")
    check_healthy(client)


def test_stalled_upload_blocks_nobody(service: Service, client: httpx.Client) -> None:
    with socket.create_connection((HOST, service.port), PATIENCE_S) as waiting:
        waiting.sendall(head(len(BODY)) + BODY[:1000])
        check_healthy(client)
        waiting.sendall(BODY[1000:])
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200")


def test_slow_image_blocks_nobody(service: Service, client: httpx.Client) -> None:
    slow = encode(Image.new("L", (7000, 7000)))
    body = multipart(("image1", slow), ("image2", slow))
    with socket.create_connection((HOST, service.port), PATIENCE_S) as working:
        working.sendall(head(len(body)) + body)
        answered = 0
        while not select.select([working], [], [], 0)[0]:
            assert client.get("/health/live").status_code == 200
            answered += 1
        assert working.recv(65536).startswith(b"HTTP/1.1 200")
    # Were the loop held, one could slip in before the image and one would have waited until after it.
    assert answered > 5


def test_libraries_log_nothing_of_a_request_at_debug(checkpoint_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = f"{SECRET} description"
    picture = encode(portrait(1), "JPEG", exif=exif, comment=SECRET.encode())
    odd = encode(portrait(1), "JPEG", exif=CUT_SHORT)  # of which Pillow warns
    with serving(checkpoint_path, "--log-level", "debug") as service:
        with httpx.Client(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as client:
            assert client.post("/verify", files=pair(picture, ANNA)).status_code == 200
            assert client.post("/verify", files=pair(odd, ANNA)).status_code == 200
            client.post("/verify", files=pair(picture, ANNA), data={SECRET: SECRET})
            client.post("/verify", content=b"--edge~", headers=MULTIPART)
            client.get(f"/{FILE_NAME}?{SECRET}")
        service.end(signal.SIGTERM)
    lines = [json.loads(line) for line in service.log]
    assert sum(line["message"] == "request" for line in lines) == 5
    assert not [line for line in lines if SECRET in str(line) or line["level"] == "warning"]


def test_sigterm_ends_the_service_despite_a_stalled_upload(checkpoint_path: Path) -> None:
    with (
        serving(checkpoint_path, "--grace-s", "1") as service,
        socket.create_connection((HOST, service.port), PATIENCE_S) as stalled,
    ):
        stalled.sendall(head(1000, "stalled", Expect="100-continue"))
        assert stalled.recv(65536).startswith(b"HTTP/1.1 100")  # the application waits for the body
        stalled.sendall(BODY[:5])
        assert service.end(signal.SIGTERM) == 0
        answer = stalled.recv(65536)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"not_ready" in answer
    lines = [json.loads(line) for line in service.log]
    assert [line["status"] for line in lines if line.get("request_id") == "stalled"] == [503]
    assert not [line for line in lines if "exception" in line]


def test_other_protocols_are_answered_in_plain_text(service: Service, client: httpx.Client) -> None:
    with socket.create_connection((HOST, service.port), PATIENCE_S) as confused:
        confused.sendall(b"SSH-2.0-x\r\n\r\n")
        answer = confused.recv(65536)
    check_protected(answer, "400")
    check_healthy(client)


@pytest.mark.parametrize("kind", ["one endless header", "endless headers", "endless trailers", "an endless path"])
def test_endless_head_or_trailers_are_refused(service: Service, client: httpx.Client, kind: str) -> None:
    start, more = {
        "one endless header": (b"GET /info HTTP/1.1\r\nX: ", b"x" * 1024),
        "endless headers": (b"GET /info HTTP/1.1\r\n", b"X: " + b"x" * 100 + b"\r\n"),
        "endless trailers": (
            b"POST /verify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X: " + b"x" * 100 + b"\r\n",
        ),
        "an endless path": (b"GET /", b"x" * 1024),
    }[kind]
    with socket.create_connection((HOST, service.port), PATIENCE_S) as endless:
        endless.sendall(start)
        for _ in range(1000):
            endless.sendall(10 * more)
            if select.select([endless], [], [], 0.01)[0]:
                break
        answer = endless.recv(65536)
    check_protected(answer, "431")
    check_healthy(client)


@pytest.mark.parametrize("before", [b"", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "second"])
@pytest.mark.parametrize("sent", [b"", b"GET /info HTTP/1.1\r\nX: "], ids=["nothing", "half"])
def test_incomplete_head_ends_its_connection(impatient_service: Service, before: bytes, sent: bytes) -> None:
    with socket.create_connection((HOST, impatient_service.port), PATIENCE_S) as slow:
        if before:
            slow.sendall(before)
            answer = b""
            while b'{"status":"live"}' not in answer:
                answer += slow.recv(65536)
        slow.sendall(sent)
        if before and not sent:  # it is idle, for which FACEPAIR_KEEP_ALIVE_S is
            assert not select.select([slow], [], [], 3 * WITHIN_S)[0]
            return
        answer = slow.recv(65536)
        if sent:
            check_protected(answer, "408")
        else:
            assert answer == b""
        assert slow.recv(65536) == b""


@pytest.mark.parametrize(("body", "after"), [("", b""), ("", b"\r\n"), ("Content-Length: 9\r\n", b"x")])
def test_idle_connection_is_closed_after_keep_alive_s(
    service_with_short_keep_alive: Service, body: str, after: bytes
) -> None:
    with socket.create_connection((HOST, service_with_short_keep_alive.port), PATIENCE_S) as idle:
        idle.sendall(f"GET /health/live HTTP/1.1\r\nHost: x\r\n{body}\r\n".encode())
        answer = b""
        while not answer.endswith(b'{"status":"live"}'):
            answer += idle.recv(65536)
        idle.sendall(after)
        assert idle.recv(65536) == b""


def test_slow_answer_or_body_does_not_count_as_slow_head(impatient_service: Service) -> None:
    with socket.create_connection((HOST, impatient_service.port), PATIENCE_S) as slow:
        slow.sendall(head(len(BODY)))
        assert not select.select([slow], [], [], 3 * WITHIN_S)[0]
        slow.sendall(BODY + b"GET /health/live")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")


def test_large_heads_and_pipelined_requests_are_served(service: Service) -> None:
    one = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 60_000 + b"\r\n\r\n"
    with socket.create_connection((HOST, service.port), PATIENCE_S) as busy:
        busy.sendall(one * 5)
        answers = b""
        while answers.count(b'{"status":"live"}') < 5:
            more = busy.recv(65536)
            assert more
            answers += more
    assert answers.count(b"HTTP/1.1 200") == 5


REFUSED_UNREAD = {
    "type": ("POST /verify HTTP/1.1", "text/plain", len(BODY), b"unsupported_content_type"),
    "size": ("POST /verify HTTP/1.1", MULTIPART["Content-Type"], 10**10, b"too_many_bytes"),
    "size of JSON": ("POST /compare HTTP/1.1", "application/json", 10**9, b"too_many_bytes"),
    "path": ("POST /nowhere HTTP/1.1", MULTIPART["Content-Type"], len(BODY), b"not_found"),
    "method": ("PUT /verify HTTP/1.1", MULTIPART["Content-Type"], len(BODY), b"method_not_allowed"),
    "query": ("POST /verify?face=only HTTP/1.1", MULTIPART["Content-Type"], len(BODY), b"unexpected_query"),
    "encoding": ("POST /verify HTTP/1.1\r\nContent-Encoding: gzip", MULTIPART["Content-Type"], len(BODY), b"_type"),
}


@pytest.mark.parametrize("name", REFUSED_UNREAD)
def test_expect_continue_is_refused_before_the_body(service: Service, client: httpx.Client, name: str) -> None:
    line, kind, length, code = REFUSED_UNREAD[name]
    fields = [line, "Host: test", f"Content-Type: {kind}", f"Content-Length: {length}", "Expect: 100-continue", "\r\n"]
    with socket.create_connection((HOST, service.port), PATIENCE_S) as waiting:
        waiting.sendall("\r\n".join(fields).encode())
        answer = b""
        while more := waiting.recv(65536):
            answer += more
    assert answer.startswith(b"HTTP/1.1 4")
    assert code in answer
    assert b"connection: close" in answer.lower()
    check_healthy(client)


def test_expect_continue_is_answered_with_100(service: Service) -> None:
    with socket.create_connection((HOST, service.port), PATIENCE_S) as waiting:
        waiting.sendall(head(len(BODY), Expect="100-continue"))
        assert waiting.recv(65536).startswith(b"HTTP/1.1 100 ")
        waiting.sendall(BODY)
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("split", [False, True], ids=["together", "split"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("offer", ["h2c", "websocket"])
def test_upgrade_offer_is_ignored(
    service: Service, client: httpx.Client, offer: str, chunked: bool, split: bool
) -> None:
    """Java's client makes one of HTTP/2 with its first request."""
    start = head(len(BODY), Connection="Upgrade, HTTP2-Settings", Upgrade=offer, HTTP2_Settings="AAEAAEAAAAIAAAAA")
    body = BODY
    if chunked:
        start = start.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    after = start.replace(b"POST /verify", b"POST /nowhere") + body + b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((HOST, service.port), PATIENCE_S) as offering:
        if split:
            for place in range(0, len(start), 100):
                offering.sendall(start[place : place + 100])
                time.sleep(0.001)
            offering.sendall(body + after)
        else:
            offering.sendall(start + body + after)
        answers = b""
        while b'{"status":"live"}' not in answers:
            more = offering.recv(65536)
            assert more, answers
            answers += more
    assert answers.count(b"HTTP/1.1 ") == 3
    assert b'"decision"' in answers
    assert b'"code":"not_found"' in answers
    check_healthy(client)


def test_connect_is_refused(service: Service, client: httpx.Client) -> None:
    with socket.create_connection((HOST, service.port), PATIENCE_S) as tunnel:
        tunnel.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nUpgrade: h2c\r\n\r\n")
        assert tunnel.recv(65536).startswith((b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.1 405"))
    check_healthy(client)


def test_process_with_a_hung_network_ends(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, "--hung-s", "1", module="tests.app.support.hung_service") as service:
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{service.url}/verify", files=pair(), timeout=PATIENCE_S, trust_env=False)
        assert service.process.wait(PATIENCE_S) == 1
        service.wait_for(lambda line: "and that lasts" in line["message"])


def test_decoder_that_ends_is_replaced_and_all_end_with_the_service(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, "--decoders", "1") as service:
        _, fork_server, decoder = family(service.process.pid)
        os.kill(decoder, signal.SIGSEGV)
        ended = service.wait_for(lambda line: line["message"] == "decoder ended")
        assert (ended["level"], ended["pid"], ended["reason"]) == ("error", decoder, "signal SIGSEGV ended it")
        assert httpx.post(f"{service.url}/verify", files=pair(), timeout=PATIENCE_S).status_code == 200
        [successor] = family(fork_server)[1:]
        assert successor != decoder
        service_family = family(service.process.pid)
        assert service.end(signal.SIGKILL) == -signal.SIGKILL
        wait_until(lambda: not any(map(is_alive, service_family)))


@pytest.mark.parametrize("signals", [1, 2])
def test_sigterm_ends_a_process_with_a_hung_network(checkpoint_path: Path, signals: int) -> None:
    times = ("--drain-s", "0", "--grace-s", "1" if signals == 1 else "600", "--hung-s", "600")
    with serving(checkpoint_path, *times, module="tests.app.support.hung_service") as service:
        with socket.create_connection((HOST, service.port), PATIENCE_S) as waiting:
            waiting.sendall(head(len(BODY)) + BODY)
            while "facepair_images_in_progress 2.0" not in httpx.get(f"{service.url}/metrics", timeout=PATIENCE_S).text:
                time.sleep(0.01)
            service.process.send_signal(signal.SIGTERM)
            service.wait_for(lambda line: line["message"] == "Shutting down")
            if signals == 2:
                service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(PATIENCE_S) == 1
        service.wait_for(lambda line: "work did not end in time" in line["message"])


def test_a_log_that_nobody_reads_stops_no_request(checkpoint_path: Path) -> None:
    """It ends in order, too; the last lines are dropped."""
    line = command("--weights", str(checkpoint_path), "--device", "cpu", "--port", "0")
    with subprocess.Popen(line, env=environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not (found := LISTENING.search(process.stderr.readline())):
            assert process.poll() is None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        with httpx.Client(base_url=found[0], timeout=PATIENCE_S, trust_env=False) as client:
            for _ in range(200):  # some 30 KB of lines
                client.get("/nowhere")
            check_healthy(client)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("wanted", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_loading_ends_the_process(checkpoint_path: Path, wanted: signal.Signals) -> None:
    """As a container's first process, which the system spares signals that it does not take."""
    line = command("--weights", str(checkpoint_path), "--device", "cpu", "--port", "0", "--log-level", "debug")
    with subprocess.Popen(line, env=environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        status = Path(f"/proc/{process.pid}/status")
        ends = time.monotonic() + PATIENCE_S
        while not takes(status, signal.SIGTERM) or not takes(status, signal.SIGINT):
            assert process.poll() is None
            assert time.monotonic() < ends
        process.send_signal(wanted)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        said = process.stderr.read()
        assert "listening" not in said.lower()
        assert "Traceback" not in said


def takes(status: Path, wanted: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    [line] = [line for line in status.read_text().splitlines() if line.startswith("SigCgt:")]
    return bool(int(line.split()[1], 16) >> (wanted - 1) & 1)


def test_connection_stays_usable_after_head(client: httpx.Client) -> None:
    for _ in range(2):
        assert client.head("/health/ready").status_code == 200
        assert client.get("/health/ready").json() == {"status": "ready"}
