"""The page of generators in Chromium: pieces that appear, a stop, copied requests, and a page without a script."""

import json
import re
import shutil
import subprocess
import sys
import threading

import httpx2
import pytest
from support.browsing import CHROMIUM, findings
from support.page_prompts import HOSTILE, generator_registry
from support.serving import listening, wait_until

from softcloze.generation import Writer
from softcloze.registry import Registry

TEXT = "It was good, and the acting was good too."
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which Debian has as a package")
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def registry(backbone, tmp_path_factory):
    return generator_registry(tmp_path_factory.mktemp("write") / "prompts", backbone)


@pytest.fixture(scope="module")
def address(registry, backbone):
    with listening(registry, backbone, max_new_tokens=40) as (_, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def held(monkeypatch):
    """Hold texts after their twelfth token until it is set."""
    write, go_on = Writer.write, threading.Event()

    def write_later(self, prompts, soft=None, seed=0, follow=None):
        def later(row, ids):
            ends = follow(row, ids)
            assert len(ids) < 12 or go_on.wait(60)
            return ends

        return write(self, prompts, soft, seed, later if follow is not None else None)

    monkeypatch.setattr(Writer, "write", write_later)
    yield go_on
    go_on.set()


def text_of(address, **body):
    return httpx2.post(f"{address}/generate", json=body).json()["text"]


def begin(page, prompt, **boxes):
    page.check(f"[name=prompt][value='{prompt}']")
    for name, text in boxes.items():
        page.fill(f"[name='box.{name}']", text)
    page.click("button.main")


def test_pieces_appear_while_the_text_is_written_and_it_can_be_stopped(visit, address, held):
    page = visit("/write")
    begin(page, "endless", text=TEXT)
    page.wait_for_selector("#text:not(:empty)")
    assert page.inner_text("#status") == "Writing …"
    assert (page.get_attribute("#text", "aria-busy"), page.get_attribute("#text", "aria-live")) == ("true", None)
    page.click("#stop")
    page.get_by_text("Stopped.").wait_for()
    while 'softcloze_failed_rows_total{code="gone"} 1.0' not in httpx2.get(f"{address}/metrics").text:
        page.wait_for_timeout(5)
    held.set()
    assert not page.is_enabled("#stop")
    begin(page, "shorten", text=TEXT)
    page.get_by_text(re.compile(r"^shorten@1: 12 new tokens, cut off at the most new tokens \(\d+ ms\)$")).wait_for()
    assert page.text_content("#text") == text_of(address, text=TEXT, prompt_id="shorten")
    assert page.url == f"{address}/write"
    assert all("good" not in url for url in page.requested)


@slow
def test_fields_of_the_generator_and_the_number_of_new_tokens(visit, address):
    page = visit("/write?lang=zh")
    page.check("[value=titled]")
    assert [box.is_visible() for box in page.locator("[data-box]").all()] == [False, True, True]
    page.fill("#new-tokens", "3")
    page.fill("[name='box.title']", "好")
    page.fill("[name='box.body']", "a\nb")
    page.keyboard.press("Control+Enter")
    page.get_by_text("3 个新 token").wait_for()
    fields = {"fields": {"title": "好", "body": "a\nb"}, "prompt_id": "titled", "max_new_tokens": 3}
    assert page.text_content("#text") == text_of(address, **fields)


@slow
def test_without_a_script(visit, address):
    page = visit("/write", java_script_enabled=False)
    begin(page, "shorten", text=TEXT)
    page.wait_for_selector("#text:not(:empty)")
    assert page.text_content("#text") == text_of(address, text=TEXT, prompt_id="shorten")
    assert page.input_value("[name='box.text']") == TEXT
    assert page.is_checked("[value=shorten]")
    assert not page.locator("#stop").is_visible()


@slow
def test_copied_requests_run(visit, address):
    page = visit("/write")
    text = f'It\'s "good" $HOME `x` \\n {HOSTILE}\nline 2 好'
    page.check("[value=hostile]")
    page.fill("[name='box.text']", text)
    page.fill("#new-tokens", "4")
    page.click("#requests summary")
    wanted = text_of(address, text=text, prompt_id="hostile", max_new_tokens=4)
    for name, command in (("curl", ["bash", "-s"]), ("python", [sys.executable, "-"])):
        code = page.text_content(f"#{name}")
        done = subprocess.run(command, input=code, capture_output=True, encoding="utf-8", check=True, timeout=60)
        given = json.loads(done.stdout) if name == "curl" else eval(done.stdout)  # noqa: S307
        assert given["text"] == wanted


@slow
def test_errors_are_said_as_text(visit):
    page = visit("/write")
    page.click("button.main")
    assert page.inner_text("#status") == "Write a text first."
    page.route("**/generate", lambda route: route.fulfill(status=500, json={"error": HOSTILE, "code": "x"}))
    begin(page, "shorten", text=HOSTILE)
    page.get_by_text(f"Error: {HOSTILE}").wait_for()
    page.unroute("**/generate")
    events = f"event: error\ndata: {json.dumps({'error': HOSTILE, 'code': 'deadline'})}\n\n"
    page.route("**/generate", lambda route: route.fulfill(content_type="text/event-stream", body=events))
    page.click("button.main")
    page.get_by_text(f"Error: {HOSTILE}").wait_for()
    assert page.locator("img").count() == 0
    assert page.is_enabled("button.main")


@slow
def test_a_generator_that_is_gone_leaves_the_list(visit, registry, backbone, tmp_path):
    shutil.copytree(registry.folder, tmp_path / "prompts")
    changing = Registry(tmp_path / "prompts")
    with listening(changing, backbone) as (service, port):
        page = visit("/write?lang=zh", at=f"http://127.0.0.1:{port}")
        changing.remove("titled@live")
        changing.promote("shorten@2")
        wait_until(lambda: service.catalogue.state == changing.state())
        begin(page, "titled", title="a", body="b")
        page.get_by_text("错误：there is no such prompt").wait_for()
        page.wait_for_selector("#changes:not(:empty)")
        assert page.inner_text("#changes").split("\n") == [
            "已停止提供，因此不再选中：titled。",
            "已换成其他版本：shorten（版本 2）。",
        ]
        page.click("button.main")
        assert page.inner_text("#status") == "请先选择生成器。"
        begin(page, "shorten", text=TEXT)
        page.get_by_text("shorten@2：6 个新 token").wait_for()


@slow
@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility_and_a_telephone(visit, scheme, language):
    page = visit("/write", color_scheme=scheme, locale=language, viewport={"width": 360, "height": 740})
    assert page.get_attribute("html", "lang") == language
    begin(page, "endless", text="x" * 500 + " 好" * 300)
    page.wait_for_selector("#text[aria-busy=false]")
    page.click("#requests summary")
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
