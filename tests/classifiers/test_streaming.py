"""Predictions while rows come: the same as all at once, in order, and no row is read before it is needed."""

import numpy as np
import pytest
from datasets import Dataset
from sklearn.exceptions import NotFittedError
from support import models

from softcloze import MultiLabelPromptClassifier, PromptClassifier, PromptEnsemble, PromptGenerator, predict_stream
from softcloze.classifiers import write_stream
from softcloze.errors import DataError, ParameterError, SoftclozeError

WORDS = {"positive": ["good", "great"], "negative": ["bad", "terrible"]}
TEXTS = [text * times for times in (1, 3, 2) for text in models.SENTENCES]


@pytest.fixture(scope="module", params=["bert", "llama"])
def classifier(request):
    return PromptClassifier(models.backbone(request.param), "<text> It was <mask>", WORDS)


@pytest.fixture(scope="module")
def bert():
    return PromptClassifier(models.backbone("bert"), "<text> It was <mask>", WORDS)


@pytest.mark.parametrize("window", [1, 7, 1000])
def test_predictions_are_those_of_all_rows_together(classifier, window):
    found = [*predict_stream(classifier, iter(TEXTS), window=window)]
    assert [own.row for own in found] == [*range(len(TEXTS))]
    assert [own.example for own in found] == TEXTS
    assert [own.label for own in found] == classifier.predict(TEXTS).tolist()
    np.testing.assert_allclose([own.probabilities for own in found], classifier.predict_proba(TEXTS), atol=1e-5)


def test_fitted_and_calibrated_classifiers_predict_the_same():
    clf = PromptClassifier(
        models.backbone("bert"), "<text> <soft*2> <mask>", WORDS, calibration="batch", epochs=1, random_state=0
    )
    clf.fit(TEXTS[:8], ["positive", "negative"] * 4)
    found = [own.probabilities for own in predict_stream(clf, TEXTS, window=16)]
    np.testing.assert_allclose(found, clf.predict_proba(TEXTS), atol=1e-5)


def test_a_stream_may_begin_at_any_window(bert):
    """Bit for bit, so that an interrupted run can resume."""
    whole = [own.probabilities for own in predict_stream(bert, TEXTS, window=8)]
    rest = [own.probabilities for own in predict_stream(bert, TEXTS[24:], window=8)]
    assert whole[24:] == rest


def test_rows_are_consumed_no_sooner_than_needed(bert):
    asked = []

    def rows():
        for row, text in enumerate(TEXTS):
            asked.append(row)
            yield text

    found = predict_stream(bert, rows(), window=10)
    assert not asked
    for row in range(30):
        assert next(found).row == row
        assert len(asked) == 10 * (row // 10 + 1)


def test_bad_rows_have_reasons_and_all_others_labels(bert):
    pair = PromptClassifier(models.backbone("bert"), "<title>: <text> <mask>", WORDS)
    good = {"title": "书", "text": "内容很好", "stars": 5}
    rows = [good, {"title": "x"}, None, good | {"text": ["a"]}, "a text", good | {"text": "lone \ud83d"}, 7, good]
    for window in (1, 3, 100):
        found = [*predict_stream(pair, rows, window=window)]
        assert [own.example for own in found] == rows
        assert [own.label is None for own in found] == [False, True, True, True, True, False, True, False]
        assert all((own.label is None) == (own.probabilities is None) == (own.error is not None) for own in found)
        assert [own.error for own in found if own.error is not None] == [
            "no field 'text': the example has 'title'",
            "expected a string or a mapping of fields, found NoneType",
            "field 'text' must be text or a number, found list",
            "a plain string fills one field, but the template has the fields 'title', 'text': pass a mapping instead",
            "expected a string or a mapping of fields, found int",
        ]
    alone = [own.probabilities for own in predict_stream(pair, [rows[0], rows[5], rows[7]])]
    np.testing.assert_allclose([own.probabilities for own in found if own.label], alone, atol=1e-6)


def test_an_example_that_does_not_fit_is_a_bad_row(bert):
    short = PromptClassifier(models.backbone("bert"), "<text shorten=0> <mask>", WORDS, max_length=12)
    found = [*predict_stream(short, ["good", "very " * 50, "好"])]
    assert [own.error is None for own in found] == [True, False, True]
    assert found[1].error.startswith("fields with shorten=0 are 141 tokens too long")


def test_only_bad_rows_and_none_at_all(bert):
    assert [own.label for own in predict_stream(bert, [None, None, None])] == [None, None, None]
    assert [*predict_stream(bert, [])] == []


@pytest.mark.parametrize("streaming", [False, True])
def test_data_sets(bert, streaming):
    rows = Dataset.from_dict({"text": TEXTS[:20], "label": [0, 1] * 10})
    found = predict_stream(bert, rows.to_iterable_dataset() if streaming else rows, window=8)
    assert [own.label for own in found] == bert.predict(TEXTS[:20]).tolist()


def test_errors_are_raised_before_the_first_row(bert):
    for rows in (TEXTS[0], None, 5, {"text": TEXTS}, {*TEXTS}):
        with pytest.raises(DataError):
            predict_stream(bert, rows)
    for window in (0, None, "8", 2.5, True):
        with pytest.raises(ParameterError, match="window="):
            predict_stream(bert, TEXTS, window=window)
    unlearnt = PromptClassifier(models.backbone("bert"), "<text> <mask>", WORDS, calibration="batch")
    with pytest.raises(NotFittedError, match="call calibrate with examples"):
        predict_stream(unlearnt, TEXTS)
    with pytest.raises(ValueError, match="call fit first"):
        predict_stream(PromptClassifier(models.backbone("bert"), "<soft> <text> <mask>", WORDS), TEXTS)


def test_an_ensemble_is_streamed_too():
    backbone = models.backbone("llama")
    members = [
        PromptClassifier(backbone, "<text> It was <mask>", WORDS),
        PromptClassifier(backbone, "Of late: <text> A <mask>", WORDS),
    ]
    ensemble = PromptEnsemble(members, average="log_probabilities")
    found = [*predict_stream(ensemble, [*TEXTS[:20], None], window=8)]
    assert [own.label for own in found[:-1]] == ensemble.predict(TEXTS[:20]).tolist()
    np.testing.assert_allclose([own.probabilities for own in found[:-1]], ensemble.predict_proba(TEXTS[:20]), atol=1e-5)
    assert found[-1].label is None and found[-1].error.startswith("field 'text' is None")


def test_other_classifiers_raise():
    words = {"bad": "bad", "good": "good"}
    several = MultiLabelPromptClassifier(models.backbone("bert"), "<text> <mask>", words)
    with pytest.raises(ParameterError, match="or a PromptEnsemble, found MultiLabel"):
        predict_stream(several, TEXTS)


def test_an_error_of_the_source_is_not_swallowed(bert):
    def rows():
        yield from TEXTS[:12]
        raise SoftclozeError("the source ends here")

    found = predict_stream(bert, rows(), window=5)
    assert [next(found).row for _ in range(10)] == [*range(10)]
    with pytest.raises(SoftclozeError, match="the source ends here"):
        next(found)


def test_texts_are_those_of_all_rows_together(bert):
    generator = PromptGenerator(models.backbone("llama"), "<text>: <answer max=6>", options={"max_new_tokens": 4})
    rows = [*TEXTS[:5], None, TEXTS[5]]
    found = [*write_stream(generator, iter(rows), window=100)]
    assert [row.text for row in found if row.error is None] == generator.predict(TEXTS[:6]).tolist()
    assert [row.error for row in found].count(None) == 6
    short = [row.text for row in write_stream(generator, TEXTS[:2], window=1, max_new_tokens=2)]
    assert short == [generator.predict([text], max_new_tokens=2)[0] for text in TEXTS[:2]]
    generator.set_params(options={"max_new_tokens": 3})
    assert [row.text for row in write_stream(generator, TEXTS[:2])] == generator.predict(TEXTS[:2]).tolist()
    for wrong in ({"window": 0}, {"max_new_token": 2}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            write_stream(generator, TEXTS, **wrong)
    with pytest.raises(ParameterError, match="generator="):
        write_stream(bert, TEXTS)
