"""The page for labelling, by its forms: answers, people, doubtful labels, the end, and requests that it turns away."""

import json
import logging
import re
import socket
import threading
from contextlib import contextmanager
from importlib.resources import files

import httpx2
import pytest
from fastapi.testclient import TestClient
from support import models
from support.serving import free_port, wait_until

from softcloze import Labeller
from softcloze.errors import DataError, FileError, ParameterError
from softcloze.service.labelling import labelling_app, serve_labelling
from softcloze.service.settings import ServiceSettings

HOSTILE = "<img src=x onerror=alert(1)></script>"
TEXTS = [*models.SENTENCES, *(f"{text} {HOSTILE}" for text in models.SENTENCES)]
FORM = {"content-type": "application/x-www-form-urlencoded"}


def labeller(folder=None, **options):
    labels = options.pop("labels", ["positive", "negative", "neutral"])
    options = {"template": "<text> It was <mask>.", "background": False, **options}
    return Labeller(models.backbone("bert"), TEXTS, labels, folder=folder, **options)


@contextmanager
def opened(made, **options):
    with TestClient(labelling_app(made, **options), base_url="http://localhost") as client:
        wait_until(lambda: stage(post(client)) != "reading")
        yield client


@pytest.fixture
def client(tmp_path):
    with opened(labeller(tmp_path / "labelling")) as client:
        yield client


@pytest.fixture(scope="module")
def quiet():
    """A page on which no test gives an answer."""
    with opened(labeller()) as client:
        yield client


def post(client, action="open", *, name="", **entries):
    pairs = {"action": action, "name": name, **entries}
    return client.post("/", data={key: value for key, value in pairs.items() if value is not None})


def stage(answer):
    return re.search(r'data-stage="(\w*)"', answer.text)[1]


def index(answer):
    return int(re.search(r'name="index" value="(\d+)"', answer.text)[1])


def said(answer):
    return re.search(r'<p id="status" role="status">(.*?)</p>', answer.text)[1]


def label(client, number, **entries):
    """Answer with the label of this index."""
    shown = index(post(client, name=entries.get("name", "")))
    return shown, post(client, None, index=shown, label=number, **entries)


def test_an_answer_is_on_disk_before_the_next_text_is_shown(client, tmp_path):
    shown, after = label(client, 2, note="odd")
    journal = (tmp_path / "labelling" / "journal.jsonl").read_text("utf-8")
    events = [json.loads(line) for line in journal.splitlines()]
    (given,) = [event for event in events if event["event"] == "answer"]
    assert (given["index"], given["labels"]) == (shown, ["neutral"])
    assert index(after) not in (shown, None)
    assert said(after).startswith("Saved: neutral.")
    (row,) = client.app.state.desk.labeller.labelled()
    assert (row.index, row.label, row.note) == (shown, "neutral", "odd")
    again = post(client)
    assert index(again) == index(after)  # as a page that is loaded again


def test_a_full_disk_is_reported_and_the_text_stays(client, monkeypatch):
    shown = index(post(client))

    def full(*_):
        raise FileError("no space left")

    monkeypatch.setattr("softcloze.labelling.journal.Journal.append", full)
    answer = post(client, None, index=shown, label=0)
    assert (answer.status_code, index(answer)) == (422, shown)
    assert "no space left" in answer.text
    monkeypatch.undo()
    assert client.app.state.desk.labeller.labelled() == []


def test_the_guess_is_shown_on_request_and_after_the_answer_alone(client):
    for number in (0, 1, 0, 1):
        label(client, number)
    before = post(client)
    assert "%" not in said(before)
    assert 'class="guess"' not in before.text
    asked = post(client, "guess", index=index(before), note="a note")
    assert 'class="guess"' in asked.text
    assert said(asked).startswith("The model&#39;s guess: ")
    assert "a note</textarea>" in asked.text
    _, after = label(client, 0)
    assert re.match(r"Saved: positive\. The model&#39;s guess was \w+, \d+%\.", said(after))


def test_answers_are_taken_back_and_texts_skipped(client):
    assert said(post(client, "undo")) == "There is nothing to take back."
    shown, _ = label(client, 0)
    back = post(client, "undo")
    assert (index(back), said(back)) == (shown, "Taken back.")
    skipped = post(client, "skip", index=shown, note="unreadable")
    assert index(skipped) != shown
    assert client.app.state.desk.labeller.labelled() == []


def test_a_new_label_has_the_next_key(client):
    shown = index(post(client))
    added = post(client, "add", new_label=f"  {HOSTILE} \n", index=shown)
    assert index(added) == shown
    assert '<button class="label" name="label" value="3" data-key="4" aria-keyshortcuts="4">' in added.text
    assert "<img" not in added.text
    assert "&lt;img" in added.text
    wrong = post(client, "add", new_label="Positive", index=shown)
    assert wrong.status_code == 422
    assert "Positive" in wrong.text
    _, after = label(client, 3)
    assert client.app.state.desk.labeller.labelled()[0].label == HOSTILE
    assert "<img" not in after.text


def test_a_new_label_among_numbers_is_a_number():
    made = labeller(labels=[1, 2])
    with opened(made) as client:
        assert post(client, "add", new_label="many").status_code == 422
        assert post(client, "add", new_label="-3").status_code == 200
        assert made.labels == (1, 2, -3)


def test_people_with_different_names_get_different_texts(client):
    assert stage(client.get("/")) == "start"
    shown = {index(post(client, name=name)) for name in ("Ada", " Bob  B. ", "Bob B.")}
    assert len(shown) == 2
    label(client, 0, name="Ada")
    assert client.app.state.desk.labeller.labelled()[0].name == "Ada"


def test_doubtful_labels_are_mended_and_the_estimate_shown(tmp_path):
    made = labeller(tmp_path, labels=["positive", "negative"])
    with opened(made) as client:
        while len(made.labelled()) < 16:
            shown = index(post(client))
            bad = any(word in TEXTS[shown] for word in ("bad", "terrible", "dull", "not", "worst", "差", "失望"))
            post(client, None, index=shown, label=int(bad))
        assert "data-due" in post(client).text
        measured = post(client, "quality").text
        assert "<polyline" in measured
        assert f"{made.estimate().balanced_accuracy:.0%}</p>" in measured
        assert "data-due" not in measured

        first = post(client, "doubts")
        doubt = made.doubts()[0]
        assert (stage(first), index(first)) == ("doubt", doubt.index)
        assert first.text.count("similarity ") == 5
        queue = re.search(r'name="queue" value="([\d ]+)"', first.text)[1]
        assert queue.split() == [str(one.index) for one in made.doubts()][: len(queue.split())]
        other = made.labels.index(doubt.suggested)
        second = post(client, None, index=doubt.index, label=other, queue=queue)
        assert {row.index: row.label for row in made.labelled()}[doubt.index] == doubt.suggested
        assert index(second) == int(queue.split()[1])
        back = post(client, "undo", queue=" ".join(queue.split()[1:]))
        assert (stage(back), index(back)) == ("doubt", doubt.index)
        left = post(client, "skip", index=doubt.index, queue=queue)
        assert {row.index: row.label for row in made.labelled()}[doubt.index] == doubt.label
        assert index(left) == index(second)
        assert stage(post(client, None, index=index(left), label=0, queue=str(index(left)))) == "question"


def test_several_labels_or_none(tmp_path):
    made = labeller(tmp_path, multi_label=True)
    with opened(made) as client:
        for chosen in ([0, 2], []):
            shown = index(post(client))
            assert post(client, "save", index=shown, label=chosen).status_code == 200
            assert made.labelled()[-1].labels == tuple(made.labels[number] for number in chosen)
        assert post(client, "guess", index=index(post(client))).status_code == 200
        assert 'id="quality"' not in post(client).text


def test_two_answers_with_several_labels_are_looked_through(tmp_path, monkeypatch):
    made = labeller(tmp_path, multi_label=True)
    with opened(made) as client:
        shown = index(post(client, name="Ada"))
        made.tell(shown, ["positive", "neutral"], name="Bob")
        late = post(client, "save", name="Ada", index=shown, label=[1])
        assert "Bob had answered positive, neutral meanwhile." in said(late)
        first = post(client, "doubts", name="Ada")
        assert (stage(first), index(first)) == ("doubt", shown)
        assert "Bob answered positive, neutral to the same text. The marked labels are" in first.text
        assert re.findall(r'value="(\d)"[^>]* checked', first.text) == ["1"]
        after = post(client, "save", name="Ada", index=shown, label=[0], queue=str(shown))
        assert (stage(after), made.disputes()) == ("question", [])
        assert made.labelled()[0].labels == ("positive",)
        assert "No two people gave different labels" in post(client, "doubts", name="Ada").text


def test_a_page_with_former_labels_saves_nothing(tmp_path):
    made = labeller(tmp_path)
    with opened(made) as client:
        shown, number = index(post(client, name="Bob")), made.renamings
        ada = post(client, "rename", name="Ada", old_label=1, new_name="neutral", renamings=number)
        assert said(ada) == "negative is now neutral."
        late = post(client, None, name="Bob", index=shown, label=1, renamings=number)  # was "negative"
        assert (index(late), made.labelled()) == (shown, [])
        assert said(late).startswith("A label was renamed meanwhile")
        assert said(post(client, "undo", name="Ada")) == "Taken back: negative has its name again."
        by_enter = post(client, "add", name="Ada", new_name="fair", new_label="", old_label=2)
        assert (said(by_enter), made.labels) == ("neutral is now fair.", ("positive", "negative", "fair"))


def test_the_reading_is_shown_and_its_failure(monkeypatch):
    go_on, read = threading.Event(), Labeller.read

    def read_later(self, on_progress):
        on_progress(16, 48)
        assert go_on.wait(60)
        return read(self, on_progress)

    monkeypatch.setattr(Labeller, "read", read_later)
    with TestClient(labelling_app(labeller()), base_url="http://localhost") as client:
        wait_until(lambda: 'value="16" max="48"' in post(client).text)
        assert stage(client.get("/")) == "start"
        go_on.set()
        wait_until(lambda: stage(post(client)) == "question")
    go_on.set()
    failing = labeller()
    monkeypatch.setattr(Labeller, "read", lambda *_: (_ for _ in ()).throw(DataError("text 3 has no words")))
    with TestClient(labelling_app(failing), base_url="http://localhost") as client:
        wait_until(lambda: "text 3 has no words" in post(client).text)


def test_the_end_writes_the_results_once(tmp_path):
    made, stopped = labeller(tmp_path), []
    answers = iter(
        [DataError("label more texts"), {"labelled": tmp_path / "<b>.csv", "accuracy": 0.81234, "n": [1, 2]}]
    )

    def finish():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with opened(made, finish=finish, stop=lambda: stopped.append(1)) as client:
        early = post(client, "finish")
        assert (early.status_code, stage(early), stopped) == (422, "question", [])
        assert "label more texts" in early.text
        for _ in range(2):
            ended = post(client, "finish")
            assert stage(ended) == "results"
        assert "0.8123" in ended.text
        assert "&lt;b&gt;.csv" in ended.text
        assert stopped


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"origin": "https://evil.example"}, "action=open&name=", 403),
        ({"host": "evil.example"}, "action=open&name=", 400),
        ({"content-type": "application/json"}, '{"action": "open"}', 415),
        ({"content-type": "text/plain"}, "action=open", 415),
        ({}, "action=label&name=&index=-1&label=0", 422),
        ({}, "name=&index=99999&label=0", 422),
        ({}, "name=&index=0&label=77", 422),
        ({}, "action=save&name=&index=0", 422),
        ({}, "action=open&name=" + "x" * 101, 422),
        ({}, "x" * 300_000, 413),
        ({}, "é".encode("latin-1"), 422),
        ({}, "action=nothing&name=&index=1", 200),
    ],
)
def test_odd_forms_are_turned_away(quiet, caplog, headers, body, status):
    caplog.set_level(logging.DEBUG)
    answer = quiet.post("/", content=body, headers=FORM | headers)
    assert answer.status_code == status
    assert "host" in headers or "default-src 'none'" in answer.headers["content-security-policy"]
    assert not any(text in caplog.text for text in TEXTS)
    assert quiet.app.state.desk.labeller.labelled() == []


def test_a_token_guards_every_route(tmp_path):
    settings = ServiceSettings(token="s3cret")
    with TestClient(labelling_app(labeller(), name=None, settings=settings), base_url="http://localhost") as client:
        for method, path in (("GET", "/"), ("POST", "/"), ("GET", "/static/label.js"), ("GET", "/nothing")):
            assert client.request(method, path).status_code == 401
        assert client.get("/", auth=("anyone", "s3cret")).status_code == 200


def test_addresses_that_cannot_be_used():
    with pytest.raises(ParameterError, match="give a token"):
        serve_labelling(labeller(), host="0.0.0.0")
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ParameterError, match=f"port {port} of 127.0.0.1"):
        serve_labelling(labeller(), port=port)


def test_both_languages_have_the_same_strings_and_all_are_used():
    folder = files("softcloze.service.labelling")
    strings = json.loads(folder.joinpath("strings.json").read_text(encoding="utf-8"))
    english, chinese = strings["en"], strings["zh"]
    assert english.keys() == chinese.keys()
    for name, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", chinese[name])), name
    sources = [file for file in folder.iterdir() if file.name.endswith((".py", ".html"))]
    sources.append(files("softcloze.service") / "languages.html")
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    used = {*re.findall(r"\b(?:words|strings)(?:\.|\[\")(\w+)", text)} | {"skipped", "left"}
    composed = {name for name in english if name.startswith(("of_", "result_"))}
    assert english.keys() - composed == used - {"json", "of_", "result_"}


@pytest.mark.slow  # the server lingers
def test_other_machines_need_the_token_and_their_people_a_name():
    addresses, token, made = [], "s3cret", labeller()
    options = {"host": "0.0.0.0", "port": 0, "token": token, "name": "Ann", "on_start": addresses.append}
    thread = threading.Thread(target=serve_labelling, args=[made], kwargs=options)
    thread.start()
    wait_until(lambda: addresses)
    with httpx2.Client(base_url=addresses[0].replace("0.0.0.0", "127.0.0.1"), auth=("anyone", token)) as browser:
        page = browser.get("/").text
        assert '"name": null' in page
        assert 'value="Ann"' not in page
        wait_until(lambda: stage(post(browser)) == "question")
        assert stage(post(browser, "finish")) == "results"
    assert httpx2.get(addresses[0].replace("0.0.0.0", "127.0.0.1")).status_code == 401
    thread.join(60)
    assert not thread.is_alive()
