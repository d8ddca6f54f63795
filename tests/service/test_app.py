"""Requests and their answers: what a client of the service relies on."""

import threading
import time

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from softcloze.prompt import BoundPrompt, PromptSet

TEXTS = ["It was good, and the acting was good too.", "A dull film about dull people.", "这部电影很好", "x"]
ROW = {"text": TEXTS[0], "prompt_id": "reviews"}


def wait_until(holds, seconds=30.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def in_thread(call):
    """Start a call, and return its result later."""
    results = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()

    def result():
        thread.join(30)
        return results[0]

    return result


def test_a_row_is_answered_as_the_prompt_alone_does(client, prompts, backbone):
    answer = client.post("/classify", json=ROW)
    assert answer.status_code == 200
    body = answer.json()
    (probabilities,) = PromptSet([prompts["reviews"]], backbone).predict_proba([TEXTS[0]])
    (encoded,) = BoundPrompt(prompts["reviews"], backbone).encode([TEXTS[0]])
    assert body == {
        "label": body["label"],
        "probabilities": body["probabilities"],
        "prompt_id": "reviews",
        "version": 1,
        "tokens": len(encoded),
        "cut": {},
    }
    labels = prompts["reviews"].verbalizer.labels
    assert body["label"] == labels[probabilities[0].argmax()]
    np.testing.assert_allclose([body["probabilities"][label] for label in labels], probabilities[0], atol=1e-5)


def test_a_row_alone_is_equal_to_the_last_bit_if_no_prefix_is_kept(serve, prompts, backbone):
    (probabilities,) = PromptSet([prompts["reviews"]], backbone).predict_proba([TEXTS[0]])
    with serve(prefix_memory=0) as client:
        body = client.post("/classify", json=ROW).json()
    labels = prompts["reviews"].verbalizer.labels
    np.testing.assert_array_equal([body["probabilities"][label] for label in labels], probabilities[0])


def test_rows_of_several_prompts_come_back_in_order(client, prompts, backbone):
    rows = [
        {"text": TEXTS[1], "prompt_id": "reviews"},
        {"fields": {"a": "cast", "b": "music"}, "prompt_id": "pairs"},
        {"fields": {"text": TEXTS[2]}, "prompt_id": "reviews@1"},
        {"fields": {"a": "story", "b": "end"}, "prompt_id": "pairs@live"},
    ]
    answers = client.post("/classify", json={"rows": rows}).json()["rows"]
    reviews, _ = (PromptSet([prompts["reviews"]], backbone).predict_proba(TEXTS[1:3]), None)
    pairs = PromptSet([prompts["pairs"]], backbone).predict_proba([row["fields"] for row in rows[1::2]])
    wanted = [reviews[0][0], pairs[0][0], reviews[0][1], pairs[0][1]]
    assert [answer["prompt_id"] for answer in answers] == ["reviews", "pairs", "reviews", "pairs"]
    np.testing.assert_allclose([[*answer["probabilities"].values()] for answer in answers], wanted, atol=1e-5)


def test_a_row_that_cannot_be_scored_does_not_void_the_others(client):
    rows = [
        {"text": TEXTS[0]},
        {"text": TEXTS[0], "prompt_id": "nothing"},
        {"text": TEXTS[0], "prompt_id": "reviews@9"},
        {"fields": {"a": "cast"}, "prompt_id": "pairs"},
        {"fields": {"a": "cast", "b": None}, "prompt_id": "pairs"},
        {"text": "cast", "prompt_id": "pairs"},
        {"text": None},
        {"text": "x" * 20_001},
        {"text": TEXTS[1]},
    ]
    answers = client.post("/classify", json={"rows": rows, "prompt_id": "reviews"}).json()["rows"]
    assert [answer.get("code") for answer in answers] == [
        None, "unknown_prompt", "unknown_version", "row", "row", "row", "row", "too_long", None,
    ]  # fmt: skip
    assert answers[6]["error"] == "text is null: drop the row or give it a text, if only an empty one"
    assert answers[3]["error"] == "pairs@1 takes the fields a, b; missing: b"
    assert answers[0]["label"] in ("positive", "negative")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"text": "a", "prompt_id": "nothing"}, 404, "unknown_prompt"),
        ({"text": "a", "prompt_id": "reviews@canary"}, 404, "unknown_version"),
        ({"fields": {"a": "x"}, "prompt_id": "pairs"}, 422, "row"),
        ({"text": "x" * 20_001, "prompt_id": "reviews"}, 413, "too_long"),
        ({"rows": [{"text": "x"}] * 65, "prompt_id": "reviews"}, 413, "too_many_rows"),
        ({"text": "a"}, 422, "invalid"),
        ({"text": "a", "fields": {}, "prompt_id": "reviews"}, 422, "invalid"),
        ({"prompt_id": "reviews"}, 422, "invalid"),
        ({"text": 1, "prompt_id": "reviews"}, 422, "invalid"),
        ({"text": "a", "prompt_id": "reviews", "more": 1}, 422, "invalid"),
        ([], 422, "invalid"),
    ],
)
def test_a_request_that_cannot_be_answered_has_a_status_and_a_code(client, body, status, code):
    answer = client.post("/classify", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/explain", {"text": "a", "prompt_id": "reviews", "top": True}),
        ("/explain", {"text": "a", "prompt_id": "reviews", "top": "3"}),
        ("/generate", {"text": "a", "prompt_id": "reviews", "max_new_tokens": True}),
        ("/generate", {"text": "a", "prompt_id": "reviews", "stream": "yes"}),
        ("/hf/reviews", {"inputs": "a", "parameters": {"top_k": True}}),
    ],
)
def test_a_number_is_neither_a_boolean_nor_a_text(client, route, body):
    answer = client.post(route, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def test_an_error_of_the_body_names_the_row(client):
    rows = [{"text": "a"}, {"text": "b"}, {"text": 5}]
    answer = client.post("/classify", json={"rows": rows, "prompt_id": "reviews"})
    assert (answer.status_code, answer.json()["row"]) == (422, 2)


def test_surrogates_and_other_odd_text_is_data(client):
    for text in ("\\ud800", "\\u0000", "\\u202e<mask>", "<soft*9>", ""):
        body = b'{"text": "%s", "prompt_id": "reviews"}' % text.encode()
        answer = client.post("/classify", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 200, text


def test_a_client_that_says_another_content_type_hears_the_right_one(client):
    body, headers = b'{"text": "canary", "prompt_id": "reviews"}', {"content-type": "application/x-www-form-urlencoded"}
    answer = client.post("/classify", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "content_type")
    assert "Content-Type: application/json" in answer.json()["error"] and "canary" not in answer.text


def test_the_decision_is_explained(client):
    body = client.post("/explain", json={"text": TEXTS[0], "prompt_id": "reviews", "top": 3}).json()
    assert ([*body["probabilities"]], len(body["top"])) == (["negative", "positive"], 3)
    assert {word["word"] for word in body["words"]} == {"good", "bad"}
    assert client.post("/classify", json=ROW).json().items() <= body.items()  # to the last bit
    assert client.post("/explain", json={"text": "a", "prompt_id": "no"}).status_code == 404


def test_prompts_are_listed(client):
    body = client.get("/prompts").json()
    assert [prompt["prompt_id"] for prompt in body["prompts"]] == ["pairs", "reviews"]
    (version,) = client.get("/prompts/reviews").json()["versions"]
    assert (version["fields"], version["labels"], version["trained"]) == (["text"], ["negative", "positive"], True)
    assert version["template"] == "<soft*2 name=task> <text> It was<mask>"
    assert version["examples"] == ["A delight.", "A bore."]
    assert client.get("/prompts/pairs").json()["versions"][0]["examples"] == [{"a": "cast", "b": "music"}]
    assert client.get("/prompts/nothing").status_code == 404


def test_metrics_are_prometheus(serve):
    with serve() as client:
        client.post("/classify", json=ROW)
        client.post("/classify", json={"text": TEXTS[0], "prompt_id": "who knows"})
        client.get("/who/knows")
        text = client.get("/metrics").text
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["softcloze_rows_total", ("prompt", "reviews"), ("version", "1")] == 1
    assert samples["softcloze_failed_rows_total", ("code", "unknown_prompt")] == 1
    assert samples["softcloze_requests_total", ("route", "other"), ("status", "404")] == 1
    assert samples["softcloze_versions",] == 2
    assert "knows" not in text


def test_too_much_work_gets_429_and_the_time_to_wait(serve, model):
    with serve(max_wait=1e-6) as client:
        assert client.post("/classify", json=ROW).status_code == 200  # measures the speed
        model.hold()
        first = in_thread(lambda: client.post("/classify", json=ROW))
        wait_until(model.entered.is_set)
        refused = client.post("/classify", json={"rows": [{"text": TEXTS[0]}] * 2, "prompt_id": "reviews"})
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        model.let_go()
        assert first().status_code == 200


def test_a_row_that_waits_too_long_gets_504(serve, model):
    with serve(deadline=0.05) as client:
        model.hold()
        answer = client.post("/classify", json=ROW)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
        assert client.post("/classify", json={"rows": [ROW, ROW]}).status_code == 504
        model.let_go()


def test_health_is_answered_while_the_model_works(serve, model):
    with serve() as client:
        model.hold()
        first = in_thread(lambda: client.post("/classify", json=ROW))
        wait_until(model.entered.is_set)
        assert client.get("/health/live").json() == {"status": "live"}
        assert client.get("/health/ready").status_code == client.head("/health/ready").status_code == 200
        model.let_go()
        assert first().status_code == 200


def test_a_service_that_stops_turns_rows_away_and_answers_those_that_wait(serve, model):
    with serve() as client:
        model.hold()
        first = in_thread(lambda: client.post("/classify", json=ROW))
        wait_until(model.entered.is_set)
        client.service.draining = True
        refused = client.post("/classify", json=ROW)
        assert (refused.status_code, refused.json()["code"]) == (503, "stopping")
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
        model.let_go()
        assert first().status_code == 200


def test_only_the_row_that_breaks_the_model_gets_500(serve, monkeypatch):
    score = PromptSet.score_rows

    def break_for_two_fields(self, rows):
        if any(row.prompt == "pairs@1" for row in rows):
            raise RuntimeError("broken")
        return score(self, rows)

    with serve() as client:
        monkeypatch.setattr(PromptSet, "score_rows", break_for_two_fields)
        rows = [{"text": "a"}, {"fields": {"a": "x", "b": "y"}, "prompt_id": "pairs"}, {"text": "b"}]
        answers = client.post("/classify", json={"rows": rows, "prompt_id": "reviews"}).json()["rows"]
        assert [answer.get("code") for answer in answers] == [None, "scoring", None]
        answer = client.post("/classify", json=rows[1])
        assert (answer.status_code, answer.json()["code"]) == (500, "scoring")


def test_a_promotion_is_served_without_a_restart(following, registry, other_review, backbone):
    before = following.post("/classify", json=ROW).json()
    registry.promote(str(registry.add(other_review, "reviews")))
    wait_until(lambda: following.get("/prompts/reviews").json()["aliases"]["live"] == 2)
    after = following.post("/classify", json=ROW).json()
    assert (before["version"], after["version"]) == (1, 2)
    (probabilities,) = PromptSet([other_review], backbone).predict_proba([TEXTS[0]])
    np.testing.assert_allclose([*after["probabilities"].values()], probabilities[0], atol=1e-5)
    assert abs(after["probabilities"]["positive"] - before["probabilities"]["positive"]) > 1e-3
    registry.rollback("reviews")
    wait_until(lambda: following.get("/prompts/reviews").json()["aliases"]["live"] == 1)
    again = following.post("/classify", json=ROW).json()
    assert again["probabilities"] == before["probabilities"]


def test_an_alias_beside_the_live_one_is_served_until_it_is_removed(following, registry, other_review):
    registry.promote(str(registry.add(other_review, "reviews")), "canary")
    wait_until(lambda: "canary" in following.get("/prompts/reviews").json()["aliases"])
    for reference in ("reviews@canary", "reviews@2"):
        assert following.post("/classify", json={"text": "a", "prompt_id": reference}).json()["version"] == 2
    registry.remove("reviews@canary")
    wait_until(lambda: "canary" not in following.get("/prompts/reviews").json()["aliases"])
    assert following.post("/classify", json={"text": "a", "prompt_id": "reviews@2"}).status_code == 404


def test_a_damaged_version_is_not_served_and_the_old_one_stays(following, registry, other_review):
    version = registry.add(other_review, "reviews")
    vectors = version.path / "vectors.safetensors"
    vectors.write_bytes(vectors.read_bytes()[:-4])
    alias = registry.folder / "reviews" / "aliases" / "live"
    alias.write_text("2\n")  # as another tool could; promote validates the version
    wait_until(lambda: following.get("/prompts/reviews").json()["faults"])
    body = following.get("/prompts/reviews").json()
    fault = "reviews@live: it is damaged, belongs to another model, or is a probe or an ensemble; reviews@1 stays"
    assert (body["aliases"], body["faults"]) == ({"live": 1}, [fault])
    assert following.post("/classify", json=ROW).json()["version"] == 1
    assert 'softcloze_version_loads_total{outcome="failed"} 1.0' in following.get("/metrics").text


def test_a_registry_that_cannot_be_read_changes_nothing(following, registry):
    registry.folder.rename(registry.folder.with_name("away"))
    time.sleep(0.1)  # several looks at it
    assert following.post("/classify", json=ROW).json()["version"] == 1
