"""The page of generators as the server renders it: its form is answered without a script, and everything is text."""

import re
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape
from support.page_prompts import HOSTILE, generator_registry

from softcloze.registry import Registry
from softcloze.service.app import create_app
from softcloze.service.batcher import OverloadedError
from softcloze.service.service import Service
from softcloze.service.settings import ServiceSettings

TEXT = "It was good, and the acting was good too."


@pytest.fixture(scope="module")
def client(backbone, serving, tmp_path_factory):
    with serving(
        generator_registry(tmp_path_factory.mktemp("write") / "prompts", backbone), backbone, max_new_tokens=30
    ) as client:
        yield client


def send(client, prompt=None, new_tokens="", /, language="en", **boxes):
    """Send the form as a browser does."""
    entries = {f"box.{name}": text for name, text in boxes.items()}
    entries |= {"lang": language, "max_new_tokens": new_tokens} | ({"prompt": prompt} if prompt is not None else {})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return client.post("/write", content=urlencode(entries), headers=headers)


def shown(answer, part="text"):
    """The text of an element of the page."""
    return re.search(rf'id="{part}"[^>]*>([^<]*)<', answer.text)[1]


def test_the_page_lists_generators_alone_and_the_other_page_prompts_alone(client):
    assert re.findall(r'name="prompt" value="([^"]+)"', client.get("/write").text) == [
        "endless", "hostile", "shorten", "shorten@canary", "titled",
    ]  # fmt: skip
    assert re.findall(r'name="prompt" value="([^"]+)"', client.get("/").text) == ["reviews"]
    for path in ("/", "/write"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert re.findall(r'href="(\./|write)"( aria-current="page")?', answer.text) == [
            ("./", ' aria-current="page"' if path == "/" else ""),
            ("write", ' aria-current="page"' if path == "/write" else ""),
        ]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))", answer.text)


def test_an_example_fills_the_boxes(client):
    content = urlencode({"prompt": "titled", "example": "titled/0"})
    answer = client.post("/write", content=content, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert re.findall(r'name="box.(title|body)"[^>]*>\n([^<]*)<', answer.text) == [("title", "A"), ("body", "b")]
    assert shown(answer) == ""


def test_a_registry_without_generators(backbone, tmp_path):
    with TestClient(
        create_app(Service(Registry(tmp_path), backbone, ServiceSettings())), base_url="http://localhost"
    ) as client:
        assert "No generator is served." in client.get("/write").text
        assert send(client, "shorten", text=TEXT).status_code == 404


def test_a_form_has_the_text_of_a_request(client):
    direct = client.post("/generate", json={"text": TEXT, "prompt_id": "shorten"}).json()
    answer = send(client, "shorten", text=TEXT)
    assert (answer.status_code, shown(answer)) == (200, escape(direct["text"]))
    assert re.fullmatch(r"shorten@1: 12 new tokens, cut off at the most new tokens \(\d+ ms\)", shown(answer, "status"))
    fields = {"fields": {"title": "a", "body": "b\nc"}, "prompt_id": "titled", "max_new_tokens": 3}
    direct = client.post("/generate", json=fields).json()
    answer = send(client, "titled", "3", title="a", body="b\r\nc", language="zh")
    assert shown(answer) == escape(direct["text"])
    assert "3 个新 token" in shown(answer, "status")
    assert '<html lang="zh-CN">' in answer.text
    cut = send(client, "endless", "2", text=TEXT)
    assert re.fullmatch(r"Truncation removed \d+ tokens of text\.", shown(cut, "cut"))


@pytest.mark.parametrize(
    ("arguments", "boxes", "status", "message"),
    [
        ([], {"text": "a"}, 422, "Choose a generator first."),
        (["shorten"], {"text": ""}, 422, "Write a text first."),
        (["shorten", "31"], {"text": "a"}, 422, "from 1 to 30."),
        (["shorten", "0"], {"text": "a"}, 422, "from 1 to 30."),
        (["shorten", "x"], {"text": "a"}, 422, "from 1 to 30."),
        (["nothing"], {"text": "a"}, 404, "there is no such prompt"),
        (["reviews"], {"text": "a"}, 422, "gives labels"),
        (["shorten"], {"text": "a" * 20_001}, 413, "20,000 at most"),
    ],
)
def test_a_form_that_cannot_be_answered_says_why(client, arguments, boxes, status, message):
    answer = send(client, *arguments, **boxes)
    assert (answer.status_code, message in shown(answer, "status")) == (status, True)
    assert shown(answer) == ""


def test_everything_is_text(client):
    answer = send(client, "hostile", text=HOSTILE)
    assert answer.status_code == 200
    assert "<img" not in answer.text
    assert escape(HOSTILE) in answer.text


def test_a_busy_or_ending_service_says_so(client, monkeypatch):
    async def busy(*_, **__):
        raise OverloadedError(7)

    monkeypatch.setattr(client.service.writing, "begin", busy)
    answer = send(client, "shorten", text=TEXT)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert "trying again in 7 s" in shown(answer, "status")
    monkeypatch.setattr(client.service, "draining", True)
    assert send(client, "shorten", text=TEXT).status_code == 503
