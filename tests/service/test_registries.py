"""Registries as they may be: empty, with versions of other models, with labels of all types, and changing."""

import gc
import json
import weakref
from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pytest
from support import models
from support.serving import listening, post, wait_until

from softcloze import FieldVerbalizer, Prompt, PromptClassifier, PromptEnsemble, PromptSet, Template, Verbalizer
from softcloze.registry import Registry
from softcloze.service.catalogue import Loader

TAIL = "<text> It was<mask>"
ROW = {"text": "A film.", "prompt_id": "reviews"}


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "prompts").mkdir()
    return Registry(tmp_path / "prompts")


@pytest.fixture
def live(empty, backbone):
    """Add a prompt and promote it."""

    def add(name, words, template=TAIL, backbone=backbone, **parts):
        prompt = Prompt(Template(template), words, backbone.name, backbone.fingerprint, **parts)
        empty.promote(str(empty.add(prompt, name)))
        return prompt

    return add


def test_prompts_that_come_later_are_served(empty, live, serving, backbone):
    with serving(empty, backbone) as client:
        assert client.get("/health/ready").status_code == 200
        assert client.get("/prompts").json()["prompts"] == []
        assert client.post("/classify", json=ROW).status_code == 404
        live("reviews", Verbalizer({"good": "good", "bad": "bad"}))
        wait_until(lambda: client.post("/classify", json=ROW).status_code == 200)
        empty.remove("reviews@live")
        wait_until(lambda: client.post("/classify", json=ROW).status_code == 404)


def test_versions_that_cannot_be_served_do_not_keep_others_from_it(empty, live, serving, backbone):
    words = {"good": "good", "bad": "bad"}
    live("other", Verbalizer(words), backbone=models.backbone("bert"))
    members = [PromptClassifier(backbone, template, words) for template in (TAIL, "A <text> It was<mask>")]
    ensemble = PromptEnsemble(members).fit(models.SENTENCES[:4], ["good", "bad"] * 2)
    empty.promote(str(empty.add(ensemble, "ensemble")))
    live("damaged", Verbalizer(words))
    (empty.resolve("damaged").path / "prompt.json").write_text("{")
    live("reviews", Verbalizer(words))
    with serving(empty, backbone) as client:
        assert client.post("/classify", json=ROW).status_code == 200
        listed = {prompt["prompt_id"]: prompt for prompt in client.get("/prompts").json()["prompts"]}
        assert {name for name, prompt in listed.items() if prompt["versions"]} == {"reviews"}
        assert {name for name, prompt in listed.items() if prompt["faults"]} == {"other", "ensemble", "damaged"}
        assert str(empty.folder) not in client.get("/prompts").text
        answer = client.post("/classify", json=ROW | {"prompt_id": "other"})
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_version")


def test_a_version_that_breaks_the_model_does_not_stop_the_service(empty, live, serving, backbone, monkeypatch):
    live("reviews", Verbalizer({"good": "good", "bad": "bad"}))
    live("broken", Verbalizer({"good": "good", "bad": "bad"}), template="Broken: " + TAIL)
    predict = PromptSet.predict_rows

    def fail(self, rows):
        if rows[0][0] == "broken@1":
            raise RuntimeError("out of memory")
        return predict(self, rows)

    monkeypatch.setattr(PromptSet, "predict_rows", fail)
    with serving(empty, backbone) as client:
        assert client.post("/classify", json=ROW).status_code == 200
        assert client.get("/prompts/broken").json()["faults"]


@pytest.mark.parametrize("labels", [("good", "bad"), (1, 0), (True, False)], ids=["texts", "integers", "truth values"])
def test_labels_have_their_type_and_probabilities_are_by_label_as_json_writes_it(
    empty, live, serving, backbone, labels
):
    prompt = live("reviews", Verbalizer(dict(zip(labels, ("good", "bad"), strict=True))))
    with serving(empty, backbone) as client:
        body = client.post("/classify", json=ROW).json()
        described = client.get("/prompts/reviews").json()["versions"][0]
        scores = client.post("/hf/reviews", json={"inputs": "A film."}).json()[0]
    (probabilities,) = PromptSet([prompt], backbone).predict_proba(["A film."])
    ordered = prompt.verbalizer.labels
    assert described["labels"] == [*ordered] and type(described["labels"][0]) is type(labels[0])
    assert body["label"] == ordered[probabilities[0].argmax()] and type(body["label"]) is type(labels[0])
    names = {label: label if isinstance(label, str) else json.dumps(label) for label in labels}
    np.testing.assert_allclose([body["probabilities"][names[label]] for label in ordered], probabilities[0], atol=1e-5)
    assert {score["label"] for score in scores} == {names[label] for label in ordered}


def test_choices_of_a_row_are_its_labels(empty, live, serving, backbone):
    words = live("words", FieldVerbalizer("choices", most=3, answers="word"))
    live("numbers", FieldVerbalizer("choices", most=3))
    with serving(empty, backbone) as client:

        def answer(name, *choices):
            fields = {"text": "A film.", "choices": choices}
            body = json.dumps({"fields": fields, "prompt_id": name})  # with surrogates, which json= does not send
            return client.post("/classify", content=body, headers={"content-type": "application/json"})

        body = answer("words", "music", "the acting").json()
        example = {"text": "A film.", "choices": ["music", "the acting"]}
        (probabilities,) = PromptSet([words], backbone).predict_proba([example])
        assert [*body["probabilities"]] == ["music", "the acting"]
        np.testing.assert_allclose([*body["probabilities"].values()], probabilities[0][:2], atol=1e-5)
        assert body["label"] in ("music", "the acting")
        assert [*answer("numbers", "music", "the acting").json()["probabilities"]] == ["0", "1", "2"]
        assert answer("words", "a", "a").json()["probabilities"] == {"a": pytest.approx(1.0)}
        assert [*answer("words", "\ud800", "b").json()["probabilities"]] == ["\ufffd", "b"]
        assert answer("words", "only one").status_code == 422
        refused = client.post("/classify", json={"fields": {"text": "A film."}, "prompt_id": "words"}).json()
        assert refused["error"] == "words@1 takes the fields text, choices; missing: choices"
        assert client.get("/prompts/words").json()["versions"][0]["fields"] == ["text", "choices"]


@pytest.mark.parametrize("action", ["promote", "remove", "rollback"])
def test_an_alias_that_changes_while_the_service_starts_is_followed(
    registry, other_review, serving, backbone, monkeypatch, action
):
    registry.add(other_review, "reviews")
    if action == "rollback":
        registry.promote("reviews@2")
    load, calls = Loader.load, []

    def change_then_load(self, before, state):
        calls.append(state)
        if len(calls) == 1:
            match action:
                case "promote":
                    registry.promote("reviews@2")
                case "remove":
                    registry.remove("reviews@live")
                case "rollback":
                    registry.rollback("reviews")
        return load(self, before, state)

    monkeypatch.setattr(Loader, "load", change_then_load)
    wanted = {"promote": {"live": 2}, "rollback": {"live": 1}}.get(action)
    with serving(registry, backbone) as client:
        wait_until(lambda: len(calls) > 1)
        wait_until(lambda: client.service.catalogue.state == calls[-1])
        answer = client.get("/prompts/reviews")
        assert (answer.json()["aliases"] if answer.status_code == 200 else None) == wanted
        assert client.post("/classify", json=ROW).status_code == (404 if wanted is None else 200)


def test_a_version_that_is_replaced_is_freed(registry, prompts, serving, backbone):
    """Also if another prompt was loaded after it and stays."""
    row = {"fields": {"a": "cast", "b": "music"}, "prompt_id": "pairs"}
    with serving(registry, backbone) as client:
        old = weakref.ref(client.service.catalogue.resolve("pairs").prompt)
        changed = replace(prompts["pairs"], template=Template("The <a> and the <b> were<mask>"))
        registry.promote(str(registry.add(changed, "pairs")))
        wait_until(lambda: client.post("/classify", json=row).json()["version"] == 2)
        gc.collect()
        assert old() is None


@pytest.mark.slow
def test_two_hundred_promotions_under_load(registry, prompts, backbone):
    """Each answer has the probabilities of the version that it names; a new version comes with the next look."""
    vectors = prompts["reviews"].vectors["task"]
    rolled = [replace(prompts["reviews"], vectors={"task": vectors.roll(i)}) for i in range(5)]
    versions = {registry.add(prompt, "reviews").number: prompt for prompt in rolled}
    registry.promote(f"reviews@{max(versions)}")
    together = PromptSet(versions, backbone)
    expected = {row.prompt: row.probabilities for row in together.predict_rows([(i, ROW["text"]) for i in versions])}
    assert len({tuple(p.round(3)) for p in expected.values()}) == 5
    answers, ended = [], Event()

    def ask():
        while not ended.is_set():
            answers.append(post(port, ROW))

    with listening(registry, backbone) as (_, port):
        clients = [Thread(target=ask) for _ in range(8)]
        for client in clients:
            client.start()
        try:
            for i in range(200):
                number = [*versions][i % 5]
                registry.promote(f"reviews@{number}")
                wait_until(lambda number=number: post(port, ROW)[1].get("version") == number)
        finally:
            ended.set()
            for client in clients:
                client.join()
    assert len(answers) > 200
    assert {status for status, _ in answers} == {200}
    assert {body["version"] for _, body in answers} == {*versions}
    for _, body in answers:
        np.testing.assert_allclose([*body["probabilities"].values()], expected[body["version"]], atol=1e-5)
