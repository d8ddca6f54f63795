"""The Python clients of a real service: answers as of the prompt alone, rows that do not fit, overload."""

import math
import threading

import numpy as np
import pytest
from support.calling import Calling, replace_pauses
from support.serving import listening, post, wait_until

from softcloze.errors import ServiceError
from softcloze.prompt import PromptSet

TEXTS = [
    "It was good, and the acting was good too.",
    "A dull film about dull people.",
    "这部电影很好",
    "lone \ud83d",
    "",
]


@pytest.fixture(scope="module")
def address(read_only, backbone):
    with listening(read_only, backbone, token="s3cret-字") as (_, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["sync", "async"])
def calling(request, address):
    return Calling(request.param, address, "s3cret-字")


def test_answers_are_those_of_the_prompt_alone(calling, prompts, backbone):
    labels = prompts["reviews"].verbalizer.labels
    texts = TEXTS * 30
    (alone,) = PromptSet([prompts["reviews"]], backbone).predict_proba(texts)
    answers = calling.classify_many(texts, "reviews")
    found = [[answer.probabilities[label] for label in labels] for answer in answers]
    np.testing.assert_allclose(np.log(found), np.log(alone), atol=1e-4)
    assert [answer.label for answer in answers] == [labels[row.argmax()] for row in alone]
    assert {(answer.prompt, answer.version, answer.error) for answer in answers} == {("reviews", 1, None)}
    one = calling.classify(texts[0], "reviews@1")
    assert one.probabilities == pytest.approx(answers[0].probabilities, abs=1e-5)


def test_rows_that_do_not_fit_keep_their_errors(calling):
    examples = [
        "fine", {"a": "x", "b": math.nan}, {"a": 5, "b": 2.5}, {"a": "x"}, {"a": math.inf, "b": "x"}, "x" * 20_001,
        "fine", {"a": "x", "b": "\ud800"}, "fine", "y" * 300_000,
    ]  # fmt: skip
    names = ["reviews", "pairs", "pairs", "pairs", "pairs", "reviews", "nothing", "pairs@live", "reviews@9", "reviews"]
    answers = calling.classify_many(examples, names)
    assert [answer.code for answer in answers] == [
        None, "row", None, "row", "row", "too_long", "unknown_prompt", None, "unknown_version", "too_large",
    ]  # fmt: skip
    assert answers[3].error == "pairs@1 takes the fields a, b; missing: b"
    assert [answer.prompt for answer in answers] == [name.removesuffix("@live") for name in names]


def test_one_that_does_not_fit_is_an_error(calling):
    with pytest.raises(ServiceError, match=r"^nothing: there is no such prompt") as raised:
        calling.classify("a", "nothing")
    assert (raised.value.status, raised.value.code) == (404, "unknown_prompt")
    with pytest.raises(ServiceError, match=r"^pairs: pairs@1 takes the fields a, b"):
        calling.classify("a", "pairs")


def test_the_token_is_needed_and_in_no_message(address):
    for token in (None, "wrong-s3cret"):
        calling = Calling("sync", address, token)
        assert calling.is_ready()
        with pytest.raises(ServiceError, match=r"^reviews, rows 0 to 1: the token .* give token=") as raised:
            calling.classify_many(["a", "b"], "reviews")
        assert "s3cret" not in str(raised.value)


def test_explanations_and_prompts(calling):
    body = calling.explain(TEXTS[0], "reviews", top=3)
    assert (len(body["top"]), {word["word"] for word in body["words"]}) == (3, {"good", "bad"})
    assert [prompt["prompt_id"] for prompt in calling.prompts()] == ["pairs", "reviews"]
    (version,) = calling.prompt("reviews")["versions"]
    assert (version["fields"], version["choices"], len(version["sha256"])) == (["text"], None, 64)
    with pytest.raises(ServiceError, match="no such prompt"):
        calling.prompt("nothing")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_client_waits_until_the_service_takes_its_rows(kind, read_only, backbone, model, monkeypatch):
    """A real overload: a row is held in the model, a second is turned away, and then taken."""
    pauses = []

    def let_go(seconds):
        pauses.append(seconds)
        model.let_go()
        first.join()

    replace_pauses(monkeypatch, let_go)
    row = {"text": TEXTS[0], "prompt_id": "reviews"}
    with listening(read_only, backbone, max_wait=1e-6) as (_, port):
        post(port, row)  # measures the speed
        model.hold()
        first = threading.Thread(target=post, args=(port, row))
        first.start()
        wait_until(model.entered.is_set)
        assert Calling(kind, f"http://127.0.0.1:{port}").classify(TEXTS[1], "reviews").label
    assert pauses == [1.0]
