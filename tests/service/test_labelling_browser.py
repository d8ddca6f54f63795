"""The page for labelling in Chromium: keys, the guess, doubtful labels, people, and a server that is killed."""

import logging
import os
import signal
import statistics
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from support import models
from support.browsing import CHROMIUM, findings
from support.serving import wait_until

from softcloze import Labeller
from softcloze.service.labelling import labelling_app, serve_labelling
from softcloze.service.server import Server, configure
from softcloze.service.settings import ServiceSettings

HOSTILE = "<img src=x onerror=alert(1)></script>"
ARABIC = "هذا فيلم رائع، أحببت القصة والموسيقى."
LONG = "It was a good film, and this is a long text about it. " * 60
TEXTS = [
    *(f"{text} {HOSTILE}" for text in models.SENTENCES),
    *(f"{ARABIC} {i}" for i in range(4)),
    *(f"{LONG} {i}" for i in range(4)),
    *(f"{text} {text}" for text in models.SENTENCES),
]
TEMPLATE = "<text> It was <mask>."
# the time from a key to the frame with the next text
TIMES = """
window.times = []
let pressed = 0
addEventListener("keydown", () => (pressed = performance.now()), true)
addEventListener("DOMContentLoaded", () => {
  let shown = ""
  new MutationObserver(() => {
    const { index } = document.getElementById("work").dataset
    if (index === shown) return
    shown = index
    if (pressed) requestAnimationFrame(() => window.times.push(performance.now() - pressed))
  }).observe(document.querySelector("main"), { childList: true })
})
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which Debian has as a package"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelling")
    with Labeller(models.backbone("bert"), TEXTS, ["positive", "negative"], folder=folder, template=TEMPLATE) as made:
        yield made


@contextmanager
def listening(made):
    server = Server(configure(labelling_app(made), "127.0.0.1", 0, ServiceSettings(drain_seconds=1)))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.handle_exit(signal.SIGTERM, None)
    thread.join(60)


@pytest.fixture(scope="module")
def address(made):
    with listening(made) as address:
        yield address


def is_bad(text):
    return any(word in text for word in ("bad", "terrible", "dull", "not", "worst", "dreadful", "差", "失望"))


def shown(page):
    page.wait_for_selector("#text")
    return page.get_attribute("#work", "data-index")


def press(page, key):
    """Press a key that leads to another text."""
    before = shown(page)
    page.keyboard.press(key)
    page.wait_for_function("before => document.getElementById('work').dataset.index !== before", arg=before)


def said(page, text):
    page.locator("#status", has_text=text).wait_for()


def test_texts_are_labelled_by_keys(visit, made):
    page = visit()
    page.context.add_init_script(TIMES)
    page.reload()
    for _ in range(10):
        index = int(shown(page))
        assert page.inner_text("#text").replace("\n", " ")[:30] == TEXTS[index].replace("\n", " ")[:30]
        assert page.locator(".guess").count() == 0
        press(page, "2" if is_bad(TEXTS[index]) else "1")
        assert made.labelled()[-1].label == ("negative" if is_bad(TEXTS[index]) else "positive")
    times = sorted(page.evaluate("window.times"))
    median, longest = statistics.median(times), times[-1]
    logging.info("next text after a key: median %.0f ms, longest %.0f ms of %d", median, longest, len(times))
    said(page, "The model's guess was")
    assert page.locator("img").count() == 0
    page.locator("#quality .answer").wait_for()

    index = shown(page)
    page.keyboard.press("?")
    page.locator(".guess").wait_for()
    assert shown(page) == index
    page.keyboard.press("n")
    page.keyboard.type("12 a note?")
    page.keyboard.press("Escape")
    page.keyboard.press("+")
    page.keyboard.type("neither")
    page.keyboard.press("Enter")
    said(page, "New label: neither.")
    assert (shown(page), page.input_value("#note")) == (index, "12 a note?")
    press(page, "3")
    last = made.labelled()[-1]
    assert (last.index, last.label, last.note) == (int(index), "neither", "12 a note?")
    press(page, "ArrowLeft")
    said(page, "Taken back.")
    assert shown(page) == index
    assert len(made.labelled()) == 10
    press(page, "ArrowRight")
    page.reload()
    assert shown(page) not in (index, "")
    again = shown(page)
    page.reload()
    assert shown(page) == again
    assert page.url.split("?")[0].count("/") == 3
    page.uncheck("#keys")
    page.keyboard.press("1")
    page.wait_for_timeout(200)
    assert shown(page) == again


def test_a_doubtful_label_is_mended_by_a_key(visit, made):
    while len(made.labelled()) < 16:
        (question,) = made.ask(name="others")
        made.tell(question.index, "negative" if is_bad(TEXTS[question.index]) else "positive", name="others")
    for row in made.labelled():
        if row.label == "positive":
            made.tell(row.index, "negative", name="others")
            break
    page = visit()
    shown(page)
    page.keyboard.press("d")
    page.locator("#work[data-stage=doubt]").wait_for()
    assert page.locator(".neighbours > li").count() == 5
    assert findings(page) == []
    index = int(shown(page))
    before = {row.index: row.label for row in made.labelled()}[index]
    page.keyboard.press("1" if before == "negative" else "2")
    said(page, "Saved: " + ("positive" if before == "negative" else "negative"))
    assert {row.index: row.label for row in made.labelled()}[index] != before
    page.keyboard.press("Escape")
    page.locator("#work[data-stage=question]").wait_for()


def test_chinese_long_and_right_to_left_texts_in_the_dark_on_a_telephone(visit):
    page = visit(viewport={"width": 360, "height": 740}, color_scheme="dark", locale="zh-CN")
    assert page.get_attribute("html", "lang") == "zh-CN"
    seen = set()
    for _ in range(len(TEXTS)):
        index = int(shown(page))
        if TEXTS[index].startswith(LONG):
            seen.add("long")
            assert not page.locator(".rest > .text").first.is_visible()
            page.keyboard.press("v")
            assert page.locator(".rest > .text").first.is_visible()
        if TEXTS[index].startswith(ARABIC):
            seen.add("rtl")
            assert page.evaluate("getComputedStyle(document.querySelector('#text .text')).direction") == "rtl"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        if seen == {"long", "rtl"}:
            break
        press(page, "ArrowRight")
    assert seen == {"long", "rtl"}
    assert findings(page) == []


def test_without_a_script(visit, made):
    page = visit(java_script_enabled=False)
    page.fill("#name", "Bob")
    page.click("main form button")
    index, count = int(shown(page)), len(made.labelled())
    assert index not in {row.index for row in made.labelled()}
    page.click("#new-box summary")
    page.fill("#new-label", "unclear")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "unclear" in made.labels
    assert len(made.labelled()) == count
    page.click("button[name=label] >> nth=0")
    last = made.labelled()[-1]
    assert (last.index, last.label, last.name) == (index, made.labels[0], "Bob")
    page.click("button[value=guess]")
    page.locator(".guess").wait_for()
    page.click("button[value=undo]")
    assert int(shown(page)) == index
    page.click("button[value=quality]")
    assert page.locator("#quality .answer").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_one_of_many_labels_is_found_by_its_name(visit, tmp_path):
    names = [f"label {i} {'good' if i == 50 else 'bad'}" for i in range(60)]
    made = Labeller(models.backbone("bert"), models.SENTENCES, names, folder=tmp_path, template=TEMPLATE)
    with listening(made) as address:
        page = visit(at=address)
        index = shown(page)
        page.keyboard.press("/")
        page.keyboard.type("GOOD")
        assert page.locator(".label:visible").count() == 1
        press(page, "Enter")
        assert [(row.index, row.label) for row in made.labelled()] == [(int(index), "label 50 good")]
        assert findings(page) == []
        press(page, "b")
        assert made.labelled()[-1].label == names[11]


def test_a_label_is_renamed_by_one_person_while_another_labels(visit, tmp_path):
    labels = ["positive", "negative", "unclear"]
    made = Labeller(models.backbone("bert"), models.SENTENCES, labels, folder=tmp_path, template=TEMPLATE)
    with listening(made) as address:
        pages = []
        for name in ("Ann", "Bo"):
            page = visit(at=address)
            shown(page)
            page.click("#name-box summary")
            page.fill("#other-name", name)
            page.keyboard.press("Enter")
            page.locator("#name-box summary", has_text=name).wait_for()
            pages.append(page)
        ann, bo = pages
        index = shown(bo)
        assert shown(ann) != index
        ann.keyboard.press("=")
        ann.select_option("#old-label", label="positive")
        ann.fill("#new-name", "negative")
        ann.press("#new-name", "Enter")
        said(ann, "positive is now negative.")
        assert made.labels == ("negative", "unclear")
        bo.keyboard.press("2")  # was "negative", and is "unclear" now
        said(bo, "A label was renamed meanwhile")
        assert (shown(bo), made.labelled()) == (index, [])
        press(bo, "1")
        assert [(row.label, row.name) for row in made.labelled()] == [("negative", "Bo")]


SERVER = """
import sys
from support import models
from softcloze import Labeller
from softcloze.service.labelling import serve_labelling
labels = ["positive", "negative"]
made = Labeller(models.backbone("bert"), models.SENTENCES, labels, folder=sys.argv[1], template=sys.argv[2])
serve_labelling(made, port=0, on_start=lambda address: print(address, flush=True))
"""


def test_a_server_that_is_killed_has_lost_no_answer(tmp_path, visit):
    command = [sys.executable, "-c", SERVER, str(tmp_path / "kept"), TEMPLATE]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        address = process.stdout.readline().strip()
        page = visit(at=address)
        for key in "121":
            press(page, key)
        index = shown(page)
        process.kill()
    page.keyboard.press("1")
    said(page, "The server does not answer.")
    assert shown(page) == index
    kept = Labeller(
        models.backbone("bert"), models.SENTENCES, ["positive", "negative"], folder=tmp_path / "kept", template=TEMPLATE
    )
    assert [row.label for row in kept.labelled()] == ["positive", "negative", "positive"]
    assert kept.ask()[0].index == int(index)

    addresses, results = [], []
    options = {"port": 0, "finish": lambda: {"texts": 3}, "on_start": addresses.append}
    thread = threading.Thread(target=lambda: results.append(serve_labelling(kept, **options)))
    thread.start()
    wait_until(lambda: addresses)
    page = visit(at=addresses[0])
    assert shown(page) == index
    page.click("#end-box summary")
    page.click("button[value=finish]")
    page.locator("#results-title").wait_for()
    thread.join(60)
    assert results == [{"texts": 3}]
