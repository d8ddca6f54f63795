"""The clients on a server that replies as a test says: retries, limits, failures and secrets."""

import asyncio
import gzip
import json
import math
import pickle
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime

import numpy as np
import pytest
from support.calling import Calling, replace_pauses, replying

from softcloze.client import AsyncClient, Client, exchange
from softcloze.client.connection import LARGEST_REPLY
from softcloze.errors import DataError, ParameterError, ServiceError

TOKEN = "s3cret-字"
ANSWER = {
    "label": "a",
    "probabilities": {"a": 0.75, "b": 0.25},
    "prompt_id": "reviews",
    "version": 3,
    "tokens": 9,
    "cut": {"text": 2},
}
BUSY = (429, {"error": "more work is queued than can be done in time", "code": "overloaded"}, {"Retry-After": "0"})
STOPPING = (503, {"error": "the service is shutting down", "code": "stopping"}, {"Retry-After": "0"})


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


def answer_rows(request):
    """The reply to a list of rows: each answer has its text for a label, and "bad" has an error."""
    rows = request[2]["rows"]
    answers = [
        {"error": "it does not fit", "code": "row"}
        if row.get("text") == "bad"
        else {**ANSWER, "label": row.get("text", row.get("fields"))}
        for row in rows
    ]
    return 200, {"rows": answers}


def test_one_answer(kind):
    with replying((200, ANSWER)) as (url, requests):
        answer = Calling(kind, f"{url}/api/", TOKEN).classify("很好 \ud83d", "reviews@live")
    assert (answer.label, answer.probabilities, answer.prompt) == ("a", {"a": 0.75, "b": 0.25}, "reviews")
    assert (answer.version, answer.tokens, answer.cut) == (3, 9, {"text": 2})
    assert (answer.error, answer.code) == (None, None)
    (path, headers, body) = requests[0]
    assert (path, body) == ("/api/classify", {"text": "很好 \ud83d", "prompt_id": "reviews@live"})
    assert headers["Authorization"].encode("latin-1").decode() == f"Bearer {TOKEN}"


def test_labels_that_are_no_text_and_several_labels(kind):
    one = {
        "label": 0,
        "probabilities": {"0": 0.6, "1": 0.4},
        "prompt_id": "stars",
        "version": 1,
        "tokens": 5,
        "cut": {},
    }
    several = {
        "labels": ["x", "y"],
        "probabilities": {"x": 0.6, "y": 0.7, "z": 0.1},
        "prompt_id": "tags",
        "version": 1,
        "tokens": 5,
        "cut": {},
    }
    with replying((200, {"rows": [one, several]})) as (url, _):
        first, second = Calling(kind, url).classify_many(["a", "b"], ["stars", "tags"])
    assert (first.label, first.probabilities["0"], second.label) == (0, 0.6, ("x", "y"))


def test_lists_are_divided_and_come_back_in_order(kind):
    texts = [f"text {i}" for i in range(150)]
    texts[70] = "bad"
    with replying(answer_rows) as (url, requests):
        answers = Calling(kind, url).classify_many(iter(texts), "reviews")
    assert [len(body["rows"]) for _, _, body in requests] == [64, 64, 22]
    assert [answer.label for answer in answers] == [text if text != "bad" else None for text in texts]
    assert (answers[70].error, answers[70].code, answers[70].prompt) == ("it does not fit", "row", "reviews")


def test_lists_are_divided_by_their_bytes_too(kind):
    texts = ["很" * 100 * (1 + i % 7) for i in range(40)]
    with replying(answer_rows) as (url, requests):
        answers = Calling(kind, url, max_body_bytes=20_000).classify_many(texts, "reviews")
    assert [answer.label for answer in answers] == texts
    assert len(requests) > 2
    assert all(int(headers["Content-Length"]) <= 20_000 for _, headers, _ in requests)


def test_a_row_that_cannot_be_sent_voids_no_other(kind):
    cyclic = {}
    cyclic["me"] = cyclic
    examples = ["a", None, {"x": math.inf}, {"x": b"b"}, cyclic, {1: "x"}, {"x": 10**5000}, "x" * 300_000, "b"]
    with replying(answer_rows) as (url, requests):
        answers = Calling(kind, url).classify_many(examples, "reviews")
    assert len(requests) == 1
    assert [answer.label for answer in answers] == ["a", *[None] * 7, "b"]
    assert [answer.code for answer in answers[1:-1]] == ["row"] * 6 + ["too_large"]
    assert answers[1].error == "expected a text or a mapping of fields, found NoneType"
    assert answers[7].error.startswith("the row has 300,")


def test_values_of_numpy_and_missing_ones_are_sent_as_json_has_them(kind):
    fields = {
        "a": np.float32(0.1), "b": np.int64(2), "c": math.nan, "d": np.array(["x", "y"]), "e": (1, None),
        "f": np.True_, "g": Decimal("1.10"), "h": np.str_("很"), "i": np.float64("nan"), "j": 1e300,
    }  # fmt: skip
    with replying(answer_rows) as (url, _):
        (answer,) = Calling(kind, url).classify_many([fields], "reviews")
    assert answer.label == {
        "a": 0.1, "b": 2, "c": None, "d": ["x", "y"], "e": [1, None],
        "f": True, "g": "1.10", "h": "很", "i": None, "j": 1e300,
    }  # fmt: skip


def test_a_service_of_other_limits_gets_smaller_requests(kind):
    def smaller(request):
        rows = request[2]["rows"]
        if len(rows) > 5:
            return 413, {"error": "the request has too many rows", "code": "too_many_rows"}
        if any(row["text"] == "7" for row in rows):
            return 422, b"<html>no</html>"
        return answer_rows(request)

    with replying(smaller) as (url, _):
        answers = Calling(kind, url).classify_many(map(str, range(20)), "reviews")
    assert [answer.label for answer in answers] == [str(i) if i != 7 else None for i in range(20)]
    assert answers[7].error == "the answer has the status 422 and is not that of a softcloze service"


def test_rows_that_waited_too_long_have_errors(kind):
    with replying((504, {"error": "the rows could not be scored in time", "code": "deadline"})) as (url, requests):
        answers = Calling(kind, url).classify_many(["a", "b"], "reviews")
        assert [answer.code for answer in answers] == ["deadline"] * 2
        with pytest.raises(ServiceError, match=r"reviews: .* in time; send fewer rows at once, or later") as raised:
            Calling(kind, url).classify("a", "reviews")
    assert (raised.value.status, raised.value.code, len(requests)) == (504, "deadline", 2)


@pytest.mark.parametrize("busy", [BUSY, STOPPING])
def test_a_request_that_is_turned_away_is_sent_again(kind, busy):
    with replying(busy, busy, (200, ANSWER)) as (url, requests):
        assert Calling(kind, url).classify("a", "reviews").label == "a"
    assert len(requests) == 3
    assert requests[0][2] == requests[2][2]


@pytest.mark.parametrize("later", ["1", "date"])
def test_the_pause_is_that_of_the_service(kind, later, monkeypatch):
    pauses = []
    replace_pauses(monkeypatch, pauses.append)
    date = format_datetime(datetime(2100, 1, 1, tzinfo=UTC), usegmt=True)
    if later == "date":
        monkeypatch.setattr(
            exchange, "datetime", type("Clock", (), {"now": lambda _: datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)})
        )
    busy = (*BUSY[:2], {"Retry-After": later if later == "1" else date})
    with replying(busy, (200, ANSWER)) as (url, _):
        Calling(kind, url).classify("a", "reviews")
    assert pauses == [1.0]


def test_without_a_pause_of_the_service_they_grow(kind, monkeypatch):
    pauses = []
    replace_pauses(monkeypatch, pauses.append)
    with (
        replying((429, b""), (503, b"", {"Retry-After": "soon"}), (429, b"")) as (url, requests),
        pytest.raises(ServiceError, match="rows 0 to 1: turned away 9 times in a row") as raised,
    ):
        Calling(kind, url, tries=9, max_wait=200).classify_many(["a", "b"], "reviews")
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert (raised.value.status, raised.value.rows, len(requests)) == (429, (0, 1), 9)


def test_waiting_has_an_end(kind):
    busy = (*BUSY[:2], {"Retry-After": "3600"})
    with replying(busy) as (url, requests), pytest.raises(ServiceError, match="asks for 3600 s more") as raised:
        Calling(kind, url).classify("a", "reviews")
    assert len(requests) == 1
    assert str(raised.value).startswith("reviews: turned away at the only try, after 0 s of waiting: more work is")
    assert "max_wait=120" in str(raised.value)


def test_a_stream_gives_answers_before_it_fails():
    refused = 401, {"error": "the token is missing or wrong", "code": "unauthorized"}
    answers = []
    with (
        replying(answer_rows, refused) as (url, _),
        Client(url, max_rows=2) as client,
        pytest.raises(ServiceError, match=r"^reviews, rows 2 to 3: the token .* give token=") as raised,
    ):
        answers.extend(client.classify_stream(iter("abcde"), "reviews"))
    assert [answer.label for answer in answers] == ["a", "b"]
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.rows, again.status) == (str(raised.value), (2, 3), 401)


def test_failures_name_the_prompt_and_never_the_token(kind):
    def echo(request):
        return 400, {"error": f"unexpected {request[1]['Authorization'].encode('latin-1').decode()}", "code": "x"}

    with replying(echo) as (url, _):
        calling = Calling(kind, url, TOKEN)
        with pytest.raises(ServiceError, match=r"^reviews: unexpected Bearer \[token\]") as raised:
            calling.classify("a", "reviews")
        (answer,) = calling.classify_many(["a"], "reviews")
        assert TOKEN not in f"{raised.value!r} {answer!r} {Client(url, TOKEN)!r} {AsyncClient(url, TOKEN)!r}"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((200, b"<html>"), "not that of a softcloze service"),
        ((200, {"label": "a"}), "not that of a softcloze service"),
        ((200, {**ANSWER, "probabilities": {"a": "b"}}), "not that of a softcloze service"),
        ((200, b"[" * 100_000), "not that of a softcloze service"),
        ((502, b"Bad Gateway"), "the answer has the status 502"),
        ((308, b"", {"Location": "http://127.0.0.1:9/"}), r"redirected \(308\)"),
        ((404, {"error": "there is no such prompt; see /prompts", "code": "unknown_prompt"}), "no such prompt"),
        ((500, {"error": "a\nb\u202e" + "x" * 10_000}), "a↵b⟨U\\+202E⟩x{490,500}$"),
    ],
)
def test_other_failures_are_explained(kind, reply, message):
    with replying(reply) as (url, requests):
        calling = Calling(kind, url)
        with pytest.raises(ServiceError, match=message):
            calling.classify("a", "reviews")
        if not isinstance(reply[1], dict):
            with pytest.raises(ServiceError, match=message):
                calling.explain("a", "reviews")
        with pytest.raises(ServiceError, match=message):
            calling.classify_many(["a"], "reviews")
    assert {path for path, *_ in requests} <= {"/classify", "/explain"}  # no redirect is followed with the token


def test_too_few_answers_are_no_answer(kind):
    with replying((200, {"rows": [ANSWER]})) as (url, _), pytest.raises(ServiceError, match="not that of a softcloze"):
        Calling(kind, url).classify_many(["a", "b"], "reviews")


def test_a_service_that_is_not_there(kind):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        calling = Calling(kind, url)
        assert calling.is_ready() is False
        with pytest.raises(ServiceError, match=rf"^reviews: cannot connect to {url} .* does the service run there?"):
            calling.classify("a", "reviews")


def test_a_service_that_does_not_answer(kind):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServiceError, match=r"did not answer in 0\.05 s; timeout= gives it longer"):
            Calling(kind, url, timeout=0.05).classify("a", "reviews")


def test_a_reply_that_grows_without_end_is_read_up_to_a_limit(kind):
    small = gzip.compress(bytes(LARGEST_REPLY + 2**22), 1)
    reply = 200, small, {"Content-Encoding": "gzip"}
    with replying(reply) as (url, _), pytest.raises(ServiceError, match="replied with more than 64 MiB"):
        Calling(kind, url).classify("a", "reviews")


@contextmanager
def hanging_up(times, reply=b""):
    """A server that closes some connections, and then has a reply; yields its URL and the sizes of the requests."""
    sizes = []

    def accept():
        for i in range(times + bool(reply)):
            connection, _ = server.accept()
            with connection:
                sizes.append(len(connection.recv(1 << 16)))
                if i >= times:
                    connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", sizes
        thread.join()


def test_a_connection_that_is_dropped_is_tried_once_more(kind):
    body = json.dumps(ANSWER).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    for call in ("classify", "explain"):
        with hanging_up(1, reply) as (url, sizes):
            assert getattr(Calling(kind, url), call)("a", "reviews")
        assert len(sizes) == 2
    with hanging_up(2) as (url, sizes), pytest.raises(ServiceError, match="broke off"):
        Calling(kind, url).classify("a", "reviews")
    assert len(sizes) == 2


def test_a_stream_is_never_tried_again():
    with hanging_up(1) as (url, sizes), Client(url) as client, pytest.raises(ServiceError, match="broke off"):
        next(client.stream("a", "short"))
    assert len(sizes) == 1


def test_prompts_and_health(kind):
    with replying((200, {"model": "m", "prompts": [{"prompt_id": "reviews"}]})) as (url, requests):
        assert Calling(kind, url).prompts() == [{"prompt_id": "reviews"}]
    with replying((200, {"prompt_id": "a/b"})) as (url, requests):
        assert Calling(kind, url).prompt("a/../b?c") == {"prompt_id": "a/b"}
        assert requests[0][0] == "/prompts/a%2F..%2Fb%3Fc"
    with replying((503, b""), (200, {"status": "ready"}), (404, b"")) as (url, _):
        calling = Calling(kind, url)
        assert [calling.is_ready(), calling.is_ready()] == [False, True]
        with pytest.raises(ServiceError, match="status 404"):
            calling.is_ready()


@pytest.mark.parametrize(
    "settings",
    [
        {"url": 5}, {"url": ""}, {"url": "127.0.0.1:8000"}, {"url": "ftp://a"}, {"url": "http://"}, {"url": "http://[a"},
        {"url": "http://user:s3cret-字@host"}, {"url": "http://host?token=s3cret-字"}, {"url": "http://a/#s3cret-字"},
        {"token": 5}, {"token": ""}, {"token": "s3cret-字\n"}, {"token": "s3cret-字\r\nX: y"}, {"token": b"s3cret-"},
        {"token": " s3cret-字"}, {"token": "s3cret-\ud800"},
        {"timeout": 0}, {"timeout": math.inf}, {"timeout": None}, {"tries": 0}, {"tries": 1.5}, {"max_wait": -1},
        {"max_wait": math.nan}, {"max_rows": 0}, {"max_body_bytes": 2},
    ],
)  # fmt: skip
def test_wrong_settings_are_errors_without_secrets(kind, settings):
    with pytest.raises(ParameterError) as raised:
        Calling(kind, **{"url": "http://127.0.0.1:9", **settings})
    assert next(iter(settings)) in str(raised.value)
    assert "s3cret" not in f"{raised.value} {raised.value.__cause__}"


@pytest.mark.parametrize("prompt", ["", None, 5, "x" * 201, "a\nb", ["reviews", 5], ["reviews", ""]])
def test_wrong_prompts(kind, prompt):
    with pytest.raises(ParameterError, match="has to be the name of a prompt"):
        Calling(kind, "http://127.0.0.1:9").classify_many(["a", "b"], prompt)


def test_wrong_examples(kind):
    calling = Calling(kind, "http://127.0.0.1:9")
    for examples in ("text", {"text": "a"}):
        with pytest.raises(DataError, match="classify and generate take a single one"):
            calling.classify_many(examples, "reviews")
    with pytest.raises(DataError, match="prompt has 1 names for 2 examples"):
        calling.classify_many(["a", "b"], ["reviews"])
    with pytest.raises(DataError, match="prompt has 1 names for an unknown number of examples"):
        calling.classify_many(iter("a"), ["reviews"])
    with pytest.raises(DataError, match="reviews: expected a text or a mapping of fields, found int"):
        calling.classify(5, "reviews")
    assert calling.classify_many([], "reviews") == []


def test_a_closed_client_says_so():
    client = Client("http://127.0.0.1:9")
    client.close()
    with pytest.raises(ServiceError, match="the client is closed"):
        client.classify("a", "reviews")

    async def use_after_close():
        client = AsyncClient("http://127.0.0.1:9")
        await client.close()
        await client.classify("a", "reviews")

    with pytest.raises(ServiceError, match="the client is closed"):
        asyncio.run(use_after_close())


def test_it_is_imported_without_torch_and_says_what_is_missing():
    code = """
import sys
sys.modules["httpx2"] = None
from softcloze.client import Client
assert not {"torch", "numpy", "transformers", "sklearn"} & {*sys.modules}
try:
    Client("http://127.0.0.1:9")
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "softcloze.client needs httpx2, which is not installed: pip install 'softcloze[client]'\n"
