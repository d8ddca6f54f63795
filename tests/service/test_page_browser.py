"""The page in Chromium: what a user does with it, with hostile texts, at each width, colour and language."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import threading

import httpx2
import pytest
from support.browsing import CHROMIUM, findings
from support.page_prompts import HOSTILE, LONG_EXAMPLE, page_registry
from support.serving import listening, wait_until

from softcloze.prompt import PromptSet
from softcloze.registry import Registry

TEXT = "It was good, and the acting was good too."
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which Debian has as a package")
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def registry(backbone, tmp_path_factory):
    return page_registry(tmp_path_factory.mktemp("page") / "prompts", backbone)


@pytest.fixture(scope="module")
def address(registry, backbone):
    with listening(registry, backbone) as (_, port):
        yield f"http://127.0.0.1:{port}"


def choose(page, *prompts):
    """Choose exactly these prompts."""
    for box in page.locator("[name=prompt]").all():
        box.set_checked(box.get_attribute("value") in prompts)


def classify(page, text, *prompts, action="classify"):
    """Fill the form, send it, and wait for the answers."""
    choose(page, *prompts)
    page.fill("[name='box.text']", text)
    page.click(f"button[value={action}]")
    page.wait_for_selector(f".card >> nth={len(prompts) - 1}")


def answer(address, **body):
    return httpx2.post(f"{address}/classify", json=body).json()


def test_a_text_is_classified_and_stays_out_of_the_address(visit, address):
    page = visit()
    classify(page, TEXT, "reviews")
    direct = answer(address, text=TEXT, prompt_id="reviews")
    assert page.inner_text(".answer") == direct["label"]
    assert page.inner_text("h3") == "reviews@1"
    assert [float(text.rstrip("%")) for text in page.locator(".card td.number").all_inner_texts()] == pytest.approx(
        [100 * p for p in sorted(direct["probabilities"].values(), reverse=True)], abs=0.006
    )
    widths = [float(bar.get_attribute("width").rstrip("%")) for bar in page.locator(".bar rect").all()]
    assert widths == pytest.approx([100 * p for p in sorted(direct["probabilities"].values(), reverse=True)], abs=0.006)
    assert re.fullmatch(rf"reviews@1: {direct['label']} \(\d+ ms\)", page.inner_text("#status"))
    assert page.url == f"{address}/"
    assert all("good" not in url for url in page.requested)


@slow
def test_three_prompts_are_compared_by_one_request(visit):
    page = visit()
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    classify(page, TEXT, "reviews", "reviews@canary", "topics")
    assert page.locator("h3").all_inner_texts() == ["reviews@1", "reviews@2", "topics@1"]
    assert page.inner_text("#status").startswith("3 prompts")
    assert sent.count("POST") == 1


@slow
def test_an_answer_is_explained(visit, address):
    page = visit()
    classify(page, TEXT, "reviews", action="explain")
    direct = httpx2.post(f"{address}/explain", json={"text": TEXT, "prompt_id": "reviews"}).json()
    words = page.locator(".card details").first.inner_text()
    assert all(word["word"].strip() in words for word in direct["words"])
    assert page.locator(".drawn .part").all_inner_texts() == ["<text>", "␣It was", "<mask>"]


@slow
def test_boxes_follow_the_prompts(visit):
    page = visit()
    choose(page, "pairs")
    assert [box.is_visible() for box in page.locator("[data-box]").all()] == [False, False, True, True]
    choose(page, "choices")
    assert page.locator("[data-box=choices]").is_visible()
    assert page.locator("[name=example]:visible").all_inner_texts() == ["It was · good film"]
    page.click("[name=example]:visible")
    assert (page.input_value("[name='box.text']"), page.input_value("[name='box.choices']")) == ("It was", "good\nfilm")
    assert "good" in page.text_content("#curl")
    classify(page, TEXT, "choices")
    assert sorted(re.sub(r"\s*✓", "", text) for text in page.locator(".card tbody th").all_inner_texts()) == [
        "film",
        "good",
    ]


@pytest.mark.parametrize("script", [True, pytest.param(False, marks=slow)], ids=["script", "no script"])
def test_hostile_texts_are_text(visit, script):
    page = visit(java_script_enabled=script)
    classify(page, HOSTILE, "hostile", action="explain")
    assert HOSTILE in page.locator(".card tbody th").all_inner_texts()[0] + page.inner_text(".answer")
    assert page.locator("img").count() == 0
    if script:
        page.fill("#rows", f"{HOSTILE}\nx")
        page.click("#run")
        page.wait_for_selector("#rows-answers tr:nth-child(2) td.number:not(:empty)")
        page.click("#requests summary")
        assert page.locator("#past li").count() == 1
        page.route("**/", lambda route: route.fulfill(status=500, json={"error": HOSTILE}))
        page.click("button[value=classify]")
        page.get_by_text(f"Error: {HOSTILE}").wait_for()
        assert page.locator("img").count() == 0


@slow
def test_without_a_script(visit, address):
    page = visit(java_script_enabled=False)
    classify(page, TEXT, "reviews", "short")
    assert page.locator("h3").all_inner_texts() == ["reviews@1", "short@1"]
    assert page.locator(".answer").first.inner_text() == answer(address, text=TEXT, prompt_id="reviews")["label"]
    assert page.input_value("[name='box.text']") == TEXT
    assert page.is_checked("[value=reviews]")
    assert not page.is_checked("[value=topics]")
    assert page.url == f"{address}/"
    assert not page.locator("#run").is_visible()
    assert "need JavaScript" in page.inner_text("main")
    page.click("[name=example]:visible >> nth=1")
    assert page.input_value("[name='box.text']") == LONG_EXAMPLE
    assert (page.is_checked("[value=reviews]"), page.is_checked("[value=short]")) == (True, True)


@slow
def test_a_busy_service_is_asked_again(visit):
    page = visit()
    replies = iter([429, 429])

    def reply(route):
        status = next(replies, None)
        if status is None:
            route.continue_()
        else:
            route.fulfill(status=status, headers={"Retry-After": "1"}, json={"error": "busy", "code": "overloaded"})

    page.route("**/", reply)
    choose(page, "reviews")
    page.fill("[name='box.text']", TEXT)
    page.click("button[value=classify]")
    page.get_by_text("The service is busy; trying again in 1 s.").wait_for()
    page.wait_for_selector(".card")
    assert next(replies, None) is None


@slow
def test_a_newer_text_replaces_an_older_answer(visit, address):
    page = visit()
    held = []
    page.route("**/", lambda route: held.append(route) if not held else route.continue_())
    choose(page, "reviews")
    page.fill("[name='box.text']", "an old text")
    page.click("button[value=classify]")
    while not held:
        page.wait_for_timeout(5)
    classify(page, TEXT, "reviews")
    held[0].abort()
    assert page.inner_text(".answer") == answer(address, text=TEXT, prompt_id="reviews")["label"]
    assert page.inner_text("#past li button") == TEXT


@slow
def test_an_overtaken_text_is_not_scored(visit, address, model, monkeypatch):
    sizes, score = [], PromptSet.score_rows
    monkeypatch.setattr(PromptSet, "score_rows", lambda self, rows: sizes.append(len(rows)) or score(self, rows))

    def wait_for(metric):
        while not re.search(metric, httpx2.get(f"{address}/metrics").text):
            page.wait_for_timeout(5)

    page = visit()
    choose(page, "reviews")
    model.hold()
    first = threading.Thread(target=answer, args=[address], kwargs={"text": "x", "prompt_id": "reviews"})
    first.start()
    assert model.entered.wait(60)
    page.fill("[name='box.text']", "an old text")
    page.click("button[value=classify]")
    wait_for(r"queued_rows 2")
    page.fill("[name='box.text']", TEXT)
    page.click("button[value=classify]")
    wait_for(r'route="/",status="499"')
    model.let_go()
    page.wait_for_selector(".card")
    first.join()
    assert sum(sizes) == 2


@slow
def test_a_service_that_is_gone(visit, registry, backbone):
    with listening(registry, backbone) as (_, port):
        page = visit(at=f"http://127.0.0.1:{port}")
    page.fill("[name='box.text']", TEXT)
    page.click("button[value=classify]")
    page.get_by_text("The service does not answer.").wait_for()
    page.fill("#rows", "x")
    page.click("#run")
    page.get_by_text("Stopped after 0 of 1 answers: The service does not answer.").wait_for()
    assert page.is_enabled("#run")


def read_download(page):
    """Download the answers, as a list of rows."""
    with page.expect_download() as download:
        page.click("#download")
    text = download.value.path().read_bytes().decode("utf-8-sig")
    assert download.value.suggested_filename == "answers.csv"
    return list(csv.DictReader(io.StringIO(text, newline="")))


@slow
def test_a_list_of_200_texts_and_its_download(visit, address):
    page = visit()
    sizes = []
    page.on("request", lambda request: sizes.append(len(request.post_data_json["rows"])) if request.post_data else None)
    texts = [f'=sum({i}), "quoted" 好' if i % 50 == 0 else f"text {i}, good" for i in range(200)]
    choose(page, "reviews", "topics")
    page.fill("#rows", "\n".join(texts))
    page.click("#run")
    page.get_by_text(re.compile(r"^400 answers in [\d.]+ s; without an answer: 0$")).wait_for()
    assert sizes == [64] * 6 + [16]
    assert page.locator("#rows-answers tbody tr").count() == 200
    rows = read_download(page)
    assert [row["text"].removeprefix("'") for row in rows] == texts
    assert [row["text"][0] == "'" for row in rows] == [text[0] == "=" for text in texts]
    for i in (0, 63, 64, 199):
        direct = answer(address, text=texts[i], prompt_id="topics")
        assert rows[i]["topics label"] == direct["label"]
        assert rows[i]["topics version"] == "1"
        probabilities = {name: float(rows[i][f"topics probability of {name}"]) for name in direct["probabilities"]}
        assert probabilities == pytest.approx(direct["probabilities"], abs=1e-5)


@slow
def test_a_csv_file_with_fields(visit, address, tmp_path):
    page = visit()
    choose(page, "pairs")
    records = [("the cast", 'a "good"\nstory'), ("电影", "音乐,好"), ("", "x" * 20_001)]
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("id", "b", "a"), *((i, b, a) for i, (a, b) in enumerate(records))])
    for encoding in ("utf-8-sig", "gb18030"):
        file = tmp_path / f"{encoding}.csv"
        file.write_bytes(written.getvalue().encode(encoding))
        page.set_input_files("#file", file)
        page.wait_for_timeout(50)
        page.click("#run")
        page.get_by_text(re.compile(r"^3 answers in [\d.]+ s; without an answer: 1$")).wait_for()
        rows = read_download(page)
        assert [(row["a"], row["b"]) for row in rows] == records
        for row, (a, b) in zip(rows[:2], records, strict=False):
            assert row["label"] == answer(address, fields={"a": a, "b": b}, prompt_id="pairs")["label"]
        assert "20,001 characters" in rows[2]["error"]


@slow
@pytest.mark.parametrize(
    ("prompts", "rows", "said"),
    [
        (["reviews"], "", "There are no rows."),
        (["reviews"], "x\n" * 201, "There are 201 rows; this page takes 200."),
        (["pairs"], "a;c\n1;2", "The first line has to name the fields: a, b"),
        ([], "x", "Choose a prompt first."),
    ],
)
def test_rows_that_cannot_be_sent(visit, prompts, rows, said):
    page = visit()
    choose(page, *prompts)
    page.fill("#rows", rows)
    page.click("#run")
    page.get_by_text(said).first.wait_for()


@slow
def test_a_list_is_cancelled(visit):
    page = visit()
    sent = []
    page.route("**/classify", lambda route: route.continue_() if not sent else None)
    page.on("requestfinished", lambda request: sent.append(request) if request.url.endswith("/classify") else None)
    choose(page, "reviews")
    page.fill("#rows", "\n".join(f"text {i}" for i in range(130)))
    page.click("#run")
    page.get_by_text("64 of 130 answers").wait_for()
    page.click("#cancel")
    page.get_by_text("Cancelled after 64 of 130 answers.").wait_for()
    assert sum(row["label"] != "" for row in read_download(page)) == 64
    assert page.is_enabled("#run")


@slow
def test_copied_requests_run(visit, address, tmp_path):
    page = visit()
    text = f'It\'s "good" $HOME `x` \\n {HOSTILE}\nline 2 好'
    for prompts in (["reviews"], ["hostile", "reviews"]):
        choose(page, *prompts)
        page.fill("[name='box.text']", text)
        if not page.locator("#curl").is_visible():
            page.click("#requests summary")
            page.wait_for_selector("#curl:not(:empty)")
        rows = [{"text": text, "prompt_id": prompt} for prompt in prompts]
        wanted = answer(address, **(rows[0] if len(rows) == 1 else {"rows": rows}))
        for name, command in (("curl", ["bash", "-s"]), ("python", [sys.executable, "-"])):
            code = page.text_content(f"#{name}")
            done = subprocess.run(command, input=code, capture_output=True, encoding="utf-8", check=True, timeout=60)
            given = json.loads(done.stdout) if name == "curl" else eval(done.stdout)  # noqa: S307
            assert given == wanted


@slow
def test_copied_requests_have_no_token(visit, registry, backbone):
    with listening(registry, backbone, token="secret-token") as (_, port):
        page = visit(at=f"http://127.0.0.1:{port}", http_credentials={"username": "u", "password": "secret-token"})
        classify(page, TEXT, "reviews")
        page.click("#requests summary")
        page.wait_for_selector("#curl:not(:empty)")
        for name in ("#curl", "#python"):
            assert "SOFTCLOZE_TOKEN" in page.text_content(name)
        assert "secret-token" not in page.content()
        page.fill("#rows", "x")
        page.click("#run")
        page.get_by_text("1 answers in").wait_for()


@slow
def test_history_brings_a_text_back(visit):
    page = visit()
    classify(page, "the first text", "reviews")
    first = page.inner_text("#cards")
    classify(page, "the second text", "topics", "reviews")
    page.get_by_role("button", name="the first text").click()
    assert page.input_value("[name='box.text']") == "the first text"
    assert (page.is_checked("[value=reviews]"), page.is_checked("[value=topics]")) == (True, False)
    assert page.inner_text("#cards") == first
    page.reload()
    assert not page.locator("#past").is_visible()


@slow
def test_by_keyboard_alone(visit):
    page = visit()
    focused = "document.activeElement"

    def reach(condition):
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(f"{focused}.matches({json.dumps(condition)})"):
                outline = page.evaluate(f"getComputedStyle({focused}).outlineStyle")
                assert outline != "none", condition
                return
        raise AssertionError(f"{condition} is not reached")

    choose(page, "hostile")
    reach("[value=reviews]")
    page.keyboard.press("Space")
    reach("[name='box.text']")
    page.keyboard.type("good")
    page.keyboard.press("Enter")
    page.keyboard.type("film")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".card >> nth=1")
    assert page.input_value("[name='box.text']") == "good\nfilm"
    for target in ("button[value=explain]", ".card summary", "#requests summary", "#rows", "#file", "#run"):
        reach(target)
    reach("#past button")


@slow
@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(visit, scheme, language):
    page = visit(color_scheme=scheme, locale=language)
    assert page.get_attribute("html", "lang") == language
    assert findings(page) == []
    page.fill("#rows", "good\n好")
    page.click("#run")
    page.wait_for_selector("#rows-answers tr:nth-child(2) td.number:not(:empty)")
    classify(page, TEXT, "short", "chinese", "topics", action="explain")
    page.click("#requests summary")
    assert findings(page) == []
    assert page.get_attribute("bdi:text('好评')", "lang") == "zh"


@slow
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_fits_a_telephone(visit, script):
    page = visit(viewport={"width": 360, "height": 740}, java_script_enabled=script)
    classify(page, "x" * 500 + " 好" * 300, "hostile", "topics", "reviews", action="explain")
    if script:
        page.fill("#rows", f"{'x' * 300}\n好")
        page.click("#run")
        page.wait_for_selector("#rows-answers tr:nth-child(2) td.number:not(:empty)")
        page.click("#requests summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@slow
def test_prompts_are_filtered_by_name(visit):
    page = visit()
    choose(page, "topics")
    page.evaluate("document.getElementById('filter-line').hidden = false")  # it comes with a dozen prompts
    page.fill("#filter", "REV")
    shown = [box.get_attribute("value") for box in page.locator("[name=prompt]:visible").all()]
    assert shown == ["reviews", "reviews@canary", "topics"]  # what is chosen stays


def chosen(page):
    return [box.get_attribute("value") for box in page.locator("[name=prompt]:checked").all()]


@slow
def test_the_list_follows_prompts_that_come_move_and_go(visit, registry, backbone, tmp_path):
    shutil.copytree(registry.folder, tmp_path / "prompts")
    changing = Registry(tmp_path / "prompts")
    with listening(changing, backbone) as (service, port):

        def change(*changes):
            for make in changes:
                make()
            wait_until(lambda: service.catalogue.state == changing.state())

        page = visit(at=f"http://127.0.0.1:{port}")
        said = page.locator("#changes[role=status]")
        choose(page, "reviews", "short", "pairs")
        page.fill("[name='box.text']", TEXT)
        page.fill("[name='box.a']", "the cast")
        page.evaluate("document.querySelector(\"[name='box.a']\").setSelectionRange(1, 3)")
        change(
            lambda: changing.remove("short@live"),
            lambda: changing.remove("choices@live"),
            lambda: changing.promote("reviews@2"),
            lambda: changing.promote("pairs@1", "canary"),
        )
        assert said.inner_text() == ""
        page.evaluate("dispatchEvent(new Event('focus'))")
        page.wait_for_selector("#changes:not(:empty)")
        assert said.inner_text().split("\n") == [
            "No longer served, so no longer chosen: short.",
            "No longer served: choices.",
            "Now another version: reviews (version 2).",
            "New: pairs@canary.",
        ]
        assert chosen(page) == ["pairs", "reviews"]
        assert (page.input_value("[name='box.text']"), page.input_value("[name='box.a']")) == (TEXT, "the cast")
        assert page.evaluate("[document.activeElement.name, document.activeElement.selectionEnd]") == ["box.a", 3]
        assert page.locator("[data-box=choices]").count() == 0
        assert findings(page) == []

        # an answer shows that another list has to be taken: by its version, and by a prompt that is gone
        change(lambda: changing.promote("reviews@1"))
        page.click("button[value=classify]")
        page.wait_for_selector(".card h3:has-text('reviews@1')")
        page.get_by_text("Now another version: reviews (version 1).").wait_for()
        change(lambda: changing.remove("pairs@live"))
        page.click("button[value=classify]")
        page.wait_for_selector(".card code:text('unknown_version')")
        page.get_by_text("No longer served, so no longer chosen: pairs.").wait_for()
        assert chosen(page) == ["reviews"]


@slow
def test_nothing_moves_for_those_who_do_not_want_it(visit):
    page = visit(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.querySelector('button')).transitionDuration") == "0s"
