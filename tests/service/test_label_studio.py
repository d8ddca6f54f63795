"""Requests as Label Studio sends them, and the answers that it takes."""

import base64
import json
import logging
import time

import pytest

from softcloze.service.batcher import OverloadedError
from softcloze.service.service import Service

CONFIG = """
<View>
  <Text name="review" value="$review"/>
  <Choices name="sentiment" toName="review" choice="single">
    <Choice value="positive"/><Choice value="Bad" alias="negative"/><Choice value="neither"/>
  </Choices>
</View>
"""
PAIRS = CONFIG.replace("$review", "$b")
TEXTS = ["It was good, and the acting was good too.", "A dull film about dull people.", "这部电影很好", "x"]
# what api_connector.py sends as `project` and `params`
COMMON = {"project": "7.1764500000", "params": {"login": "ann", "password": "s3cret", "hostname": "", "context": None}}


def task(data, number=1):
    """A task as Label Studio serialises it for a model."""
    return {"id": number, "data": data, "meta": {}, "project": 7, "annotations": [], "predictions": []}


def predict(client, tasks, config=CONFIG, prompt="reviews", **options):
    body = {"tasks": tasks, "label_config": config, **COMMON}
    return client.post(f"/label-studio/{prompt}/predict", json=body, **options)


def setup(client, config=CONFIG, prompt="reviews"):
    body = {"project": COMMON["project"], "schema": config, "hostname": "http://localhost:8080", "access_token": "a"}
    return client.post(f"/label-studio/{prompt}/setup", json={**body, "extra_params": None})


def test_a_project_connects_and_gets_a_prediction_for_each_task(client):
    assert client.get("/label-studio/reviews/health").json() == {"status": "UP"}
    assert setup(client).json() == {"model_version": "reviews@1"}
    rows = [{"text": text, "prompt_id": "reviews"} for text in TEXTS]
    answers = [client.post("/classify", json=row).json() for row in rows]
    body = predict(client, [task({"review": text, "text": "another"}, i) for i, text in enumerate(TEXTS)]).json()
    assert body["model_version"] == "reviews@1"
    for answer, prediction in zip(answers, body["results"], strict=True):
        score = pytest.approx(max(answer["probabilities"].values()), abs=1e-5)
        choice = {"from_name": "sentiment", "to_name": "review", "type": "choices"}
        assert prediction == {
            "result": [{**choice, "value": {"choices": [answer["label"]]}, "score": score}],
            "score": score,
            "model_version": "reviews@1",
        }
    assert len({prediction["score"] for prediction in body["results"]}) > 1  # least sure first in Label Studio


def test_fields_of_a_template_are_entries_of_the_data(client):
    fields = {"a": "cast", "b": "music"}
    answer = client.post("/classify", json={"fields": fields, "prompt_id": "pairs"}).json()
    (prediction,) = predict(client, [task({**fields, "c": 1})], PAIRS, "pairs@live").json()["results"]
    assert prediction["result"][0]["value"] == {"choices": [answer["label"]]}
    assert prediction["model_version"] == "pairs@1"


def test_a_task_that_cannot_be_scored_does_not_void_the_others(client):
    broken = [
        task({"other": "x"}),
        task({"review": None}),
        task({"review": ["x"]}),
        task("x"),
        "x",
        task({"review": "x" * 20_001}),
    ]
    tasks = [task({"review": TEXTS[0]}), *broken, task({"review": TEXTS[1]})]
    first, *failed, last = predict(client, tasks).json()["results"]
    assert failed == [{"result": [], "score": 0.0, "model_version": "reviews@1"}] * len(broken)
    assert first["result"] and last["result"]


def test_more_tasks_than_rows_of_a_request_are_scored_in_parts(serve, monkeypatch):
    with serve(max_rows=3) as client:
        tasks = [task({"review": text}) for text in TEXTS * 2]
        results = predict(client, tasks).json()["results"]
        assert [len(prediction["result"]) for prediction in results] == [1] * 8
        classify, calls = Service.classify, []

        async def overloaded_at_the_second_call(self, rows):
            calls.append(len(rows))
            if len(calls) == 2:
                raise OverloadedError(1)
            return await classify(self, rows)

        monkeypatch.setattr(Service, "classify", overloaded_at_the_second_call)
        results = predict(client, tasks).json()["results"]
        assert calls == [3, 3, 2]
        assert results[3:6] == [[], [], []]  # Label Studio stores nothing, and asks again
        assert all(prediction["result"] for prediction in results[:3] + results[6:])


def test_late_tasks_are_504(serve, model):
    with serve(deadline=0.05) as client:
        model.hold()
        answer = predict(client, [task({"review": "a"})])
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
        model.let_go()


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><View><Text name="t" value="&b;"/></View>'


@pytest.mark.parametrize(
    "config",
    [
        BOMB,
        "<View>",
        "",
        "\ud800",
        CONFIG.replace("positive", "POSITIVE"),
        CONFIG.replace('toName="review"', 'toName="other"'),
        CONFIG.replace("<Text", "<Image"),
        CONFIG.replace("<Text", '<Text valueType="url"'),
        CONFIG.replace("$review", "a text"),
        "<a>" * 15_000 + "</a>" * 15_000,
    ],
    ids=["entities", "open", "empty", "surrogate", "labels", "name", "image", "url", "constant", "deep"],
)
def test_a_configuration_that_the_prompt_does_not_fit_is_said_when_it_connects(client, config):
    config = config.replace("\ud800", "\\ud800")
    body = json.dumps({"schema": config, "label_config": config, "tasks": []}).replace("\\\\ud800", "\\ud800")
    for route in ("setup", "predict"):
        headers = {"content-type": "application/json"}
        answer = client.post(f"/label-studio/reviews/{route}", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "label_config")
    assert "POSITIVE" not in answer.text


def test_choices_that_lie_in_choices_are_read_in_one_walk(client):
    deep = 8000  # in steps for each pair of tags it would take minutes
    nested = f"<View>{'<Choices>' * deep}{'<Choice/>' * deep}{'</Choices>' * deep}</View>"
    started = time.process_time()
    assert setup(client, nested).status_code == 422
    assert time.process_time() - started < 5


def test_an_address_that_names_no_prompt_is_404(client):
    for prompt in ("nothing", "reviews@9"):
        assert client.get(f"/label-studio/{prompt}/health").status_code == 404
        assert setup(client, prompt=prompt).status_code == predict(client, [], prompt=prompt).status_code == 404


EVENT = {"action": "ANNOTATION_CREATED", "annotation": {"id": 5, "result": []}, "task": task({"review": "好\n\ud83d"})}


def test_events_are_recorded_in_a_file_if_there_is_one_and_dropped_otherwise(serve, client, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "events.jsonl"
    content = json.dumps(EVENT)
    with serve(label_studio_events=file) as recording:
        for prompt, one in (("reviews", recording), ("reviews@1", recording), ("reviews", client)):
            headers = {"content-type": "application/json"}
            assert one.post(f"/label-studio/{prompt}/webhook", content=content, headers=headers).status_code == 204
        assert recording.post("/label-studio/nothing/webhook", json={}).status_code == 404
        start = {"action": "START_TRAINING", "project": {"id": 7}}  # the button waits for JSON, not for 204
        for one in (recording, client):
            answer = one.post("/label-studio/reviews/webhook", json=start)
            assert (answer.status_code, answer.json()["code"]) == (501, "no_training")
        assert recording.post("/label-studio/reviews/webhook", json=[]).status_code == 422
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == [
        {"prompt_id": "reviews", "event": json.loads(content)},
        {"prompt_id": "reviews@1", "event": json.loads(content)},
        {"prompt_id": "reviews", "event": start},
    ]
    assert "好" not in caplog.text


def test_events_and_setup_are_answered_while_rows_are_turned_away(serve, monkeypatch):
    def overloaded(self):
        raise OverloadedError(3)

    with serve() as client:
        monkeypatch.setattr(Service, "validate_capacity", overloaded)
        assert predict(client, [task({"review": "a"})]).status_code == 429
        assert setup(client).status_code == 200
        assert client.post("/label-studio/reviews/webhook", json=EVENT | {"task": None}).status_code == 204


def test_the_token_is_the_password_of_basic_authorization_and_no_text_is_logged(serve, caplog):
    caplog.set_level(logging.DEBUG)
    basic = {"authorization": "Basic " + base64.b64encode(b"label-studio:s3cret").decode()}
    with serve(token="s3cret") as client:
        assert client.get("/label-studio/reviews/health").status_code == 401
        assert client.get("/label-studio/reviews/health", headers=basic).status_code == 200
        assert predict(client, [task({"review": "xyzzy-4711"})], headers=basic).status_code == 200
    assert "xyzzy" not in caplog.text
