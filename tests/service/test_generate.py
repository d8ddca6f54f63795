"""Texts of generators over HTTP: whole and in pieces, together and beside rows to be classified."""

import json
import socket
import threading
from contextlib import closing, contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.calling import Calling
from support.serving import listening, post, wait_until

from softcloze import Template
from softcloze.client import Client
from softcloze.errors import ServiceError
from softcloze.generation import Writer
from softcloze.prompt import BoundGenerator, GeneratorPrompt
from softcloze.registry import Registry

TEXT = "It was good, and the acting was good too."
ROW = {"text": TEXT, "prompt_id": "shorten"}
LONG = {"text": TEXT, "prompt_id": "endless", "max_new_tokens": 40}
LONG_ROWS = {"rows": [{"text": "a"}] * 3, "prompt_id": "endless", "max_new_tokens": 40}


@pytest.fixture(scope="module")
def generators(backbone):
    """Generators without and with a stop string, of two fields, and with options of writing."""

    def make(template, **options):
        return GeneratorPrompt(Template(template), backbone.name, backbone.fingerprint, options=options)

    text = BoundGenerator(make("<text> In short:<answer max=12>"), backbone).write([TEXT])[0]
    return {
        "shorten": make("<text> In short:<answer max=12>"),
        "stopped": make(f"<text> In short:<answer max=12>{text[3:6]}"),
        "titled": make("<title>: <text> So:<answer max=5>"),
        "drawn": make("<text> In short:<answer max=12>", do_sample=True, temperature=3.0),
        "beams": make("<text> In short:<answer max=12>", num_beams=3),
        "endless": make("<text>:<answer max=2000>"),
    }


@pytest.fixture(scope="module")
def registry(generators, prompts, tmp_path_factory):
    made = Registry(tmp_path_factory.mktemp("generators") / "prompts")
    for name, prompt in {**generators, "reviews": prompts["reviews"]}.items():
        made.promote(str(made.add(prompt, name)))
    return made


@pytest.fixture(scope="module")
def writing(registry, backbone, serving):
    """A client of a service that writes 40 new tokens at most."""
    with serving(registry, backbone, max_new_tokens=40) as client:
        yield client


def alone(generators, backbone, name, example, **options):
    return BoundGenerator(generators[name], backbone).write([example], options)[0]


def events(answer):
    """The names and the data of server-sent events."""
    parts = [dict(line.split(": ", 1) for line in part.split("\n")) for part in answer.text.strip().split("\n\n")]
    return [(part.get("event"), json.loads(part["data"])) for part in parts]


@contextmanager
def held(monkeypatch, token=1):
    """Hold all texts after a token, until `go_on` is set; list the numbers of tokens of their steps."""
    write, at, go_on, steps = Writer.write, threading.Event(), threading.Event(), []

    def write_slowly(self, prompts, soft=None, seed=0, follow=None):
        def held(row, ids):
            steps.append(len(ids))
            ends = follow(row, ids)
            if len(ids) >= token:
                at.set()
                assert go_on.wait(60)
            return ends

        return write(self, prompts, soft, seed, held if follow is not None else None)

    monkeypatch.setattr(Writer, "write", write_slowly)
    try:
        yield at, go_on, steps
    finally:
        go_on.set()


@pytest.mark.parametrize("name", ["shorten", "stopped", "drawn", "beams"])
def test_a_text_is_that_of_the_generator_alone_and_its_pieces_are_the_text(writing, generators, backbone, name):
    body = {"text": TEXT, "prompt_id": name}
    whole = writing.post("/generate", json=body)
    assert whole.status_code == 200
    record = whole.json()
    (encoded,) = BoundGenerator(generators[name], backbone).encode([TEXT])
    assert record == {
        "text": alone(generators, backbone, name, TEXT),
        "prompt_id": name,
        "version": 1,
        "tokens": len(encoded),
        "new_tokens": record["new_tokens"],
        "finish": "stop" if name == "stopped" else "length",
        "cut": {},
    }
    assert record["new_tokens"] == 12 or (name == "stopped" and 0 < record["new_tokens"] < 12)
    streamed = writing.post("/generate", json=body | {"stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *pieces, end = events(streamed)
    assert end == ("end", record)
    assert {event for event, _ in pieces} == {None}
    assert "".join(data["text"] for _, data in pieces) == record["text"]
    assert len(pieces) > 3 or name in ("stopped", "beams")


def test_a_request_may_set_the_number_of_new_tokens_and_nothing_else(writing, generators, backbone):
    answer = writing.post("/generate", json=ROW | {"max_new_tokens": 3}).json()
    assert (answer["new_tokens"], answer["text"]) == (3, alone(generators, backbone, "shorten", TEXT, max_new_tokens=3))
    assert writing.post("/generate", json={"text": TEXT, "prompt_id": "endless"}).json()["new_tokens"] == 40
    refused = writing.post("/generate", json=ROW | {"max_new_tokens": 41})
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many_tokens")
    assert "40" in refused.json()["error"]
    for more in ({"max_new_tokens": 0}, {"temperature": 2.0}, {"num_beams": 2}, {"rows": []}):
        refused = writing.post("/generate", json=ROW | more)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid")


def test_kinds_are_listed_and_each_route_names_the_other(writing):
    listed = {one["prompt_id"]: one["versions"][0] for one in writing.get("/prompts").json()["prompts"]}
    assert {name: version["kind"] for name, version in listed.items() if version["kind"] == "prompt"} == {
        "reviews": "prompt"
    }
    titled, endless = listed["titled"], listed["endless"]
    assert (titled["fields"], titled["max_new_tokens"], titled["labels"]) == (["title", "text"], 5, [])
    assert (endless["max_new_tokens"], listed["reviews"]["max_new_tokens"]) == (40, None)
    for path, name, other in (
        ("/classify", "shorten", "/generate"),
        ("/explain", "shorten", "/generate"),
        ("/generate", "reviews", "/classify"),
    ):
        refused = writing.post(path, json={"text": "a", "prompt_id": name})
        assert (refused.status_code, refused.json()["code"]) == (422, "wrong_route")
        assert other in refused.json()["error"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"text": "a", "prompt_id": "nothing"}, 404, "unknown_prompt"),
        ({"text": "a", "prompt_id": "shorten@2"}, 404, "unknown_version"),
        ({"fields": {"title": "canary"}, "prompt_id": "titled"}, 422, "row"),
        ({"text": "canary", "prompt_id": "titled"}, 422, "row"),
        ({"text": "canary " * 4000, "prompt_id": "shorten"}, 413, "too_long"),
        ({"text": "canary", "fields": {}, "prompt_id": "shorten"}, 422, "invalid"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_row_that_does_not_fit_has_a_status_and_nothing_of_it_is_repeated(writing, body, status, code, stream):
    answer = writing.post("/generate", json=body | {"stream": stream})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "canary" not in answer.text
    assert code != "row" or "new tokens" not in answer.text  # which are not the reason


def test_texts_that_wait_are_written_together_and_are_those_of_each_alone(
    registry, generators, backbone, serving, monkeypatch
):
    texts = [TEXT, "A dull film.", "x"]
    answers = {}
    with serving(registry, backbone) as client, held(monkeypatch) as (at, go_on, _):

        def ask(key, body):
            answers[key] = client.post("/generate", json=body).json()

        first = threading.Thread(target=ask, args=("first", LONG))
        first.start()
        assert at.wait(60)
        bodies = {text: {"text": text, "prompt_id": "shorten"} for text in texts}
        bodies |= {"few": ROW | {"max_new_tokens": 2}, "drawn": {"text": TEXT, "prompt_id": "drawn"}}
        threads = [threading.Thread(target=ask, args=item) for item in bodies.items()]
        for thread in threads:
            thread.start()
        wait_until(lambda: client.service.writing._batcher.queued_rows == 6)
        go_on.set()
        for thread in (first, *threads):
            thread.join(60)
        families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert [answers[text]["text"] for text in texts] == [alone(generators, backbone, "shorten", t) for t in texts]
    assert answers["few"]["new_tokens"] == 2
    assert answers["drawn"]["text"] == alone(generators, backbone, "drawn", TEXT)
    values = {(s.name, *s.labels.values()): s.value for f in families.values() for s in f.samples}
    assert values["softcloze_text_batch_rows_count",] == 4  # the first, three together, and two alone
    assert values["softcloze_texts_total", "length", "shorten", "1"] == 4
    assert values["softcloze_new_tokens_total", "shorten", "1"] == 3 * 12 + 2
    assert values["softcloze_queued_texts",] == 0


def test_rows_of_a_request_have_their_texts_or_their_errors(writing, generators, backbone):
    texts = [TEXT, "A dull film.", "x"]
    rows = [{"text": text} for text in texts]
    rows += [
        {"fields": {"title": "a", "text": "b"}, "prompt_id": "titled"},
        {"text": "canary", "prompt_id": "titled"},
        {"text": "canary", "prompt_id": "reviews"},
        {"text": "canary", "prompt_id": "nothing"},
        {"text": "canary " * 4000},
    ]
    answer = writing.post("/generate", json={"rows": rows, "prompt_id": "shorten"})
    assert answer.status_code == 200 and "canary" not in answer.text
    written = answer.json()["rows"]
    assert [row["text"] for row in written[:3]] == [alone(generators, backbone, "shorten", text) for text in texts]
    assert written[0] == writing.post("/generate", json=ROW).json()
    assert (written[3]["prompt_id"], written[3]["new_tokens"]) == ("titled", 5)
    assert [row.get("code") for row in written[4:]] == ["row", "wrong_route", "unknown_prompt", "too_long"]
    few = writing.post("/generate", json={"rows": rows[:2], "prompt_id": "shorten", "max_new_tokens": 2}).json()["rows"]
    assert [row["new_tokens"] for row in few] == [2, 2]
    assert writing.post("/generate", json={"rows": []}).json() == {"rows": []}


def test_limits_of_rows_and_of_their_new_tokens(registry, backbone, serving):
    with serving(registry, backbone, max_rows=4, max_request_new_tokens=30) as client:

        def refused(rows, **more):
            answer = client.post("/generate", json={"rows": [{"text": "a"}] * rows, "prompt_id": "shorten", **more})
            return answer.status_code, answer.json().get("code")

        assert refused(2) == (200, None)
        assert refused(3) == (413, "too_many_tokens")
        assert refused(3, max_new_tokens=10) == (200, None)
        assert refused(5) == (413, "too_many_rows")
        assert refused(1, stream=True) == (422, "stream")
        assert refused(1, max_new_tokens=300) == (422, "too_many_tokens")
        assert client.post("/generate", json=LONG).status_code == 200  # a single text may have more


def test_rows_that_are_late_stop_the_work(registry, backbone, monkeypatch):
    with listening(registry, backbone, deadline=1) as (service, port), held(monkeypatch) as (_, go_on, steps):
        status, answer = post(port, LONG_ROWS, "/generate")
        assert (status, answer["code"]) == (504, "deadline")
        go_on.set()
        wait_until(lambda: service.writing._batcher.queued_rows == 0)
        assert max(steps) <= 3


def test_rows_are_classified_while_a_long_text_is_written(registry, backbone, serving, monkeypatch):
    done = threading.Event()
    with serving(registry, backbone) as client:
        row = {"text": TEXT, "prompt_id": "reviews"}
        before = client.post("/classify", json=row).json()
        explained = client.post("/explain", json=row).json()
        whole = client.post("/generate", json=LONG).json()
        write, between = Writer.write, []

        def write_until_classified(self, prompts, soft=None, seed=0, follow=None):
            def followed(number, ids):
                if len(ids) == 5:  # the text goes on once a row was scored between its tokens
                    threading.Thread(target=classify).start()
                    while not done.is_set():
                        follow(number, ids)
                return follow(number, ids)

            return write(self, prompts, soft, seed, followed)

        def classify():
            between.append(client.post("/classify", json=row).json())
            between.append(client.post("/explain", json=row).json())
            done.set()

        monkeypatch.setattr(Writer, "write", write_until_classified)
        assert client.post("/generate", json=LONG).json() == whole
    assert between == [before, explained]


@pytest.mark.parametrize("body", [LONG | {"stream": False}, LONG | {"stream": True}, LONG_ROWS])
def test_a_client_that_goes_away_stops_the_work(registry, backbone, monkeypatch, body):
    with listening(registry, backbone) as (service, port), held(monkeypatch) as (at, go_on, steps):
        body = json.dumps(body).encode()
        head = "POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with closing(socket.create_connection(("127.0.0.1", port))) as gone:
            gone.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert at.wait(60)
        wait_until(lambda: b'softcloze_failed_rows_total{code="gone"} 1.0' in service.metrics.text())
        go_on.set()
        wait_until(lambda: service.writing._batcher.queued_rows == 0)
        assert max(steps) <= 3
        status, answer = post(port, ROW, "/generate")
        assert (status, answer["new_tokens"]) == (200, 12)


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_that_takes_too_long_ends(registry, backbone, serving, monkeypatch, stream):
    with serving(registry, backbone, deadline=0.2) as client, held(monkeypatch) as (_, go_on, steps):
        answer = client.post("/generate", json=LONG | {"stream": stream})
        if stream:
            event, error = events(answer)[-1]
            assert (answer.status_code, event, error["code"]) == (200, "error", "deadline")
        else:
            assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
        go_on.set()
        wait_until(lambda: client.service.writing._batcher.queued_rows == 0)
        assert max(steps) <= 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_that_fails_has_an_error_without_the_text(registry, backbone, serving, monkeypatch, caplog, stream):
    def fail(*_, **__):
        raise RuntimeError("about canary")

    with serving(registry, backbone) as client:
        monkeypatch.setattr(Writer, "write", fail)
        answer = client.post("/generate", json=ROW | {"stream": stream})
        data = events(answer)[-1][1] if stream else answer.json()
        assert data == {"error": "the text could not be written", "code": "writing"}
        assert answer.status_code == (200 if stream else 500)
    assert "canary" not in caplog.text


def test_too_many_texts_are_turned_away_and_others_are_written_when_the_server_ends(registry, backbone, monkeypatch):
    answers = []
    with held(monkeypatch) as (at, go_on, _), listening(registry, backbone, max_wait=1e-6) as (service, port):
        go_on.set()
        post(port, ROW, "/generate")  # measures the speed
        at.clear()
        go_on.clear()
        first = threading.Thread(target=lambda: answers.append(post(port, ROW, "/generate")))
        first.start()
        assert at.wait(60)
        with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as refused:
            refused.sendall(b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
            assert b"HTTP/1.1 429" in (answer := refused.recv(2000)) and b"retry-after" in answer.lower()
        service.draining = True
        assert post(port, ROW, "/generate")[0] == 503
        threading.Timer(0.2, go_on.set).start()
    first.join(60)
    assert [status for status, _ in answers] == [200]


def test_the_python_client_writes_streams_and_stops_the_work(registry, backbone, monkeypatch):
    with (
        listening(registry, backbone, token="s3cret") as (service, port),
        Client(f"http://127.0.0.1:{port}", "s3cret") as client,
    ):
        whole = client.generate(TEXT, "shorten")
        assert (whole.version, whole.new_tokens, whole.finish) == (1, 12, "length")
        assert "".join(client.stream(TEXT, "shorten@live")) == whole.text
        with pytest.raises(ServiceError, match=r"^reviews: reviews@1 gives labels .* POST /classify"):
            next(client.stream(TEXT, "reviews"))
        with held(monkeypatch, 12) as (_, go_on, steps):
            with closing(client.stream(TEXT, "endless", 40)) as pieces:
                next(pieces)
            wait_until(lambda: b'softcloze_failed_rows_total{code="gone"} 1.0' in service.metrics.text())
            go_on.set()
            wait_until(lambda: service.writing._batcher.queued_rows == 0)
            assert max(steps) <= 14


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_clients_write_the_texts_of_a_list(registry, generators, backbone, kind):
    texts = [f"{TEXT} {i}" for i in range(10)]
    with listening(registry, backbone, max_request_new_tokens=60) as (_, port):  # of 12 each: the client divides
        calling = Calling(kind, f"http://127.0.0.1:{port}")
        written = calling.generate_many([*texts, None], "shorten")
        assert [one.text for one in written[:-1]] == [alone(generators, backbone, "shorten", text) for text in texts]
        assert (written[-1].text, written[-1].code) == (None, "row")
        two = calling.generate_many(["a", "b"], ["shorten", "nothing"], 2)
        assert [(one.new_tokens, one.code) for one in two] == [(2, None), (0, "unknown_prompt")]


def test_nothing_of_a_text_is_logged_or_counted(writing, caplog):
    caplog.set_level(0)
    text = writing.post("/generate", json={"text": "canary", "prompt_id": "shorten"}).json()["text"]
    for output in (caplog.text, writing.get("/metrics").text):
        assert "canary" not in output and text not in output
    assert "text prompt=shorten@1" in caplog.text


def test_the_description_has_the_route(writing):
    description = writing.get("/openapi.json").json()
    answers = description["paths"]["/generate"]["post"]["responses"]
    assert answers["200"]["content"].keys() == {"application/json", "text/event-stream"}
    assert {"404", "422", "429", "503", "504"} <= answers.keys()
