"""A classifier as a pipeline of transformers: the shapes of a real one, and the scores of `predict_proba`."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support import models
from transformers import BertConfig, BertForSequenceClassification, pipeline
from transformers.pipelines.pt_utils import KeyDataset, KeyPairDataset

from softcloze import PromptClassifier, PromptEnsemble
from softcloze.errors import DataError, ParameterError
from softcloze.integrations.transformers import as_pipeline

WORDS = {"positive": ["good", "great"], "negative": "bad", "mixed": "long"}
TEXTS = models.SENTENCES[:5]
PAIRS = [{"text": text, "text_pair": "It was good."} for text in TEXTS]
ROWS = [{"a": text, "b": "It was good.", "label": i} for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def real():
    """The pipeline of a tiny BERT with random weights and the same labels."""
    tokenizer = models.tokenizer("wordpiece")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config.id2label = dict(enumerate(sorted(WORDS)))
    config.label2id = {label: i for i, label in enumerate(sorted(WORDS))}
    model = BertForSequenceClassification(config).eval()
    return pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")


@pytest.fixture(scope="module")
def classifiers():
    """One for texts, and one for pairs."""
    backbone = models.backbone("bert")
    return tuple(PromptClassifier(backbone, f"{fields} It was <mask>.", WORDS) for fields in ("<text>", "<a> <b>"))


def shape(answer):
    """The kinds of an answer and of all in it; of an iterator those of a list, and that it is one."""
    if isinstance(answer, dict):
        return {name: type(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [shape(item) for item in answer]
    assert iter(answer) is not answer or hasattr(answer, "__next__")
    return "iterator", [shape(item) for item in answer]


@pytest.mark.parametrize("options", [{}, {"top_k": 1}, {"top_k": None}, {"top_k": 9}])
@pytest.mark.parametrize(
    "make",
    [
        lambda: TEXTS[0],
        lambda: PAIRS[0],
        lambda: TEXTS,
        lambda: TEXTS[:1],
        lambda: PAIRS,
        lambda: (text for text in TEXTS),
        lambda: KeyDataset(ROWS, "a"),
        lambda: KeyPairDataset(ROWS, "a", "b"),
    ],
    ids=["text", "pair", "list", "one", "pairs", "generator", "dataset", "pair dataset"],
)
def test_shapes_are_those_of_a_real_pipeline(real, classifiers, make, options):
    is_pair = make() in (PAIRS, PAIRS[0]) or isinstance(make(), KeyPairDataset)
    ours = as_pipeline(classifiers[is_pair])
    assert shape(ours(make(), **options)) == shape(real(make(), **options))


def test_scores_are_those_of_predict_proba(classifiers):
    clf, of_pairs = classifiers
    pipe = as_pipeline(clf)
    expected = clf.predict_proba(TEXTS)
    answers = pipe(TEXTS, top_k=None)
    order = np.argsort(-expected, axis=1)
    assert [[answer["label"] for answer in row] for row in answers] == clf.classes_[order].tolist()
    np.testing.assert_array_equal(
        [[answer["score"] for answer in row] for row in answers], np.take_along_axis(expected, order, 1)
    )
    assert [answer["label"] for answer in pipe(TEXTS)] == clf.predict(TEXTS).tolist()
    for window in (1, 2):
        parts = [clf.predict_proba(TEXTS[i : i + window]).max(1) for i in range(0, len(TEXTS), window)]
        for rows in (TEXTS, iter(TEXTS)):
            streamed = [answer["score"] for answer in pipe(rows, batch_size=window)]
            np.testing.assert_array_equal(streamed, np.concatenate(parts))
    by_field = [{"a": row["a"], "b": row["b"]} for row in ROWS]
    assert as_pipeline(of_pairs)(PAIRS) == as_pipeline(of_pairs)(by_field) == as_pipeline(of_pairs)(ROWS)


def test_a_stream_is_read_a_window_at_a_time(classifiers):
    read = []

    def rows():
        for text in TEXTS:
            read.append(text)
            yield text

    answers = as_pipeline(classifiers[0], batch_size=2)(rows())
    assert read == []
    next(answers)
    assert len(read) == 2


def test_rows_of_a_frame_are_rows_and_bytes_are_no_text(classifiers):
    pipe = as_pipeline(classifiers[0])
    frame = pd.DataFrame({"text": TEXTS, "id": range(5)})
    for rows in (frame, frame[["text"]].rename(columns={"text": "review"}), pa.Table.from_pandas(frame)):
        assert [*pipe(rows, batch_size=5)] == pipe(TEXTS)
    with pytest.raises(DataError, match="got one bytes"):
        pipe(b"A delight.")


def test_other_classifiers_and_labels(classifiers):
    backbone = models.backbone("bert")
    numbers = PromptClassifier(backbone, "<title> <text> It was <mask>.", {1: "good", 0: "bad"})
    pipe = as_pipeline(numbers)
    assert pipe.model.config.id2label == {0: "0", 1: "1"} and pipe.model.config.label2id == {"0": 0, "1": 1}
    assert pipe.model.config.num_labels == 2 and pipe.task == "text-classification"
    assert pipe({"title": "So", "text": "good"})["label"] in ("0", "1")
    ensemble = PromptEnsemble([classifiers[0], PromptClassifier(backbone, "<text> So <mask>.", WORDS)])
    answers = as_pipeline(ensemble)(TEXTS, truncation=True)
    np.testing.assert_array_equal([answer["score"] for answer in answers], ensemble.predict_proba(TEXTS).max(1))
    assert as_pipeline(ensemble)([{"text": text} for text in TEXTS]) == answers


def test_rows_that_cannot_be_scored_are_named(classifiers):
    pipe, of_pairs = map(as_pipeline, classifiers)
    assert pipe([]) == []
    for inputs, index in (([*TEXTS, None], 5), ([{"text": "a"}, {"label": 3}], 1)):
        with pytest.raises(DataError, match=f"row {index}: "):
            pipe(inputs)
    with pytest.raises(DataError, match=r"row 2: field 'text' is None"):
        [*pipe((text for text in [*TEXTS[:2], None]), batch_size=2)]
    with pytest.raises(DataError, match=r"row 0 has 'text', and the template has 2 fields: 'a', 'b'"):
        of_pairs({"text": "alone"})
    with pytest.raises(DataError, match=r"row 1 has 'text', 'text_pair', and the template has 1 field: 'text'"):
        pipe([TEXTS[0], PAIRS[0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"top_k": 0}, "top_k=0"), ({"batch_size": "8"}, "batch_size='8'"), ({"truncation": False}, "the template says")],
)
def test_options_are_checked(classifiers, options, message):
    with pytest.raises(ParameterError, match=message):
        as_pipeline(classifiers[0])(TEXTS, **options)
    with pytest.raises(ParameterError, match="a classifier for one label an example"):
        as_pipeline("starter:bert-tiny")
