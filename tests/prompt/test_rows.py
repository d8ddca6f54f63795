"""Rows that each name a prompt have the predictions of that prompt alone, whatever they share a batch with."""

import pickle
import random

import numpy as np
import pytest
import torch
from support import models
from support.many_prompts import CHOICES, TEXTS, WORDS, classifiers, random_rows

from softcloze import Prompt, PromptClassifier, PromptSet, Template, Verbalizer
from softcloze.errors import ArtifactError, DataError, EncodingError, FieldError, NonFiniteError, ParameterError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

WINDOW = 1 << 26  # bytes, enough for all prefixes


@pytest.fixture(scope="module", params=["bert", "llama"])
def fitted(request):
    """Classifiers of every kind on a masked and on a causal model."""
    return classifiers(models.backbone(request.param))


def prompts_of(fitted):
    return {name: clf.prompt_ for name, clf in fitted.items()}


def backbone_of(fitted):
    return fitted["hard"].backbone_


def hard(backbone, template="<text> It was <mask>", words=WORDS, **parts):
    return Prompt(Template(str(template)), Verbalizer(words), backbone.name, backbone.fingerprint, **parts)


def nats_apart(one, other):
    """The largest difference of log-probabilities; those of labels that cannot be are both 0."""
    assert ((one == 0) == (other == 0)).all()
    possible = one > 0
    return np.abs(np.log(one[possible]) - np.log(other[possible])).max()


def runs_of(backbone, call):
    """The number of forward passes in a call."""
    runs = []
    hook = backbone.model.base_model.register_forward_pre_hook(lambda *_: runs.append(1))
    try:
        return call(), len(runs)
    finally:
        hook.remove()


def assert_equal_alone(fitted, rows, mixes, seed, most=300, tolerance=1e-4):
    """Compare random mixes of rows with the classifiers' own probabilities for one example."""
    prompts, backbone, source = prompts_of(fitted), backbone_of(fitted), random.Random(seed)
    alone = [fitted[name].predict_proba([example])[0] for name, example in rows]
    sets = [PromptSet(prompts, backbone), PromptSet(prompts, backbone, prefix_memory=WINDOW)]
    for mix in range(mixes):
        chosen = source.sample(range(len(rows)), source.randint(1, min(most, len(rows))))
        for i, prediction in zip(chosen, sets[mix % 2].predict_rows([rows[i] for i in chosen]), strict=True):
            name, expected = rows[i][0], alone[i]
            assert prediction.error is None and prediction.prompt == name
            assert prediction.probabilities.shape == expected.shape
            assert nats_apart(prediction.probabilities, expected) < tolerance, name
            np.testing.assert_allclose(
                fitted[name]._bound_prompt().probabilities(prediction.scores[None])[0], prediction.probabilities
            )
    assert (sets[1].kept_bytes > 0) == (backbone.family == "causal")


def test_mixed_rows_equal_each_prompt_alone(fitted):
    assert_equal_alone(fitted, random_rows(fitted, 36, seed=1), mixes=5, seed=2)


def test_a_row_alone_is_equal_to_the_last_bit(fitted):
    together = PromptSet(prompts_of(fitted), backbone_of(fitted))
    for name, example in random_rows(fitted, 15, seed=3):
        (prediction,) = together.predict_rows([(name, example)])
        np.testing.assert_array_equal(prediction.probabilities, fitted[name].predict_proba([example])[0])


def test_labels_are_those_of_predict(fitted):
    together = PromptSet(prompts_of(fitted), backbone_of(fitted))
    examples = [{"text": text, "choices": CHOICES} for text in TEXTS[:2]]
    rows = [(name, example) for name in fitted for example in examples]
    predictions = iter(together.predict_rows(rows))
    for name, clf in fitted.items():
        for expected in clf.predict(examples):
            prediction = next(predictions)
            if name == "several":
                assert prediction.label == tuple(np.array(clf.classes_)[expected == 1])
            else:
                assert prediction.label == expected
                assert prediction.label == prediction.labels[prediction.probabilities.argmax()]
    assert {len(prediction.labels) for prediction in together.predict_rows(rows)} == {2, 3}


def test_rows_of_masked_prompts_share_one_forward_pass():
    backbone = models.backbone("bert")
    prompts = {str(i): hard(backbone, f"{word} <text> It was <mask>.") for i, word in enumerate(("A", "The", "In"))}
    together = PromptSet(prompts, backbone)
    rows = [(name, TEXTS[0]) for name in prompts]
    together.predict_rows(rows)
    assert runs_of(backbone, lambda: together.predict_rows(rows))[1] == 1


def test_rows_with_errors_keep_them_and_others_are_predicted():
    backbone = models.backbone("gpt2")
    sources = {
        "plain": "<text> It was <mask>",
        "bare": "<text> <mask>",
        "two": "<title> <text> It was <mask>",
        "braces": "<text> {mood} It was <mask>",
        "jinja": "{% for i in text %}{{ text }}{% endfor %} It was <mask>",
    }
    prompts = {name: hard(backbone, source) for name, source in sources.items()}
    rows = [
        ("plain", TEXTS[0]),
        ("plain", None),
        ("two", {"text": "A film."}),
        ("bare", ""),  # this tokenizer puts nothing in front
        ("plane", TEXTS[0]),
        (7, TEXTS[0]),
        ("jinja", "ab" * 4000),
        ("braces", {"text": "A film.", "mood": "good"}),
        ("plain", b"bytes"),
        ("plain", TEXTS[1]),
    ]
    together = PromptSet(prompts, backbone)
    predictions = together.predict_rows(rows)
    assert [type(prediction.error) for prediction in predictions][1:6] == [
        FieldError,
        FieldError,
        EncodingError,
        DataError,
        DataError,
    ]
    assert str(predictions[1].error).startswith("field 'text' is None")  # without an index of its own counting
    assert "nothing stands before <mask>" in str(predictions[3].error)
    assert str(predictions[4].error) == "there is no prompt 'plane' in this set; did you mean 'plain'?"
    assert [prediction.label is None for prediction in predictions] == [False, *[True] * 8, False]
    for i in (0, 9):
        expected = PromptClassifier(backbone, sources["plain"], WORDS).predict_proba([rows[i][1]])[0]
        assert nats_apart(predictions[i].probabilities, expected) < 1e-4
    assert together.predict_rows([]) == []
    assert [row.cost for row in together.encode_rows(rows[1:3])] == [0, 0]


def test_scores_that_are_not_finite_are_errors_of_their_rows():
    backbone = models.backbone("llama")
    clf = PromptClassifier(backbone, "<soft*2> <text> It was <mask>", WORDS, epochs=1, random_state=0)
    good = clf.fit(TEXTS, ["good", "bad"] * 4).prompt_
    broken = hard(backbone, good.template, vectors={key: v * torch.inf for key, v in good.vectors.items()})
    for memory in (0, WINDOW):
        together = PromptSet({"good": good, "broken": broken}, backbone, prefix_memory=memory)
        one, two, three = together.predict_rows([("good", "A film."), ("broken", "A film."), ("good", "A book.")])
        assert isinstance(two.error, NonFiniteError) and "its soft vectors; fit again" in str(two.error)
        assert two.label is two.probabilities is None
        np.testing.assert_allclose(one.probabilities, clf.predict_proba(["A film."])[0], atol=1e-5)
        np.testing.assert_allclose(three.probabilities, clf.predict_proba(["A book."])[0], atol=1e-5)


def test_truncation_is_reported():
    backbone = models.backbone("bert")
    together = PromptSet([hard(backbone, max_length=20)], backbone)
    short, long = together.predict_rows([(0, "A film."), (0, "A film. " * 30)])
    assert short.cut == {} and long.cut["text"] > 50


def test_only_nearest_demonstrations_run_the_model_while_rows_are_encoded(fitted):
    backbone, prompts = backbone_of(fitted), prompts_of(fitted)
    for memory in (0, WINDOW):
        together = PromptSet(prompts, backbone, prefix_memory=memory)
        for name, prompt in together.prompts.items():
            row = (name, {"text": TEXTS[0], "choices": CHOICES})
            _, runs = runs_of(backbone, lambda together=together, row=row: together.encode_rows([row]))
            assert (runs > 0) == prompt.encodes_with_model == (name == "nearest")


def test_a_prompt_is_replaced_while_rows_of_the_old_one_wait(named):
    backbone = named("llama")
    old, new, other = (hard(backbone, f"{word} <text> It was <mask>") for word in ("Good:", "Bad:", "All in all,"))
    before = PromptSet({"a": old, "b": other, "c": old}, backbone)
    waiting = before.encode_rows([("a", TEXTS[0]), ("b", TEXTS[0])])
    after = before.with_prompts({"a": new, "d": new})
    assert list(after.prompts) == ["a", "b", "c", "d"] and after.prompts["a"] is new and before.prompts["a"] is old
    bound = before._bound
    assert bound["a"] is bound["c"] is after._bound["c"] and bound["b"] is after._bound["b"]  # others stay bound
    assert after._bound["a"] is after._bound["d"]
    (expected,) = before.predict_rows([("a", TEXTS[0])])
    (changed,) = after.predict_rows([("a", TEXTS[0])])
    prediction = after.score_rows(waiting)[0]
    np.testing.assert_allclose(prediction.probabilities, expected.probabilities, atol=1e-5)
    assert nats_apart(prediction.probabilities, changed.probabilities) > 1e-3
    assert list(after.without("a", "c").prompts) == ["b", "d"]
    again = pickle.loads(pickle.dumps(after))
    np.testing.assert_allclose(again.predict_rows([("a", TEXTS[0])])[0].scores, changed.scores, atol=1e-5)
    with pytest.raises(DataError, match=r"^there is no prompt 'e' in this set"):
        after.without("e")
    with pytest.raises(DataError, match="at least one prompt"):
        after.without(*after.prompts)


def test_bad_arguments_raise():
    backbone, other = models.backbone("llama"), models.backbone("bert")
    together = PromptSet({"a": hard(backbone)}, backbone)
    for rows in (["a"], [("a",)], ["ab"], [(["a"], "text")]):
        with pytest.raises(DataError, match=r"^rows\[0\] is .*expected a prompt's name and an example, as a pair"):
            together.predict_rows(rows)
    with pytest.raises(ParameterError, match=r"^prompts\['b'\]=1, but it has to be a Prompt"):
        together.with_prompts({"b": 1})
    with pytest.raises(ArtifactError, match="belongs to another model"):
        together.with_prompts({"b": hard(other)})
    with pytest.raises(DataError, match=r"^prompts has the key \(1, 2\)"):
        PromptSet({(1, 2): hard(backbone)}, backbone)
    for memory in (-1, "64", 1.5):
        with pytest.raises(ParameterError, match=r"^prefix_memory="):
            PromptSet([hard(backbone)], backbone, prefix_memory=memory)
    with pytest.raises(DataError, match="a row was encoded for 'bert'"):
        together.score_rows(PromptSet([hard(other)], other).encode_rows([(0, "A film.")]))


@pytest.mark.slow
def test_five_hundred_mixes(fitted):
    assert_equal_alone(fitted, random_rows(fitted, 200, seed=6), mixes=500, seed=7, most=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert_tiny", "smollm2"])
def test_mixed_rows_of_real_models(name, request):
    """Texts from one character up to the limit of 512 tokens of BERT-tiny, and 200 of SmolLM2."""
    backbone = request.getfixturevalue(name)
    fitted = classifiers(backbone, max_length=200 if name == "smollm2" else None)
    rows = random_rows(fitted, 300 if name == "bert_tiny" else 30, seed=4, longest=2500)
    assert_equal_alone(fitted, rows, mixes=20 if name == "bert_tiny" else 3, seed=5)
