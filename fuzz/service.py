"""Fuzz a running service: whatever is sent, it answers, says nothing of what was sent in an error, and goes on.

Usage: python fuzz/service.py [SECONDS [SEED]]     (or: make fuzz SECONDS=600)

A server of a tiny model listens on loopback. It gets bodies of right and wrong values, headers, paths and methods, and
bytes that are hardly HTTP, some with a second request after the first. No answer is a 5xx but 503 and 504, and the
memory of the process does not grow. Rounds have consecutive seeds; each kind of failure is printed once, with its
smallest case and a seed that reproduces it.
"""

import http.client
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rounds import run
from support import models

from softcloze import FieldVerbalizer, Prompt, PromptClassifier, Template, Verbalizer
from softcloze.prompt import GeneratorPrompt
from softcloze.registry import Registry
from softcloze.service.server import Server, make_server
from softcloze.service.service import Service
from softcloze.service.settings import ServiceSettings

CANARY = "xyzzy"
PAGE = Path("/proc/self/statm")
GROWTH = 64  # MiB that the process may grow after it is warm
ROUTES = [
    "/classify",
    "/generate",
    "/explain",
    "/hf/reviews",
    "/hf/choices",
    "/prompts",
    "/prompts/reviews",
    "/metrics",
    "/",
]
ROUTES += [f"/label-studio/reviews/{route}" for route in ("health", "setup", "predict", "webhook")]
ROUTES += ["/write", "/health/live", "/health/ready", "/openapi.json", "/nothing"]
NAMES = [
    "shorten",
    "reviews",
    "reviews@live",
    "reviews@1",
    "reviews@2",
    "pairs",
    "choices",
    "several",
    "nearest",
    "nothing",
]

TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "a", "\ud800", "\0", "<mask>", "<soft*9>", "{{ text }}", "很好", "\u202ea", "a" * 19_000, "ab " * 9000]
    ),
).map(lambda text: CANARY + text)
SCALARS = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(2**63), 2**64, "reviews", "choices"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
PROMPT_IDS = st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES[:8]), TEXTS, st.just("a" * 10_000), SCALARS)
FIELDS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "text": VALUES | TEXTS,
            "a": TEXTS | VALUES,
            "b": TEXTS | VALUES,
            "choices": st.lists(TEXTS | SCALARS, max_size=5) | VALUES,
        },
    ),
    VALUES,
)
ROWS = st.fixed_dictionaries({}, optional={"text": TEXTS | VALUES, "fields": FIELDS, "prompt_id": PROMPT_IDS})
BODIES = st.one_of(
    ROWS,
    st.fixed_dictionaries({"text": TEXTS, "prompt_id": st.sampled_from(NAMES)}),
    st.fixed_dictionaries({"fields": FIELDS, "prompt_id": st.sampled_from(NAMES)}),
    st.fixed_dictionaries(
        {"rows": st.lists(ROWS, max_size=6) | VALUES}, optional={"prompt_id": PROMPT_IDS, "text": TEXTS}
    ),
    st.fixed_dictionaries(
        {"text": TEXTS, "prompt_id": st.sampled_from(NAMES)}, optional={"top": st.integers(-2, 200) | VALUES}
    ),
    st.fixed_dictionaries(
        {"text": TEXTS, "prompt_id": st.sampled_from([*NAMES, "shorten", "shorten@1"])},
        optional={"max_new_tokens": st.integers(-1, 300) | VALUES, "stream": st.booleans() | VALUES},
    ),
    st.fixed_dictionaries(
        {"inputs": TEXTS | st.lists(TEXTS, max_size=70) | VALUES},
        optional={"parameters": st.fixed_dictionaries({}, optional={"top_k": VALUES}) | VALUES},
    ),
    VALUES,
)
HEADERS = {
    b"Content-Type": [
        b"application/json",
        b"text/plain",
        b"application/json; charset=utf-16",
        b"a",
        b"application/x-www-form-urlencoded",
    ],
    b"Content-Encoding": [b"identity", b"gzip", b""],
    b"Content-Length": [b"0", b"1", b"10", b"-1", b"9" * 25, b"1, 1", b"a"],
    b"Transfer-Encoding": [b"chunked", b"gzip", b"identity"],
    b"Host": [b"localhost", b"evil.example", b"[::1]:1", b"[", b"localhost:a", b""],
    b"Origin": [b"null", b"http://localhost", b"http://[", b"https://evil.example", b"\xff"],
    b"Sec-Fetch-Site": [b"cross-site", b"same-origin", b"\xff"],
    b"Authorization": [b"Bearer", b"Bearer \xff", b"Basic !", b"Basic eHl6enk=", b"a b c"],
    b"Connection": [b"close", b"keep-alive", b"upgrade"],
    b"Upgrade": [b"websocket", b"h2c"],
    b"Expect": [b"100-continue"],
    b"Accept-Language": [b"zh", b"\xff;q=a", b"*", b""],
}
LINES = st.sampled_from([(name, value) for name, values in HEADERS.items() for value in values])
METHODS = st.sampled_from(
    ["POST", "POST", "POST", "GET", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "QUERY", "a"]
)
POSTED = st.sampled_from(["/classify", "/classify", "/generate", "/explain", "/hf/reviews"])
PATHS = st.sampled_from(ROUTES) | st.sampled_from(
    [
        "/prompts/%2e%2e",
        "/hf/" + "a" * 300,
        "/prompts/%00",
        "//",
        "/prompts/%ff",
        "/hf/%F0%9F",
        "*",
        "/?text=xyzzy",
        "/hf/",
    ]
)
ODD = (
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"POST / HTTP/1.1\r\n",
    b" ",
    b":",
    b"chunked",
    b"5\r\nabcde\r\n0\r\n\r\n",
    b"\xff" * 20,
)


class Running:
    """A server in a thread."""

    server: Server
    port: int

    @classmethod
    def start(cls) -> None:
        """Serve prompts of several kinds on a tiny model."""
        backbone = models.backbone("llama")
        registry = Registry(tempfile.mkdtemp() + "/prompts")
        words = Verbalizer({"good": "good", "bad": "bad"})

        def add(name: str, prompt: Prompt | GeneratorPrompt) -> None:
            registry.promote(str(registry.add(prompt, name)))

        def hard(template: str, verbalizer: Any = words, **parts: Any) -> Prompt:
            return Prompt(Template(template), verbalizer, backbone.name, backbone.fingerprint, **parts)

        add("reviews", hard("<text max=40> It was <mask>"))
        add("pairs", hard("{% if a %}{{ a | upper }}{% endif %} and <b> were <mask>"))
        add("choices", hard("<text> It was <mask>", FieldVerbalizer("choices", most=4, answers="word")))
        answer = Template("<text max=40> In short:<answer max=4>")
        add("shorten", GeneratorPrompt(answer, backbone.name, backbone.fingerprint))
        rows, labels = models.SENTENCES[:4], ["good", "bad"] * 2
        soft = PromptClassifier(backbone, "<soft*2> <text> It was <mask>", words, epochs=1, head="linear")
        add("several", soft.fit(rows, labels).prompt_)
        nearest = PromptClassifier(backbone, "<demos*2> <text> It was <mask>", words, demonstrations="nearest")
        add("nearest", nearest.fit(rows, labels).prompt_)
        service = Service(registry, backbone, ServiceSettings(receive_seconds=0.5))
        cls.server = make_server(service, "127.0.0.1", 0)
        threading.Thread(target=cls.server.run, daemon=True).start()
        while not cls.server.started:
            time.sleep(0.01)
        cls.port = cls.server.servers[0].sockets[0].getsockname()[1]


def validate_answer(status: int, body: bytes) -> None:
    """Raise AssertionError for a failure of the service, and for an error that holds what was sent."""
    assert status < 500 or status in (503, 504), (status, body)
    with suppress(ValueError):
        answer = json.loads(body)
        rows = answer.get("rows", [answer]) if isinstance(answer, dict) else []
        for row in rows:
            if isinstance(row, dict) and "code" in row:
                assert row["code"] not in ("scoring", "writing", "internal"), row
                assert CANARY not in json.dumps(row), row


def any_body(path: str, body: Any) -> None:
    """Send JSON of any values."""
    any_request("POST", path, body, [])


def any_request(method: str, path: str, body: Any, headers: list[tuple[bytes, bytes]]) -> None:
    """Send JSON of any values with some odd headers."""
    data = json.dumps(body).encode()
    with closing(http.client.HTTPConnection("127.0.0.1", Running.port, timeout=60)) as connection:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        given_headers = {b"Host": b"localhost", b"Content-Type": b"application/json"} | dict(headers)
        for name, value in ({b"Content-Length": b"%d" % len(data)} | given_headers).items():
            connection.putheader(name, value)
        with suppress(OSError, http.client.HTTPException):  # the connection may be closed: the length is wrong
            connection.endheaders(data)
            answer = connection.getresponse()
            validate_answer(answer.status, answer.read())


def any_bytes(data: bytes) -> None:
    """Send bytes that are hardly HTTP."""
    with socket.create_connection(("127.0.0.1", Running.port), timeout=60) as connection, suppress(OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
        if received.startswith(b"HTTP/1.1 "):
            validate_answer(int(received[9:12]), received.partition(b"\r\n\r\n")[2])


def right_request(body: Any) -> bytes:
    """The bytes of a request."""
    data = json.dumps(body).encode()
    head = "POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One or two requests, some bytes of which are replaced, left out or put in."""
    data = b"".join(map(right_request, draw(st.lists(BODIES, min_size=1, max_size=2))))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, min(len(data), 400)))
        data = (
            data[:start] + draw(st.sampled_from(ODD) | st.binary(max_size=4)) + data[start + draw(st.integers(0, 8)) :]
        )
    return data


def megabytes() -> float:
    """Memory of this process."""
    return int(PAGE.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def validate_running() -> None:
    """Raise AssertionError if a right request has no right answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", Running.port, timeout=60)) as connection:
        body = json.dumps({"text": "It was good.", "prompt_id": "reviews"})
        connection.request("POST", "/classify", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert abs(sum(json.loads(answer.read())["probabilities"].values()) - 1) < 1e-6


def main() -> int:
    """Run every property for its share of the time, then look at the memory and at another answer."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    Running.start()
    round_of = settings(
        max_examples=200,
        deadline=None,
        database=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[*HealthCheck],
    )
    properties = {
        "bodies": given(POSTED, BODIES)(round_of(any_body)),
        "requests": given(METHODS, PATHS, BODIES, st.lists(LINES, max_size=3))(round_of(any_request)),
        "bytes": given(mutated())(round_of(any_bytes)),
    }
    seconds, first = [*map(float, sys.argv[1:2])] or [60.0], [*map(int, sys.argv[2:3])] or [None]
    failures = run(properties, "python fuzz/service.py", seconds[0] / 5, first[0])  # until it is warm
    before = megabytes()
    failures += run(properties, "python fuzz/service.py", seconds[0] * 4 / 5, first[0])
    after = megabytes()
    print(f"memory: {before:.0f} MiB, then {after:.0f} MiB", flush=True)
    validate_running()
    Running.server.handle_exit(signal.SIGTERM, None)
    return int(failures > 0 or after > before + GROWTH)


if __name__ == "__main__":
    sys.exit(main())
