"""A scorer of names: every kind of batch gets the labels of the classifier, in this process and in others."""

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow
import pytest
from support import models

from softcloze import FieldVerbalizer, MultiLabelPromptClassifier, PromptClassifier, PromptEnsemble
from softcloze.batch import BatchScorer
from softcloze.errors import ArtifactError, DataError, ParameterError
from softcloze.registry import Registry

WORDS = {"positive": ["good", "great"], "negative": ["bad", "terrible"]}
TEXTS = models.SENTENCES[:6]
NAMES = ["label", "probability_negative", "probability_positive", "error"]
NO_TEXT = "field 'text' is None: drop the row or give it a text, if only an empty one"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with two models and a prompt of the first."""
    home = tmp_path_factory.mktemp("home")
    for name, kind, words in (("bert", "bert", "wordpiece"), ("roberta", "roberta", "roberta")):
        models.model(kind).save_pretrained(home / name)
        models.tokenizer(words).save_pretrained(home / name)
    PromptClassifier(str(home / "bert"), "<text> It was <mask>", WORDS).save(home / "prompt")
    return home


@pytest.fixture(scope="module")
def expected(home):
    clf = PromptClassifier.load(home / "prompt")
    return clf.predict(TEXTS).tolist(), clf.predict_proba(TEXTS)


def columns(rows):
    return {"text": rows, "id": [*range(len(rows))]}


KINDS = {
    "dict of lists": columns,
    "dict of arrays": lambda rows: {"text": np.array(rows, dtype=object), "id": np.arange(len(rows))},
    "pandas": lambda rows: pd.DataFrame(columns(rows), index=np.arange(len(rows)) * 2),
    "table": lambda rows: pyarrow.table(columns(rows)),
    "record batch": lambda rows: pyarrow.RecordBatch.from_pydict(columns(rows)),
    "dicts": lambda rows: [{"text": text, "id": i} for i, text in enumerate(rows)],
}


def as_columns(batch):
    """A labelled batch of any kind as lists, with None where there is no value."""
    if isinstance(batch, list):
        batch = {name: [row[name] for row in batch] for name in batch[0]}
    elif hasattr(batch, "to_pydict"):
        return batch.to_pydict()
    elif isinstance(batch, pd.DataFrame):
        batch = {name: batch[name].tolist() for name in batch}
    return {name: [None if value != value else value for value in values] for name, values in batch.items()}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_every_kind_of_batch_comes_back_with_the_labels_of_the_classifier(make, home, expected):
    batch = make([*TEXTS[:3], None, *TEXTS[3:]])
    found = BatchScorer(home / "prompt")(batch)
    assert type(found) is type(batch)
    if isinstance(batch, pd.DataFrame):
        pd.testing.assert_frame_equal(found[["text", "id"]], batch)
    rows = as_columns(found)
    assert [*rows] == ["text", "id", *NAMES]
    assert rows["text"] == [*TEXTS[:3], None, *TEXTS[3:]]
    assert rows["id"] == [*range(7)]
    labels, probabilities = expected
    assert rows["label"] == [*labels[:3], None, *labels[3:]]
    reason = rows["error"].pop(3)
    assert reason.endswith(": drop the row or give it a text, if only an empty one")  # of pandas a missing value
    assert rows["error"] == [None] * 6
    pairs = [*zip(rows[NAMES[1]], rows[NAMES[2]], strict=True)]
    assert pairs.pop(3) == (None, None)
    np.testing.assert_allclose(pairs, probabilities, atol=1e-6)


def test_texts_become_dicts_with_the_field_of_the_template(home, expected):
    rows = BatchScorer(home / "prompt", column="predicted")([*TEXTS, None])
    assert [row["text"] for row in rows] == [*TEXTS, None]
    assert [row["predicted"] for row in rows] == [*expected[0], None]
    assert rows[-1]["error"] == NO_TEXT


def test_types_of_columns_are_those_of_every_batch(home, tmp_path):
    """A batch of bad rows alone, or of none, has the columns of all others, so that batches can be joined."""
    PromptClassifier(str(home / "bert"), "<text> <mask>", {1: "good", 0: "bad"}).save(tmp_path / "numbers")
    for folder, kind in ((home / "prompt", pyarrow.string()), (tmp_path / "numbers", pyarrow.int64())):
        scorer = BatchScorer(folder)
        tables = [scorer(pyarrow.table({"text": pyarrow.array(rows, "string")})) for rows in (TEXTS, [None], [])]
        assert tables[0].schema.types == [pyarrow.string(), kind, *[pyarrow.float64()] * 2, pyarrow.string()]
        assert tables[0].schema == tables[1].schema == tables[2].schema
        frames = [scorer(pd.DataFrame({"text": rows}, dtype=object)) for rows in (TEXTS, [None], [])]
        assert frames[0].dtypes.tolist() == frames[1].dtypes.tolist() == frames[2].dtypes.tolist()
    assert {*tables[0]["label"].to_pylist()} <= {0, 1}


def test_choices_are_words(home, tmp_path):
    choices = FieldVerbalizer("choices", most=3, answers="word")
    PromptClassifier(str(home / "bert"), "<text> It was <mask>", choices).save(tmp_path / "choices")
    table = pyarrow.table({"text": TEXTS[:2], "choices": [["good", "bad"], ["great", "bad", "terrible"]]})
    found = BatchScorer(tmp_path / "choices")(table)
    assert found.schema.field("label").type == pyarrow.string()
    assert found["error"].null_count == 2
    assert found["label"][0].as_py() in ("good", "bad")


def test_ensembles_and_versions_are_scored(home, tmp_path):
    members = [PromptClassifier(str(home / "bert"), f"<text> {end} <mask>", WORDS) for end in ("It was", "A")]
    ensemble = PromptEnsemble(members).fit(TEXTS, ["positive", "negative"] * 3)
    ensemble.save(tmp_path / "ensemble")
    rows = BatchScorer(tmp_path / "ensemble")(TEXTS)
    assert [row["label"] for row in rows] == ensemble.predict(TEXTS).tolist()
    registry = Registry(tmp_path / "prompts")
    version = registry.add(home / "prompt", "reviews")
    assert BatchScorer(version)(TEXTS) == BatchScorer(home / "prompt")(TEXTS)


def test_pickles_hold_names_and_a_process_loads_once(home, monkeypatch):
    from softcloze import backbone

    scorer = BatchScorer(home / "prompt")
    before = scorer(TEXTS)
    sent = pickle.dumps(scorer)
    assert len(sent) < 1000
    monkeypatch.setattr(backbone, "load_backbone", None)  # not called again
    assert pickle.loads(sent)(TEXTS) == before
    with ThreadPoolExecutor(4) as pool:
        assert all(rows == before for rows in pool.map(pickle.loads(sent), [TEXTS] * 8))


@pytest.mark.slow
def test_a_process_of_its_own_loads_by_the_names(home, expected):
    scorer = BatchScorer(home / "prompt", threads=1)
    scorer.load()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        parts = pool.map(scorer, [TEXTS[:3], TEXTS[3:]])
    assert [row["label"] for part in parts for row in part] == expected[0]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_after_loading_says_so(home):
    scorer = BatchScorer(home / "prompt")
    scorer.load()
    with multiprocessing.get_context("fork").Pool(1) as pool, pytest.raises(ParameterError, match="forked after"):
        pool.map(scorer, [TEXTS])


def test_another_prompt_or_model_on_this_machine_is_an_error_with_both(home, tmp_path):
    with pytest.raises(ArtifactError) as caught:
        BatchScorer(home / "prompt", model=home / "roberta")(TEXTS)
    assert str(home / "bert") in str(caught.value)
    assert str(home / "roberta") in str(caught.value)
    PromptClassifier(str(home / "bert"), "<text> <mask>", WORDS).save(tmp_path / "prompt")
    scorer = BatchScorer(tmp_path / "prompt")
    PromptClassifier(str(home / "bert"), "<text> So <mask>", WORDS).save(tmp_path / "prompt")
    with pytest.raises(ArtifactError, match="holds another prompt here"):
        scorer(TEXTS)


@pytest.mark.parametrize(
    "batch, problem",
    [
        ("a text", "found str"),
        (pd.Series(TEXTS), "found Series"),
        (None, "found NoneType"),
        ({"text": "a text"}, "column 'text' of a batch is 'a text'; expected an array or a list"),
        ({"text": TEXTS, "id": [1]}, "differ in length: {'text': 6, 'id': 1}"),
        ({"text": TEXTS, "label": TEXTS}, "columns 'label' already"),
        ([{"text": "a", "error": "b"}], "columns 'error' already"),
    ],
)
def test_a_batch_of_no_use_is_an_error(batch, problem, home):
    with pytest.raises(DataError) as caught:
        BatchScorer(home / "prompt")(batch)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"model": 3}, {"threads": 0}, {"threads": "2"}, {"encoder": 1}, {"column": None}, {"column": "error"}]
)
def test_parameters_are_checked(wrong, home):
    with pytest.raises(ParameterError, match=f"{next(iter(wrong))}="):
        BatchScorer(home / "prompt", **wrong)
    with pytest.raises(ParameterError, match="prompt="):
        BatchScorer(3)


def test_prompts_that_do_not_give_one_label_are_errors_before_a_model_is_loaded(home, tmp_path):
    clf = MultiLabelPromptClassifier(models.backbone("bert"), "<text> <mask>", WORDS, epochs=1)
    clf.fit(TEXTS, np.array([[1, 0], [0, 1]] * 3)).save(tmp_path / "several")
    with pytest.raises(ArtifactError, match="several labels"):
        BatchScorer(tmp_path / "several")
