"""The page as the server renders it: forms are answered without a script, and everything in it is text."""

import json
import math
import re
from html.parser import HTMLParser
from importlib.resources import files
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from support.page_prompts import HOSTILE, page_registry

from softcloze.display import percent
from softcloze.prompt import PromptSet
from softcloze.registry import Registry
from softcloze.service.answers import RowError
from softcloze.service.app import create_app
from softcloze.service.batcher import OverloadedError
from softcloze.service.service import Service
from softcloze.service.settings import ServiceSettings
from softcloze.service.version import ServedVersion
from softcloze.template.describe import NAMES

TEXT = "It was good, and the acting was good too."


@pytest.fixture(scope="module")
def service(backbone, tmp_path_factory):
    return Service(page_registry(tmp_path_factory.mktemp("page") / "prompts", backbone), backbone, ServiceSettings())


@pytest.fixture(scope="module")
def client(service):
    with TestClient(create_app(service), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


class Elements(HTMLParser):
    """The elements of a page, and the text in each."""

    def __init__(self, page):
        super().__init__()
        self.items, self._open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.items.append((tag, dict(attributes), []))
        if tag not in ("meta", "link", "input", "br", "img"):
            self._open.append(self.items[-1])

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for item in self._open:
            item[2].append(data)

    def texts(self, tag, **attributes):
        """The texts of the elements with a tag and attributes."""
        return [
            " ".join("".join(text).split())
            for name, given, text in self.items
            if name == tag and attributes.items() <= given.items()
        ]

    def values(self, tag, name):
        """The values of an attribute."""
        return [given[name] for found, given, _ in self.items if found == tag and name in given]


def post(client, prompts, text=TEXT, /, *, headers=None, boxes=None, **entries):
    """Send the form as a browser does."""
    pairs = [("prompt", prompt) for prompt in prompts]
    pairs += [(f"box.{name}", value) for name, value in {"text": text, **(boxes or {})}.items()]
    pairs += entries.items()
    headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    return client.post("/", content=urlencode(pairs), headers=headers)


def test_the_page_lists_what_is_served(client):
    answer = client.get("/")
    page = Elements(answer.text)
    assert answer.headers["content-type"].startswith("text/html")
    assert [given["value"] for tag, given, _ in page.items if tag == "input" and given.get("name") == "prompt"] == [
        "chinese",
        "choices",
        "hostile",
        "moods",
        "pairs",
        "reviews",
        "reviews@canary",
        "short",
        "topics",
    ]
    assert {given["name"] for tag, given, _ in page.items if tag == "textarea" and "name" in given} == {
        "box.text",
        "box.a",
        "box.b",
        "box.choices",
    }


def test_a_registry_without_prompts(backbone, tmp_path):
    with TestClient(
        create_app(Service(Registry(tmp_path), backbone, ServiceSettings())), base_url="http://localhost"
    ) as client:
        answer = client.get("/")
        assert answer.status_code == 200
        assert "No prompt is served." in answer.text
        assert post(client, ["reviews"]).status_code == 404


def test_a_form_is_answered_as_a_request_is(client):
    direct = client.post("/classify", json={"text": TEXT, "prompt_id": "reviews"}).json()
    page = Elements(post(client, ["reviews"]).text)
    assert page.texts("p", **{"class": "answer"}) == [direct["label"]]
    shown = page.texts("td", **{"class": "number"})
    assert shown == [f"{p:.2%}" for p in sorted(direct["probabilities"].values(), reverse=True)]
    assert page.texts("h3") == ["reviews@1"]
    assert page.texts("textarea", name="box.text") == [TEXT]


def test_an_example_fills_the_boxes_of_its_prompt(client):
    page = Elements(client.get("/").text)
    assert page.values("div", "data-examples") == ["chinese", "choices", "hostile", "pairs", "reviews"]
    assert page.texts("button", name="example", value="chinese/0") == ["很好看。"]
    assert page.texts("button", name="example", value="reviews/1")[0].endswith("…")
    filled = Elements(post(client, ["pairs"], TEXT, example="pairs/0").text)
    boxes = {name: filled.texts("textarea", name=f"box.{name}") for name in ("text", "a", "b")}
    assert boxes == {"text": [TEXT], "a": ["cast"], "b": ["music"]}
    assert filled.texts("h3") == []  # nothing is scored
    for gone in ("pairs/1", "nothing/0", "pairs/", "pairs/" + 5000 * "9", HOSTILE):
        assert Elements(post(client, ["pairs"], TEXT, example=gone).text).texts("textarea", name="box.a") == [""]


def test_several_prompts_are_one_batch(client, monkeypatch):
    sizes = []
    score = PromptSet.score_rows
    monkeypatch.setattr(PromptSet, "score_rows", lambda self, rows: sizes.append(len(rows)) or score(self, rows))
    page = Elements(post(client, ["reviews", "pairs", "reviews@1"], boxes={"a": "cast", "b": "music"}).text)
    assert page.texts("h3") == ["reviews@1", "pairs@1", "reviews@1"]
    assert sizes == [3]


def test_fields_go_to_their_slots(client):
    direct = client.post("/classify", json={"fields": {"a": "cast", "b": "music"}, "prompt_id": "pairs"}).json()
    page = Elements(post(client, ["pairs"], "", boxes={"a": "cast", "b": "music"}).text)
    assert page.texts("td", **{"class": "number"})[0] == f"{max(direct['probabilities'].values()):.2%}"


def test_lines_of_a_text_arrive_as_in_json(client):
    direct = client.post("/classify", json={"text": "one\ntwo\n", "prompt_id": "reviews"}).json()
    answer = post(client, ["reviews"], "one\r\ntwo\r\n")
    shown = Elements(answer.text).texts("td", **{"class": "number"})
    assert shown[0] == f"{max(direct['probabilities'].values()):.2%}"
    assert ">\none\ntwo\n</textarea>" in answer.text


def test_a_field_of_choices_takes_a_line_for_each(client):
    page = Elements(post(client, ["choices"], boxes={"choices": "good\r\nbad\r\n\r\nfilm"}).text)
    labels = [label.removesuffix(" ✓") for label in page.texts("th", scope="row")]
    assert sorted(labels) == ["bad", "film", "good"]


def test_many_labels_are_folded(client):
    answer = post(client, ["topics"]).text
    assert len(Elements(answer.split("<details>")[0]).texts("th", scope="row")) == 10
    assert len(Elements(answer).texts("th", scope="row")) == 12
    assert "2 more labels" in answer


def test_explanations_are_those_of_the_route(client):
    direct = client.post("/explain", json={"text": TEXT, "prompt_id": "reviews"}).json()
    page = Elements(post(client, ["reviews"], action="explain").text)
    rows = page.texts("tr")
    for word in direct["words"]:
        assert any(word["word"].strip() in row and percent(word["share"]) in row for row in rows)
    assert sum(row.startswith(direct["top"][0]["token"]) for row in rows)
    assert "".join(page.texts("p", **{"class": "drawn"})[0].split()) == "<text>␣Itwas<mask>"


def test_several_labels_are_explained_and_a_form_is_scored_once(client, monkeypatch):
    body = {"text": TEXT, "prompt_id": "moods"}
    direct = client.post("/explain", json=body).json()
    plain = client.post("/classify", json=body).json()
    assert plain.items() <= direct.items()  # to the last bit
    assert (direct["labels"], "label" in direct) == (["calm", "old"], False)
    words = {word["word"]: word for word in direct["words"]}
    assert {name: word["label"] for name, word in words.items()} == {
        "quiet": "calm",
        "loud": "loud",
        "noise": "loud",
        "old": "old",
    }
    assert words["quiet"]["share"] == 1.0
    assert words["loud"]["share"] + words["noise"]["share"] == pytest.approx(1.0)
    for name, word in words.items():  # the score of a label is the log-probability of its words
        if word["share"] == 1.0:
            odds = word["log_probability"] + 99.0
            assert direct["probabilities"][word["label"]] == pytest.approx(1 / (1 + math.exp(-odds))), name

    sizes, score = [], PromptSet.score_rows
    monkeypatch.setattr(
        PromptSet, "score_rows", lambda self, rows, **kept: sizes.append(len(rows)) or score(self, rows, **kept)
    )
    page = Elements(post(client, ["moods", "reviews", "choices"], boxes={"choices": "a\nb"}, action="explain").text)
    assert sizes == [3]
    assert page.texts("p", **{"class": "answer"})[0] == "calm, old"
    assert any("noise" in row and percent(words["noise"]["share"]) in row for row in page.texts("tr"))
    (unexplained,) = page.texts("p", **{"class": "error"})  # and it is answered
    assert "choices@1 are not made by label words" in unexplained


def test_a_prompt_without_explanation_is_still_answered(client, monkeypatch):
    def unexplained(*_):
        raise RowError(422, "no_explanation", "decisions of reviews@1 are not made by label words")

    monkeypatch.setattr(ServedVersion, "explain", unexplained)
    answer = post(client, ["reviews"], action="explain")
    assert answer.status_code == 200
    assert (
        "No explanation (no_explanation): decisions of reviews@1"
        in Elements(answer.text).texts("p", **{"class": "error"})[0]
    )
    assert Elements(answer.text).texts("p", **{"class": "answer"})


def test_what_was_cut_is_said(client):
    direct = client.post("/classify", json={"text": TEXT, "prompt_id": "short"}).json()
    page = Elements(post(client, ["short"]).text)
    assert page.texts("p", **{"class": "cut"}) == [f"Truncation removed {direct['cut']['text']} tokens of text."]


@pytest.mark.parametrize(
    ("chosen", "text", "status", "said"),
    [
        ([], TEXT, 422, "Choose a prompt first."),
        (["reviews"], "", 422, "Write a text first."),
        (["reviews"] * 3 + ["../x"], TEXT, 200, "unknown_prompt"),
        (["reviews@9"], TEXT, 404, "unknown_version"),
        (["x" * 10_000], TEXT, 404, "unknown_prompt"),
        (["reviews"], "x" * 20_001, 413, "too_long"),
        ([f"reviews{i}" for i in range(65)], TEXT, 413, "A request takes 64 rows"),
    ],
)
def test_a_form_that_cannot_be_answered(client, chosen, text, status, said):
    answer = post(client, chosen, text)
    assert answer.status_code == status
    assert said in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_a_busy_service_says_when_to_try_again(client, service, monkeypatch):
    async def busy(_):
        raise OverloadedError(7)

    monkeypatch.setattr(service, "classify", busy)
    answer = post(client, ["reviews"])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert "trying again in 7 s" in answer.text
    assert TEXT in answer.text  # in its box, for another try


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"prompt=reviews&box.text=x", {"Content-Type": "text/plain"}, 415),
        (b'{"text": "x"}', {"Content-Type": "application/json"}, 415),
        (b"prompt=reviews", {"Origin": "https://elsewhere.example"}, 403),
        (b"prompt=reviews", {"Origin": "null"}, 403),
        (b"prompt=reviews", {"Sec-Fetch-Site": "cross-site"}, 403),
        (b"prompt=reviews", {"Content-Encoding": "gzip"}, 415),
        (b"box.text=" + b"x" * 300_000, {}, 413),
        (b"a=1&" * 2000, {}, 422),
        ("prompt=reviews&box.text=é".encode(), {}, 422),
    ],
)
def test_bodies_that_are_no_form_of_the_page(client, content, headers, status):
    headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    answer = client.post("/", content=content, headers=headers)
    assert answer.status_code == status
    assert "<html" not in answer.text


def test_broken_letters_are_replaced(client):
    form = b"prompt=reviews&box.text=%ED%A0%80%FF%00x"
    answer = client.post("/", content=form, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 200
    assert "\ufffd" in answer.text


def test_the_form_needs_the_token(serve):
    with serve(token="secret") as client:
        assert client.get("/").status_code == post(client, ["reviews"]).status_code == 401
        assert client.get("/static/page.js").status_code == 401
        answer = client.get("/", auth=("any", "secret"))
        assert answer.status_code == 200
        assert "secret" not in answer.text
        assert post(client, ["reviews"], headers={"Authorization": "Bearer secret"}).status_code == 200


def test_everything_from_outside_is_text(client):
    harmless = Elements(post(client, ["reviews", "x"], "x", action="explain").text)
    page = Elements(post(client, ["hostile", HOSTILE], HOSTILE, action="explain", lang=HOSTILE).text)
    assert {tag for tag, *_ in page.items} <= {tag for tag, *_ in harmless.items}
    assert not [name for _, given, _ in page.items for name in given if name.startswith("on") or name == "style"]
    assert page.texts("textarea", name="box.text") == [HOSTILE]
    assert page.texts("h3") == ["hostile@1", HOSTILE]
    assert any(HOSTILE in label for label in page.texts("th", scope="row"))


def test_the_page_asks_for_nothing_from_elsewhere_and_its_answers_are_guarded(client):
    answer = client.get("/")
    page = Elements(answer.text)
    sources = page.values("script", "src") + page.values("link", "href")
    assert sources
    for source in sources:
        loaded = client.get(f"/{source}")
        assert (source.startswith("static/"), loaded.status_code) == (True, 200)
        assert loaded.headers["x-content-type-options"] == "nosniff"
        assert "//" not in re.sub(r'(?m)"http://www.w3.org/\S+"|(^|\s)// .*$', "", loaded.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "same-origin"  # under no-referrer, forms have the origin "null"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["page.py", "..%2fpage.py", "%2e%2e/app.py", "", "x.js", "%00", "页"])
def test_no_other_file_is_served(client, name):
    assert client.get(f"/static/{name}").status_code == 404


def test_scripts_write_no_markup():
    folder = files("softcloze.service").joinpath("static")
    script = "".join(file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".js"))
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"):
        assert unsafe not in script


@pytest.mark.parametrize(
    ("accepted", "asked", "language"),
    [
        ("", "", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh-CN"),
        ("en-GB,en;q=0.9,zh;q=0.8", "", "en"),
        ("fr,zh;q=0.5", "", "zh-CN"),
        ("fr", "", "en"),
        ("*;q=9,zh;q=x", "", "zh-CN"),
        ("zh", "?lang=en", "en"),
        ("en", "?lang=zh", "zh-CN"),
        ("en", "?lang=<b>", "en"),
    ],
)
def test_language(client, accepted, asked, language):
    page = Elements(client.get(f"/{asked}", headers={"Accept-Language": accepted}).text)
    assert page.values("html", "lang") == [language]


def test_the_language_stays_after_a_form(client):
    assert '<html lang="zh-CN">' in post(client, ["reviews"], lang="zh").text


def test_both_languages_have_the_same_strings():
    strings = json.loads(files("softcloze.service").joinpath("strings.json").read_text(encoding="utf-8"))
    english, chinese = strings["en"], strings["zh"]
    assert english.keys() == chinese.keys()
    for name, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", chinese[name])), name


def test_every_string_is_used():
    folder = files("softcloze.service")
    sources = [
        *(folder.joinpath(name) for name in ("page.py", "page_parts.py", "write_page.py")),
        *(file for file in folder.iterdir() if file.name.endswith(".html")),
        *(file for file in folder.joinpath("static").iterdir() if file.name.endswith(".js")),
    ]
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    strings = json.loads(folder.joinpath("strings.json").read_text(encoding="utf-8"))
    used = {*re.findall(r"\b(?:words|strings)(?:\.|\[\")(\w+)", text), *(f"kind_{kind}" for kind in NAMES)}
    assert strings["en"].keys() == used - {"kind_", "json"}


def test_text_is_in_no_log(client, caplog):
    caplog.set_level("DEBUG")
    post(client, ["reviews"], "canary text", action="explain")
    post(client, ["canary prompt"], "canary text")
    assert "canary" not in caplog.text
