import math

import numpy as np
import pandas
import pytest
import sacrebleu

from softcloze.errors import DataError, ParameterError
from softcloze.experiments import evaluate_generation, generation_metrics

PREDICTIONS = ["the cat sat on the mat", "a dog barked", "rain all day long", "the shop is shut"] * 5
REFERENCES = ["the cat sat on a mat", "the dog barked at me", "rain all day long", "it is closed"] * 5


class Parrot:
    """Repeats its input."""

    def predict(self, X):
        return np.array(X, dtype=object)


class ScoringParrot(Parrot):
    def log_likelihood(self, X, answers):
        return np.array([-len(answer) / 10 for answer in answers])


def test_values_are_those_of_the_libraries_and_intervals_hold_them():
    evaluation = generation_metrics(PREDICTIONS, REFERENCES)
    assert [score.metric for score in evaluation.scores] == [
        "chrf", "bleu", "rouge1", "rouge2", "rougeL", "exact_match"
    ]  # fmt: skip
    assert evaluation["chrf"].value == pytest.approx(sacrebleu.corpus_chrf(PREDICTIONS, [REFERENCES]).score)
    assert evaluation["bleu"].value == pytest.approx(sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES]).score)
    assert evaluation["exact_match"].value == 0.25
    for score in evaluation.scores:
        assert score.low < score.value < score.high
        assert len(score.rows) == len(PREDICTIONS)


def test_the_interval_of_chrf_is_that_of_sacrebleu():
    score = generation_metrics(PREDICTIONS, REFERENCES, ["chrf"])["chrf"]
    plain = sacrebleu.CHRF().corpus_score(PREDICTIONS, [REFERENCES], n_bootstrap=2000)
    assert (score.high - score.low) / 2 == pytest.approx(plain._ci, rel=0.1)
    assert (score.high + score.low) / 2 == pytest.approx(plain._mean, rel=0.03)


def test_the_same_call_gives_the_same_result():
    first, second = (generation_metrics(PREDICTIONS, REFERENCES, ["rougeL"]) for _ in range(2))
    assert first == second


def test_a_generator_is_evaluated_on_its_texts():
    evaluation = evaluate_generation(Parrot(), PREDICTIONS, REFERENCES, ["chrf", "exact_match"])
    assert evaluation == generation_metrics(PREDICTIONS, REFERENCES, ["chrf", "exact_match"])


def test_perplexity():
    evaluation = evaluate_generation(ScoringParrot(), ["x", "y"], ["a" * 10, ["b" * 30, "c"]], ["perplexity"])
    score = evaluation["perplexity"]
    assert score.value == pytest.approx(math.exp(2)) and score.rows == pytest.approx([math.e, math.exp(3)])
    assert (score.low, score.high) == pytest.approx((math.e, math.exp(3)))
    with pytest.raises(ParameterError, match="needs a generator with log_likelihood; Parrot has none"):
        evaluate_generation(Parrot(), ["x"], ["a"], ["perplexity"])
    with pytest.raises(ParameterError, match="metric 'perplexity' is unknown; expected chrf"):
        generation_metrics(["x"], ["a"], ["perplexity"])


def test_texts_and_references_have_to_correspond():
    with pytest.raises(DataError, match="predictions has 2 rows, but references has 1; give one for each"):
        generation_metrics(["a", "b"], ["a"])
    with pytest.raises(DataError, match="X has 1 row, but references has 2; give one for each"):
        evaluate_generation(Parrot(), ["a"], ["a", "b"])
    with pytest.raises(DataError, match="references is empty; give one row or more"):
        generation_metrics([], [])
    with pytest.raises(DataError, match="predictions has to be a list of texts, got one str"):
        generation_metrics("ab", ["a", "b"])
    with pytest.raises(DataError, match="row 1 of the predictions is 3; expected a text"):
        generation_metrics(["a", 3], ["a", "b"])
    for wrong in ([], None, ["a", 1], {"a": "b"}):
        with pytest.raises(DataError, match=r"row 1 of the references is .*; expected a text, or a list of texts"):
            generation_metrics(["a", "b"], ["a", wrong])
    for wrong in ([], "chrf"):
        with pytest.raises(ParameterError, match="has to be a list of one or more of chrf, bleu"):
            generation_metrics(["a"], ["a"], wrong)


def test_errors_come_before_texts_are_generated():
    class Idle:
        def predict(self, X):
            raise AssertionError("generates")

    with pytest.raises(DataError, match="row 1: the reference 'b' is not a JSON object"):
        evaluate_generation(Idle(), ["x", "y"], ["{}", "b"], ["json_valid"])
    with pytest.raises(ParameterError, match=r"bleu_tokenizer='ja', but it has to be '13a', 'zh', .* or None"):
        evaluate_generation(Idle(), ["x"], ["b"], ["chrf"], bleu_tokenizer="ja")


def test_columns_of_a_frame_are_texts():
    frame = pandas.DataFrame({"text": ["a", "b"], "reference": ["a", "c"]})
    evaluation = generation_metrics(frame["text"], frame["reference"], ["exact_match"])
    table = evaluation.to_pandas()
    assert table.columns.tolist() == ["prediction", "reference", "exact_match"]
    assert table["exact_match"].tolist() == [1, 0]


def test_the_table():
    forms = ['{"name": "Chen", "people": 4}', '{"name": "Li"}'], ['{"name": "Chen", "people": 4}'] * 2
    evaluation = generation_metrics(*forms, ["json_valid", "json_exact", "json_fields"])
    assert evaluation.fields() == {"name": 0.5, "people": 0.5}
    lines = [" ".join(line.split()) for line in str(evaluation).splitlines()]
    assert "json_valid 50.0% 0.0% to 100.0%" in lines and "people 50.0%" in lines
    assert "2 rows; 95% interval: bootstrap over rows" in lines
    assert "tokenizer of BLEU: zh" in str(generation_metrics(["雨"], ["雨"], ["bleu"]))
    assert evaluation._repr_html_().count("<table") == 2


def test_a_metric_that_was_not_measured():
    with pytest.raises(ParameterError, match="'bleu' was not measured; expected exact_match"):
        generation_metrics(["a"], ["a"], ["exact_match"])["bleu"]
