import os
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import torch
from fastapi.testclient import TestClient
from support import models
from support.browsing import CHROMIUM, WATCH

from softcloze import Prompt, Template, Verbalizer
from softcloze.prompt import PromptSet
from softcloze.registry import Registry
from softcloze.service.app import create_app
from softcloze.service.service import Service
from softcloze.service.settings import ServiceSettings

EXAMPLES = {"reviews": ["A delight.", "A bore."], "pairs": [{"a": "cast", "b": "music"}]}
WORDS = Verbalizer({"positive": "good", "negative": "bad"})


def random_vectors(width, seed):
    """Two vectors of random numbers."""
    return torch.randn(2, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def backbone():
    return models.backbone("gpt2")


@pytest.fixture(scope="session")
def prompts(backbone):
    """A trained prompt of one field, a hard one of two, and one that chooses among the words of an example."""

    def make(template, words=WORDS, **parts):
        return Prompt(Template(template), words, backbone.name, backbone.fingerprint, **parts)

    return {
        "reviews": make("<soft*2 name=task> <text> It was<mask>", vectors={"task": random_vectors(backbone.width, 0)}),
        "pairs": make("Both <a> and <b> were<mask>"),
    }


@pytest.fixture
def other_review(prompts):
    """A version of `reviews` with other scores."""
    return replace(prompts["reviews"], vectors={"task": random_vectors(prompts["reviews"].vectors["task"].shape[1], 1)})


@pytest.fixture(scope="session")
def read_only(prompts, tmp_path_factory):
    """A registry in which every prompt is live; tests do not change it."""
    registry = Registry(tmp_path_factory.mktemp("registry") / "prompts")
    for name, prompt in prompts.items():
        registry.promote(str(registry.add(prompt, name, examples=EXAMPLES[name])))
    return registry


@pytest.fixture
def registry(read_only, tmp_path):
    """A copy of it that a test changes."""
    shutil.copytree(read_only.folder, tmp_path / "prompts")
    return Registry(tmp_path / "prompts")


@contextmanager
def _serving(registry, backbone, **settings):
    """Run a service in this process, and yield a client of it."""
    service = Service(registry, backbone, ServiceSettings(**{"poll_seconds": 0.01, **settings}))
    with TestClient(create_app(service), base_url="http://localhost", raise_server_exceptions=False) as client:
        client.service = service
        yield client


@pytest.fixture(scope="session")
def serving():
    """Run a service of a registry in this process; yields a client of it."""
    return _serving


@pytest.fixture(scope="session")
def client(read_only, backbone):
    """A client of a service that no test changes."""
    with _serving(read_only, backbone) as client:
        yield client


@pytest.fixture
def serve(read_only, backbone):
    """Run a service with other settings."""
    return partial(_serving, read_only, backbone)


@pytest.fixture
def following(registry, backbone):
    """A client of a service whose registry the test changes."""
    with _serving(registry, backbone) as client:
        yield client


class Hold:
    """Holds the model of a service: batches wait between `hold` and `let_go`."""

    def __init__(self):
        self._free, self.entered = threading.Event(), threading.Event()
        self._free.set()

    def hold(self):
        """Let the next batch wait."""
        self.entered.clear()
        self._free.clear()

    def let_go(self):
        """Score what waits."""
        self._free.set()

    def wait(self):
        """Called with each batch."""
        self.entered.set()
        assert self._free.wait(60)


@pytest.fixture
def model(monkeypatch):
    """The model of all services, to be held."""
    hold, score = Hold(), PromptSet.score_rows

    def score_later(*arguments):
        hold.wait()
        return score(*arguments)

    monkeypatch.setattr(PromptSet, "score_rows", score_later)
    yield hold
    hold.let_go()


@pytest.fixture(scope="module")  # while it is open, no other loop of asyncio runs in this thread
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--disable-gpu", *["--no-sandbox"] * (os.geteuid() == 0)]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Open the page; at the end no script of a text has run, and nothing was asked of another origin."""
    opened = []

    def visiting(path="/", at=address, **options):
        context = browser.new_context(**options)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.messages, page.requested = [], []
        context.add_init_script(WATCH)
        page.on("console", lambda message: page.messages.append(message.text))
        page.on("pageerror", lambda error: page.messages.append(str(error)))
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(at + path)
        opened.append((context, page, at))
        return page

    yield visiting
    for context, page, at in opened:
        assert [message for message in page.messages if not message.startswith("Failed to load resource")] == []
        assert {url for url in page.requested if not url.startswith((f"{at}/", "blob:"))} == set()
        context.close()
