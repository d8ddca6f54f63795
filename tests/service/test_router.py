"""The routes of a service in an application of the user's own."""

from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from softcloze.errors import ParameterError
from softcloze.service import Service, ServiceSettings, make_router

ROW = {"text": "It was good, and the acting was good too.", "prompt_id": "reviews"}
CANARY = "a secret text"


@pytest.fixture(scope="module")
def own(read_only, backbone):
    """A client of an application that has routes, a lifespan and failures of its own."""
    events = []

    @asynccontextmanager
    async def lifespan(app):
        events.append("started")
        yield
        events.append("stopped")

    app = FastAPI(lifespan=lifespan)
    app.include_router(make_router(Service(read_only, backbone, ServiceSettings(max_body_bytes=30_000))), prefix="/api")

    @app.post("/own")
    def own_route(number: int) -> int:
        return number

    with TestClient(app, raise_server_exceptions=False) as client:
        assert events == ["started"]
        yield client
    assert events == ["started", "stopped"]


def test_it_answers_under_its_path_as_the_service_does(own, client):
    answer = own.post("/api/classify", json=ROW)
    assert (answer.status_code, answer.json()) == (200, client.post("/classify", json=ROW).json())
    assert own.get("/api/health/ready").status_code == 200
    assert own.get("/api/prompts/reviews").json() == client.get("/prompts/reviews").json()
    assert own.post("/classify", json=ROW).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"text": CANARY, "prompt_id": "nothing"}, 404, "unknown_prompt"),
        ({"text": CANARY, "prompt_id": "reviews", "more": CANARY}, 422, "invalid"),
        ({"text": [CANARY], "prompt_id": "reviews"}, 422, "invalid"),
        ({"text": CANARY * 2000, "prompt_id": "reviews"}, 413, "too_long"),
    ],
)
def test_failures_have_a_code_and_no_text(own, body, status, code):
    answer = own.post("/api/classify", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert CANARY not in answer.text


def test_a_body_is_limited_as_the_settings_say(own):
    answer = own.post("/api/classify", json={"text": CANARY * 5000, "prompt_id": "reviews"})
    assert answer.status_code == 413
    assert CANARY not in answer.text


def test_failures_of_the_application_stay_its_own(own):
    assert own.get("/who").json() == {"detail": "Not Found"}
    assert own.post("/own?number=x").json()["detail"][0]["input"] == "x"


def test_its_routes_are_in_the_description_of_the_application(own):
    paths = own.get("/openapi.json").json()["paths"]
    assert {"/own", "/api/classify", "/api/explain", "/api/prompts", "/api/health/ready"} <= set(paths)


@pytest.mark.parametrize("settings", [{"token": "s3cret"}, {"origins": ("https://a.example",)}])
def test_settings_that_a_router_cannot_check_are_an_error(read_only, backbone, settings):
    with pytest.raises(ParameterError, match="has no effect on a router") as raised:
        make_router(Service(read_only, backbone, ServiceSettings(**settings)))
    assert "s3cret" not in str(raised.value)
