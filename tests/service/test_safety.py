"""What a service must not do with hostile requests: the table of its safety, row by row."""

import base64
import gzip
import json
import logging
import re

import opentelemetry._logs
import opentelemetry.metrics
import opentelemetry.trace
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from softcloze.prompt import PromptSet
from softcloze.service.guard import OPEN_ROUTES

CANARY = "xyzzy-4711-秘密"
ROW = {"text": "a", "prompt_id": "reviews"}
JSON = {"content-type": "application/json"}


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def basic(token):
    return {"authorization": "Basic " + base64.b64encode(f"anyone:{token}".encode()).decode()}


@pytest.fixture
def guarded(serve):
    with serve(token="s3cret-密") as client:
        yield client


def routes(client):
    """Method and path of every route, those that come later and those without a description included."""
    listed = [
        (method, re.sub(r"\{\w+\}", "reviews", route.path)) for route in client.app.routes for method in route.methods
    ]
    return [*listed, ("GET", "/nothing")]


def test_every_route_but_health_needs_the_token(guarded):
    assert {("GET", "/static/reviews"), ("POST", "/write"), ("GET", "/openapi.json")} <= {*routes(guarded)}
    for method, path in routes(guarded):
        status = guarded.request(method, path).status_code
        assert (status != 401) == (path in OPEN_ROUTES), path


@pytest.mark.parametrize("headers", [bearer("s3cret"), basic("wrong"), {"authorization": "Basic !"}, bearer(""), {}])
def test_a_wrong_token_is_turned_away_and_browsers_are_asked_for_another(guarded, headers):
    answer = guarded.post("/classify", json=ROW, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_the_token_comes_as_bearer_or_as_the_password_of_a_browser(guarded):
    token = "s3cret-密"
    for headers in (basic(token), {"authorization": b"Bearer " + token.encode()}):
        assert guarded.post("/classify", json=ROW, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": "localhost"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://localhost"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"host": "evil.example"}, 400),
        ({"host": "127.0.0.1:8000"}, 200),
        ({"content-encoding": "gzip"}, 415),
    ],
)
def test_foreign_pages_hosts_and_compressed_bodies_are_turned_away(client, headers, status):
    assert client.post("/classify", json=ROW, headers=headers).status_code == status


def test_a_name_of_another_service_is_refused_as_json(serve):
    with serve(hosts=("localhost", "[::1]", "*.friend.example")) as client:
        for host in ("LOCALHOST:8000", "[::1]:8000", "a.friend.example"):
            assert client.get("/health/live", headers={"host": host}).status_code == 200, host
        for host in ("evil.example", "friend.example", "localhost@evil.example", "evil.example/localhost", "[::1", ""):
            answer = client.get("/health/live", headers={"host": host})
            assert (answer.status_code, answer.json()["code"]) == (400, "unknown_host"), host


def test_pages_of_an_origin_that_is_allowed_may_call(serve):
    with serve(origins=("https://friend.example",)) as client:
        answer = client.post("/classify", json=ROW, headers={"origin": "https://friend.example"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        assert client.post("/classify", json=ROW, headers={"origin": "https://evil.example"}).status_code == 403


def test_their_browser_asks_without_the_token_and_reads_the_answer(serve):
    with serve(origins=("https://friend.example",), token="s3cret") as client:
        origin = {"origin": "https://friend.example"}
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        answer = client.options("/classify", headers=origin | asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        refused = client.post("/classify", json=ROW, headers=origin)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://friend.example"


def test_without_such_an_origin_no_other_page_may_read_answers(client):
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in client.options("/classify", headers=headers).headers


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * 300_000, JSON, 413),
        (iter([b" " * 100_000] * 4), JSON, 413),  # without Content-Length
        (gzip.compress(json.dumps(ROW).encode()), JSON, 400),
        (json.dumps(ROW).encode(), {"content-type": "text/plain"}, 415),
        (json.dumps(ROW).encode(), {}, 415),
        (b"[" * 100_000, JSON, 400),
        (b'{"text": ' + b"9" * 5000 + b', "prompt_id": "reviews"}', JSON, 400),
        (b'{"text": NaN, "prompt_id": "reviews"}', JSON, 422),
        (b"\xff\xfe", JSON, 422),
        (b"", JSON, 422),
    ],
    ids=["large", "chunked", "gzip", "plain", "untyped", "nested", "digits", "nan", "bytes", "empty"],
)
def test_odd_bodies_are_turned_away(client, body, headers, status):
    answer = client.post("/classify", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["code"]


@pytest.mark.parametrize("length", ["no number", "-1", "9" * 5000, "²"])
def test_a_length_that_is_no_number_is_no_failure(client, length):
    headers = JSON | {"content-length": length.encode("latin-1")}
    assert client.post("/classify", content=b"{}", headers=headers).status_code < 500


@pytest.mark.parametrize(
    "name",
    [
        "../reviews",
        "..%2freviews",
        "%2e%2e",
        "reviews\0",
        "a" * 10_000,
        "评论",
        "\u202eweiver",
        "reviews@../1",
        "",
        "@",
        "/etc",
    ],
)
def test_a_prompt_is_only_looked_up(client, name):
    answer = client.post("/classify", json={"text": "a", "prompt_id": name})
    assert answer.status_code in (404, 422)
    path = name.replace("\0", "%00").replace("@", "%40")
    assert client.get(f"/prompts/{path}").status_code in (200, 404, 414) and "a" * 99 not in answer.text
    assert client.post(f"/hf/{path}", json={"inputs": "a"}).status_code in (404, 405, 422)


def test_no_text_reaches_an_answer_a_log_or_a_metric(client, caplog):
    caplog.set_level(logging.DEBUG)
    bodies = [
        {"text": CANARY, "prompt_id": "reviews"},
        {"text": CANARY, "prompt_id": CANARY},
        {"text": CANARY, "prompt_id": "pairs"},
        {"text": [CANARY], "prompt_id": "reviews"},
        {"fields": {"a": [[CANARY]], "b": CANARY}, "prompt_id": "pairs"},
        {"fields": {CANARY: CANARY}, "prompt_id": "pairs"},
        {"fields": CANARY, "prompt_id": "pairs"},
        {CANARY: CANARY},
        {"text": CANARY * 2000, "prompt_id": "reviews"},
        {"rows": [{"text": CANARY, "prompt_id": CANARY}, {"text": CANARY, "prompt_id": "reviews"}]},
        {"rows": [{CANARY: 1}]},
        CANARY,
    ]
    for body in bodies:
        for path in ("/classify", "/explain"):
            answer = client.post(path, json=body)
            assert CANARY not in answer.text.encode().decode("unicode_escape", "replace")
            assert CANARY not in answer.text
    client.post("/classify", content=f'{{"text": "{CANARY}'.encode(), headers=JSON)
    client.get(f"/{CANARY}")
    client.get(f"/prompts/{CANARY}")
    client.post(f"/hf/{CANARY}", json={"inputs": CANARY})
    assert CANARY not in client.get("/metrics").text
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]  # the client's
    assert ours
    assert not [record for record in ours if CANARY in record.getMessage() + str(record.exc_text)]


def test_an_error_that_nobody_expects_has_an_answer_and_a_log_without_the_text(serve, monkeypatch, caplog):
    def fail(self, *arguments):
        raise RuntimeError(CANARY)

    with serve() as client:
        monkeypatch.setattr(PromptSet, "encode_rows", fail)
        answer = client.post("/classify", json={"text": CANARY, "prompt_id": "reviews"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage().startswith("a request failed: RuntimeError at ")
    assert CANARY not in answer.text + caplog.text


def test_no_telemetry_is_sent_through_a_provider_of_the_process(serve, monkeypatch):
    used = []

    class Provider:
        """Records whatever is asked of it."""

        def __getattr__(self, name):
            def record(*arguments, **options):
                used.append((name, arguments, options))
                return Provider()

            return record

    for module, variable in (
        (opentelemetry.trace, "_TRACER_PROVIDER"),
        (opentelemetry.metrics._internal, "_METER_PROVIDER"),
        (opentelemetry._logs._internal, "_LOGGER_PROVIDER"),
    ):
        assert hasattr(module, variable)
        monkeypatch.setattr(module, variable, Provider())
    app = FastAPI()  # with its defaults
    with TestClient(app) as plain:
        plain.get("/")
    assert used
    used.clear()
    with serve() as client:
        client.post("/classify", json={"text": CANARY, "prompt_id": "reviews"})
        client.post("/classify", json={"text": [CANARY]})
        client.get("/nothing")
    assert used == []


def test_an_answer_is_not_kept_and_runs_nothing(client):
    for answer in (client.post("/classify", json=ROW), client.get("/nothing"), client.get("/prompts")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_no_page_loads_scripts_from_elsewhere(client):
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
    assert client.get("/openapi.json").json()["openapi"].startswith("3.")
