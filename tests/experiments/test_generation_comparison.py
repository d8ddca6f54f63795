import numpy as np
import pytest
import sacrebleu
from sacrebleu.significance import PairedTest
from sklearn.base import BaseEstimator

from softcloze.errors import DataError, ParameterError
from softcloze.experiments import compare_generation, evaluate_draws, generation_metrics
from softcloze.experiments.statistics import Resampling, paired_sums

REFERENCES = [f"row {row} of the test set is number {row * 7}" for row in range(40)]
GOOD = [text if row % 3 else text[4:] for row, text in enumerate(REFERENCES)]
POOR = [text if row % 3 == 0 else text[: 12 + row % 5] for row, text in enumerate(REFERENCES)]
METRICS = ["chrf", "bleu", "rougeL", "exact_match"]


def comparison(metrics=METRICS):
    systems = {"good": GOOD, "poor": POOR, "same": POOR}
    return compare_generation({name: generation_metrics(texts, REFERENCES, metrics) for name, texts in systems.items()})


class Memory(BaseEstimator):
    """Writes the answer of the training example with the most words in common, or of a random one."""

    def __init__(self, skill=1.0, random_state=None):
        self.skill = skill
        self.random_state = random_state

    def fit(self, X, y):
        self.pairs_ = list(zip(X, y, strict=True))
        return self

    def predict(self, X):
        rng = np.random.default_rng(self.random_state)

        def nearest(text):
            return max(self.pairs_, key=lambda pair: len({*pair[0].split()} & {*text.split()}))[1]

        return [nearest(text) if rng.random() < self.skill else self.pairs_[0][1] for text in X]


@pytest.mark.parametrize(("metric", "plain"), [("chrf", sacrebleu.CHRF()), ("bleu", sacrebleu.BLEU())])
def test_differences_agree_with_the_paired_tests_of_sacrebleu(metric, plain, monkeypatch):
    by_pair = {(pair.method, pair.other): pair for pair in comparison().differences(metric)}
    good, same = by_pair["good", "poor"], by_pair["poor", "same"]
    monkeypatch.setenv("SACREBLEU_SEED", "1")
    systems = [("poor", POOR), ("good", GOOD)]
    _, results = PairedTest(systems, {"metric": plain}, [REFERENCES], "ar", n_samples=2000)()
    (poor, better) = next(values for name, values in results.items() if name != "System")
    assert good.mean == pytest.approx(better.score - poor.score)
    assert good.p == pytest.approx(better.p_value, abs=0.01) and good.p < 0.01
    assert 0 < good.low < good.mean < good.high
    assert (same.mean, same.low, same.high, same.p, same.p_corrected) == (0, 0, 0, 1, 1)


def test_the_interval_of_a_difference_is_that_of_plain_loops():
    good, poor = (generation_metrics(texts, REFERENCES, ["chrf"]).measured("chrf") for texts in (GOOD, POOR))
    resampling = Resampling(len(REFERENCES), resamples=40)
    pair = paired_sums(good.parts[None], poor.parts[None], good.value, resampling)
    again = []
    for counts in resampling.counts:
        rows = np.repeat(np.arange(len(REFERENCES)), counts.astype(int))
        scores = [
            sacrebleu.corpus_chrf([texts[row] for row in rows], [[REFERENCES[row] for row in rows]]).score
            for texts in (GOOD, POOR)
        ]
        again.append(scores[0] - scores[1])
    assert (pair.low, pair.high) == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])))


def test_a_baseline_is_compared_with_all_others():
    pairs = comparison().differences("rougeL", baseline="poor")
    assert [(pair.method, pair.other) for pair in pairs] == [("good", "poor"), ("same", "poor")]
    with pytest.raises(ParameterError, match=r"unknown generator 'por'; .*; did you mean 'poor'"):
        comparison().differences("rougeL", baseline="por")
    with pytest.raises(ParameterError, match="metric='rouge1' was not measured; expected one of chrf, bleu, rougeL"):
        comparison().differences("rouge1")


WORDS = ["red", "blue", "green", "white", "black"]
PAIRS = [(f"a {word} {thing}", f"{word.title()}: {thing}") for word in WORDS for thing in ("car", "hat", "cup", "pen")]


def drawn(skill, seeds=4, folder=None):
    (X, answers), (test_X, references) = zip(*PAIRS[::2], strict=True), zip(*PAIRS[1::2], strict=True)
    options = {"shots": 6, "seeds": seeds, "folder": folder}
    return evaluate_draws(Memory(skill), X, answers, test_X, references, ["chrf", "exact_match"], **options)


def test_all_generators_get_the_same_draws():
    first, again = drawn(1.0), drawn(1.0)
    assert first == again and len({draw.predictions for draw in first}) > 1
    worse = drawn(0.3)
    assert worse[0].references == first[0].references
    both = compare_generation({"memory": first, "worse": worse, "hard": worse[0]}, [text for text, _ in PAIRS[1::2]])
    spread = both.spread("memory", "chrf")
    assert spread.values == tuple(draw["chrf"].value for draw in first) and spread.sd > 0
    pair, hard, _ = both.differences("chrf")
    assert pair.mean == pytest.approx(spread.mean - both.spread("worse", "chrf").mean)
    assert hard.mean == pytest.approx(spread.mean - worse[0]["chrf"].value)
    assert pair.low < pair.mean < pair.high


def test_draws_resume_from_a_folder(tmp_path, monkeypatch):
    folder, fit, fits = tmp_path / "kept", Memory.fit, []
    monkeypatch.setattr(Memory, "fit", lambda self, *pairs: (fits.append(1), fit(self, *pairs))[1])
    whole = drawn(1.0)
    drawn(1.0, seeds=2, folder=folder)
    assert drawn(1.0, folder=folder) == whole
    assert len(fits) == 4 + 2 + 2
    for number, path in enumerate(folder.iterdir()):
        path.write_text("[1]" if number else "damaged", encoding="utf-8")
    assert drawn(1.0, folder=folder) == whole
    assert drawn(0.3, folder=folder) == drawn(0.3)
    with pytest.raises(ParameterError, match="perplexity"):
        evaluate_draws(Memory(), ["a"], ["b"], ["a"], ["b"], ["perplexity"], shots=1, folder=folder)


def test_wrong_draws():
    X, answers = ["a", "b"], ["c", "d"]
    with pytest.raises(ParameterError, match="shots=3, but there are 2 pairs to draw from"):
        evaluate_draws(Memory(), X, answers, X, answers, shots=3)
    with pytest.raises(DataError, match="X has 2 rows, but answers has 1; give one for each"):
        evaluate_draws(Memory(), X, ["c"], X, answers, shots=1)
    for wrong in ({"metrics": ["json_valid"]}, {"metrics": ["chrF"]}, {"shots": 0}, {"seeds": []}):
        with pytest.raises((ParameterError, DataError)):
            evaluate_draws("no estimator, as nothing is fitted", X, answers, X, answers, **{"shots": 1} | wrong)


def test_evaluations_have_to_correspond():
    first = generation_metrics(["a"], ["a"], ["chrf", "bleu"])
    with pytest.raises(ParameterError, match="'x' was measured by chrf, bleu, but 'y' by chrf; give all the same"):
        compare_generation({"x": first, "y": generation_metrics(["a"], ["a"], ["chrf"])})
    with pytest.raises(DataError, match="'x' and 'y' have different references"):
        compare_generation({"x": first, "y": generation_metrics(["a"], ["b"], ["chrf", "bleu"])})
    other = generation_metrics(["a"], ["a"], ["chrf", "bleu"], bleu_tokenizer="char")
    with pytest.raises(ParameterError, match="'x' and 'y' have different tokenizers of BLEU, 13a and char; give one"):
        compare_generation({"x": first, "y": other})
    with pytest.raises(ParameterError, match="methods have 2 and 3 draws"):
        compare_generation({"x": [first] * 2, "y": [first] * 3})
    for empty in ({}, {"x": []}):
        with pytest.raises(ParameterError, match="methods needs one evaluation or more for each name"):
            compare_generation(empty)
    with pytest.raises(DataError, match="X has 2 rows, but the evaluations have 1; give the same rows"):
        compare_generation({"x": first}, ["a", "b"])


def test_texts_side_by_side():
    texts = {"input": ["eins", "zwei"], "soft": ["one", "two\n"]}
    evaluations = {name: generation_metrics(values, ["one", "two"], ["exact_match"]) for name, values in texts.items()}
    X = [{"word": "eins", "hint": ""}, {"word": "zwei", "hint": "2"}]
    side = compare_generation(evaluations, X).side_by_side(2)
    lines = [" ".join(line.split()) for line in str(side).splitlines() if line.strip()]
    assert lines[2:] == [
        "0 input eins", "reference one", "input eins", "soft one",
        "1 input zwei | 2", "reference two", "input zwei", "soft two↵",
    ]  # fmt: skip
    assert len(compare_generation(evaluations).side_by_side(1).references) == 1


def test_the_table_shows_draws():
    table = " ".join(str(compare_generation({"memory": drawn(1.0), "hard": drawn(0.5, seeds=1)})).split())
    assert "mean ± standard deviation over draws of training examples" in table and "10 held-out rows" in table
    assert "memory 4" in table and "hard 1" in table and table.count(" ± ") == 3
