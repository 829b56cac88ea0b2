"""The list of attacks."""

from benchmarks.siege import decoders, floods, holding
from benchmarks.siege.targets import Row

ATTACKS = (
    Row(name="slow uploads", what="128 bodies at a byte a second", run=holding.slow_uploads),
    Row(name="slow heads", what="256 heads at a byte a second", run=holding.slow_heads),
    Row(name="idle connections", what="700, each opened again when it is closed", run=holding.idle_connections),
    Row(name="waiting bodies", what="128 requests that expect 100-continue and send no body",
        run=holding.waiting_bodies),
    Row(name="large uploads", what="64 images of 19 MB at 2 MB a second, then at 20 KB a second",
        run=holding.large_uploads),
    Row(name="unread answers", what="32 clients who ask for 1.5 MB twice a second and read nothing",
        run=holding.unread_answers),
    Row(name="endless bodies", what="32 bodies that go on after their answer, 3 MB a second each",
        run=holding.endless_bodies),
    Row(name="cheap routes", what="32 connections that ask for /info, /openapi.json, /metrics, health and pages",
        run=floods.cheap_routes),
    Row(name="pipelines", what="8 connections with 200 requests at once", run=floods.pipelines),
    Row(name="malformed requests", what="16 connections: Host, heads, codings, methods", run=floods.malformed_requests),
    Row(name="wrong bodies", what="16 connections: multipart and JSON that no route takes", run=floods.wrong_bodies),
    Row(name="promising images", what="8 connections, 8 headers each of 49 megapixels without pixels",
        run=floods.promising_images),
    Row(name="flat images", what="8 connections: 49 megapixels of one colour as PNG", run=floods.flat_images),
    Row(name="large images", what="4 connections: 24 megapixels as progressive JPEG", run=floods.large_images),
    Row(name="damaged images", what="4 connections: 13,000 different JPEG, PNG and WebP with damages",
        run=floods.damaged_images, whole=True),
    Row(name="unread log", what="8 connections whose requests are logged, and nobody reads the log",
        run=floods.unread_log),
    Row(name="killed decoders", what="one of the decoders is killed twice a second", run=decoders.killed_decoders),
    Row(name="stopped decoder", what="one of the decoders is stopped (SIGSTOP), and each that takes its place",
        run=decoders.stopped_decoder),
    Row(name="many verifications", what="220 connections of one address that verify, through the balancer",
        run=floods.verifications, door="balancer"),
)  # fmt: skip
