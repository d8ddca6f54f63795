"""Fuzz parameters, label words, data and files: whatever they are, only errors of softcloze are raised.

Usage: python fuzz/inputs.py [SECONDS [SEED]]     (or: make fuzz SECONDS=600)

Classifiers get right and wrong parameters, label words, containers of texts and of labels, and fit tiny models of
random weights; commands read mutated files. Rounds have consecutive seeds; each kind of failure is printed once, with
its smallest case and a seed that reproduces it.
"""

import copy
import csv
import inspect
import io
import json
import os
import sys
import tempfile
import warnings
from datetime import date
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: names of models are made up here

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers.utils import logging
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from rounds import Expected, run
from support import models

from softcloze import (
    Backbone,
    MultiLabelPromptClassifier,
    PromptClassifier,
    PromptEnsemble,
    PromptSet,
    Protocol,
    Template,
    load_backbone,
    predict_stream,
    refine_words,
    search_label_words,
)
from softcloze.cli.app import app
from softcloze.lint import lint
from softcloze.training import TrainingSettings
from softcloze.verbalizer import OrdinalVerbalizer, RuleVerbalizer, Verbalizer


def round_of(cases: int) -> settings:
    """The settings of a round."""
    return settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


class Colour(Enum):
    """Labels as people keep them in code."""

    RED = "good"
    BLUE = "bad"


class Mark(str, Enum):  # noqa: UP042 - unlike StrEnum, str() of it is another text
    """Labels that are text as well."""

    UP = "good"
    DOWN = "bad"


class Odd:
    """An object that no parameter expects."""

    def __repr__(self) -> str:
        return "Odd()"


# -- parameters --

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        [10**20, -(10**20), b"a", [], ["a"], [1, "a"], {}, {"a": 1}, {1}, (1, 2), range(2), 1j, int, len, Odd(), Odd]
    ),
    st.sampled_from([np.int64(2), np.float64(0.5), np.float32("nan"), np.bool_(True), np.str_("a"), np.array(1)]),
    st.sampled_from([np.array([1, 2]), np.array(["a", "b"]), np.random.default_rng(0), np.random.RandomState(0)]),
    st.sampled_from([Fraction(1, 2), Decimal("0.5"), Path("x"), pd.NA, pd.NaT, date(2020, 1, 1), Colour.RED, Mark.UP]),
    st.sampled_from([pd.Series([1, 2]), pd.DataFrame({"text": ["a"]}), pl.Series(["a"]), TrainingSettings()]),
)
TEMPLATES = [
    "<text> It was <mask>.",
    "<soft*2> <text> It was <mask>.",
    "<text> <mask>",
    "<text max=3 keep=tail> <soft name=a><mask>",
    "<demos*2> <text> It was <mask>.",
    "<title> <text> <soft> <mask>",
    "{% if title %}{{ title }}{% endif %} <text> <mask>",
    "<text> <mask name=a> and <mask name=b>.",
    "<options>: <text> <mask>",
    "{text} It was <mask>.",
    "no field <mask>",
    "<text",
    "sentiment/en",
    "",
    Template("<text> <soft> <mask>"),
]
BACKBONES = ["bert", "bert", "gpt2", "t5"]
ODD_MODELS = [
    models.model("bert"),
    (models.model("bert"), models.tokenizer("wordpiece")),
    (models.model("gpt2"), models.tokenizer("wordpiece")),
    models.tokenizer("gpt2"),
    torch.nn.Linear(2, 2),
    "starter:nothing",
    "~/nothing",
    "nothing.gguf",
    Path("nothing"),
]


def settings_of_training(odd: bool) -> st.SearchStrategy[Any]:
    """Options of training; one or two wrong ones if `odd`."""
    valid = {
        "head_learning_rate": st.sampled_from([0.1, 1]),
        "warmup_fraction": st.sampled_from([0, 0.5]),
        "target_loss": st.sampled_from([0, 0.2, 100.0]),
        "average_last_epochs": st.sampled_from([0, 1, 3]),
        "early_stopping": st.booleans(),
        "validation_fraction": st.sampled_from([0.2, 0.5]),
        "n_iter_no_change": st.just(1),
        "checkpoint": st.sampled_from([None, None, "checkpoint", Path("checkpoint")]),
        "cache_memory": st.sampled_from(["2GiB", 0, "1.5 MB"]),
        "on_epoch": st.sampled_from([None, [].append]),
        "max_grad_norm": st.just(1.0),
    }
    return parameters(valid, odd).map(lambda options: TrainingSettings(**options))


@st.composite
def parameters(draw: Any, valid: dict[str, Any], odd: bool, always: tuple[str, ...] = ()) -> dict[str, Any]:
    """Values for some parameters and for those that are `always` given; one or two may be wrong if `odd`."""
    names = sorted(valid)
    wrong = draw(st.sets(st.sampled_from(names), min_size=1, max_size=2)) if odd else set()
    given = {*draw(st.sets(st.sampled_from(names), max_size=4)), *always, *wrong}
    return {name: draw(_wrong(name) if name in wrong else valid[name]) for name in sorted(given)}


def _wrong(name: str) -> st.SearchStrategy[Any]:
    if name == "model":
        return st.one_of(ANYTHING, st.sampled_from(ODD_MODELS))
    if name in ("epochs", "cv"):  # a large number is right, and takes its time
        return ANYTHING.filter(lambda value: not (isinstance(value, int | float | Decimal) and value > 5))
    return ANYTHING


# -- label words --

WORDS = ["good", "bad", "great", "terrible", "a delight", "好", "差", "very good indeed", " good", "Good", "xyzzy", ""]
LABELS = [
    ["neg", "pos"],
    [0, 1],
    [1, 2, 3],
    ["差", "好"],
    [True, False],
    [np.int64(0), np.int64(1)],
    [np.str_("a"), np.str_("b")],
    [Colour.RED, Colour.BLUE],
    [Mark.UP, Mark.DOWN],
    [1, "1"],
    [1.0, 2.0],
    [None, "a"],
    ["a"],
    [],
    [date(2020, 1, 1), date(2020, 1, 2)],
    ["a", "a "],
    [10**20, 3],
]
label_words = st.one_of(
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(WORDS), max_size=3),
    st.dictionaries(st.sampled_from(WORDS), st.sampled_from([1, 0.5, 2.0, 0, -1, float("nan"), "1"]), max_size=2),
    ANYTHING,
)


@st.composite
def verbalizers(draw: Any, labels: list[Any], odd: bool) -> Any:
    """Label words of every kind; wrong ones if `odd`."""
    apart = dict(zip(labels, draw(st.permutations(WORDS[:8])), strict=False))
    words = {label: draw(label_words) for label in labels} if odd else apart
    kind = draw(st.sampled_from(["dict"] * 4 + ["none", "verbalizer", "ordinal"] + ["rules", "name", "wrong"] * odd))
    match kind:
        case "dict":
            return words
        case "none":
            return None
        case "verbalizer":
            aggregation = draw(st.sampled_from(["log_mean_prob", "max_log_prob", "mean_log_prob"]))
            return Verbalizer(words, aggregation, decoding=draw(st.sampled_from(["together", "most_confident"])))
        case "ordinal":
            poles = [draw(label_words) for _ in range(2)] if odd else ["bad", ["good", "great"]]
            return OrdinalVerbalizer(labels, *poles)
        case "rules":
            return RuleVerbalizer({label: {"a": word, "b": draw(label_words)} for label, word in words.items()})
        case "name":
            return draw(st.sampled_from(["sentiment/en", "sentiment/zh", "no-such", ""]))
    return draw(ANYTHING)


# -- texts and labels in every container --

TEXTS = [
    "A delight.",
    "Dull.",
    "这部电影很好。",
    "",
    " ",
    "It was <mask> [MASK] {{ 7 }} \\<b>",
    "dull " * 200,
    "\ud800\0",
]
ODD_TEXTS = [None, float("nan"), pd.NA, 3, 2.5, True, b"a", ["a", "b"], {"text": "a"}, np.str_("a"), date(2020, 1, 1)]


def _frame(texts: list[Any]) -> dict[str, list[Any]]:
    return {"text": texts, "title": [f"title {i}" for i in range(len(texts))], "other": [1.5] * len(texts)}


CONTAINERS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda values: (value for value in values),
    "array": np.array,
    "array of objects": lambda values: np.array([*values, None], dtype=object)[:-1],
    "column array": lambda values: np.array([*values, None], dtype=object)[:-1, None],
    "series": pd.Series,
    "series with labels": lambda values: pd.Series(values, index=[f"row {i}" for i in range(len(values))]),
    "categories": lambda values: pd.Series(values, dtype="category"),
    "strings": lambda values: pd.Series(values, dtype="string"),
    "index": pd.Index,
    "polars": lambda values: pl.Series(values, strict=False),
    "pyarrow": lambda values: pa.array(values),
    "frame": lambda values: pd.DataFrame(_frame(values)),
    "frame of one column": lambda values: pd.DataFrame({"text": values}),
    "frame of two equal columns": lambda values: pd.DataFrame([[v, v] for v in values], columns=["text", "text"]),
    "polars frame": lambda values: pl.DataFrame(_frame(values), strict=False),
    "polars frame, lazy": lambda values: pl.DataFrame(_frame(values), strict=False).lazy(),
    "table": lambda values: pa.table(_frame(values)),
    "data set": lambda values: datasets.Dataset.from_dict(_frame(values)),
    "column of a data set": lambda values: datasets.Dataset.from_dict(_frame(values))["text"],
    "dicts": lambda values: [{"text": value, "title": "a", "extra": 1} for value in values],
    "dicts with missing keys": lambda values: [{"text": v} if i else {} for i, v in enumerate(values)],
    "mappings and texts": lambda values: [{"text": v} if i % 2 else v for i, v in enumerate(values)],
    "dict of lists": _frame,
    "set": set,
    "one text": lambda values: str(values),
    "lists": lambda values: [[value] for value in values],
    "bytes": lambda values: b"a",
    "nothing": lambda values: None,
    "number": lambda values: 3,
}
USUAL = ["list", "array of objects", "series", "frame", "polars", "dicts", "data set"]
USUAL_LABELS = ["list", "array", "series", "categories", "polars", "column array"]


@st.composite
def containers(draw: Any, values: list[Any], usual: list[str], odd: bool) -> Any:
    """The values in a usual container; if `odd`, in one that may not hold them."""
    name = draw(st.sampled_from(sorted(CONTAINERS) if odd else usual))
    try:
        return CONTAINERS[name](values)
    except Exception:  # a container that does not hold these values
        return values


@st.composite
def examples(draw: Any, count: int, odd: set[str]) -> Any:
    """Texts in a container."""
    texts = [draw(st.sampled_from(TEXTS)) for _ in range(count)]
    if "text" in odd and texts:
        texts[draw(st.integers(0, count - 1))] = draw(st.sampled_from(ODD_TEXTS))
    return draw(containers(texts, USUAL, "container of texts" in odd))


@st.composite
def targets(draw: Any, labels: list[Any], count: int, odd: set[str]) -> Any:
    """A label for each example, in a container; some more or other ones if labels are odd."""
    values = [labels[i % len(labels)] for i in range(count)] if labels else []
    if "missing label" in odd:
        values = values[draw(st.integers(0, 2)) :]
        values += draw(st.lists(st.sampled_from([*labels, None, float("nan"), "unknown", 7, pd.NA]), max_size=2))
    return draw(containers(draw(st.permutations(values)), USUAL_LABELS, "container of labels" in odd))


@st.composite
def several_targets(draw: Any, labels: list[Any], count: int, odd: set[str]) -> Any:
    """Any number of labels for each example, as collections or as a matrix."""
    rows = [draw(st.lists(st.sampled_from(labels), unique_by=repr)) if labels else [] for _ in range(count)]
    if count > 1 and "missing label" not in odd:
        rows[:2] = [labels, []]  # each label is there, and is missing
    matrix = np.array([[label in row for label in labels] for row in rows], dtype=int).reshape(count, len(labels))
    kinds = ["lists", "sets", "matrix", "sparse", "frame", "series"] + ["wrong"] * 3 * ("container of labels" in odd)
    match draw(st.sampled_from(kinds)):
        case "lists":
            return rows
        case "sets":
            return [set(row) for row in rows]
        case "matrix":
            return matrix.astype(draw(st.sampled_from([int, bool, float, str, object])))
        case "sparse":
            return csr_array(matrix)
        case "frame":
            return pd.DataFrame(matrix, columns=labels)
        case "series":
            return pd.Series(rows)
    return draw(st.one_of(ANYTHING, targets(labels, count, odd)))


# -- classifiers --


def shared(name: str) -> Any:
    """The tiny model of this name."""
    return models.backbone(name)


COMMON = {
    "model": st.sampled_from(BACKBONES).map(shared),
    "template": st.sampled_from(TEMPLATES[:2] * 2 + TEMPLATES[:9]),
    "soft_init": st.sampled_from(["template", "labels", "vocabulary"]),
    "epochs": st.sampled_from([1, np.int64(1)]),
    "batch_size": st.sampled_from([1, 4, 10**6]),
    "learning_rate": st.sampled_from([0.04, 1, np.float32(0.1)]),
    "max_length": st.sampled_from([None, 20, 12, 10**9]),
    "training": settings_of_training(odd=False),
    "random_state": st.sampled_from([0, None, 10**9, np.int64(3), np.random.RandomState(0)]),
}
SINGLE = COMMON | {
    "head": st.sampled_from(["words", "words", "warp", "linear", "prototypes"]),
    "demonstrations": st.sampled_from(["random", "nearest", TfidfVectorizer(analyzer="char")]),
    "calibration": st.sampled_from([None, None, "contextual", "domain", "pmi", "batch", "prototypical", "temperature"]),
    "warm_start": st.booleans(),
}


def used(classifier: Any, X: Any, y: Any, new: Any) -> None:
    """Fit a classifier, predict with it, save it and load it: outputs are finite, and the loaded one gives the same."""
    repr(classifier)
    clone(classifier)
    with Expected(NotFittedError):
        classifier.predict(new)
    classifier.fit(X, y)
    probabilities = classifier.predict_proba(["A delight.", "Dull."] if _plain(classifier) else new)
    assert np.isfinite(probabilities).all(), probabilities
    assert ((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all(), probabilities
    if not isinstance(classifier, MultiLabelPromptClassifier):
        assert np.allclose(probabilities.sum(1), 1), probabilities
    assert probabilities.shape[1] == len(classifier.classes_)
    with tempfile.TemporaryDirectory() as folder:
        classifier.save(f"{folder}/saved")
        again = type(classifier).load(f"{folder}/saved", shared_of(classifier))
        if _plain(classifier):
            assert np.array_equal(again.predict_proba(["A delight.", "Dull."]), probabilities)
    prediction = classifier.predict(new)
    classifier.score(X, y)
    if not isinstance(classifier, MultiLabelPromptClassifier):
        assert set(prediction.tolist()) <= set(classifier.classes_.tolist())


def shared_of(classifier: Any) -> Any:
    """The backbone of a fitted classifier."""
    members = getattr(classifier, "classifiers_", [classifier])
    return members[0].backbone_


def _plain(classifier: Any) -> bool:
    """True if examples of the classifier are texts."""
    members = getattr(classifier, "classifiers_", [classifier])
    return all(len(member.prompt_.template.fields) == 1 for member in members)


ODDITIES = [
    "parameter",
    "training",
    "template",
    "label",
    "label words",
    "text",
    "container of texts",
    "container of labels",
    "missing label",
    "count",
]
oddities = st.sets(st.sampled_from(ODDITIES), max_size=2)


@st.composite
def cases(draw: Any, valid: dict[str, Any], several: bool) -> Any:
    """Parameters, label words, examples and labels, which fit but for up to two things."""
    odd = draw(oddities)
    labels = draw(st.sampled_from(LABELS if "label" in odd else LABELS[:4]))
    count = draw(st.sampled_from([0, 1, 2, 3] if "count" in odd else [6, 8]))
    chosen = draw(parameters(valid, "parameter" in odd, ("model", "template", "epochs")))
    if "template" in odd:
        chosen["template"] = draw(st.sampled_from(TEMPLATES))
    if "training" in odd:
        chosen["training"] = draw(settings_of_training(odd=True))
    y = (several_targets if several else targets)(labels, count, odd)
    return chosen, labels, "label words" in odd, draw(examples(count, odd)), draw(y), draw(examples(2, odd))


def any_classifier(kind: Any, case: Any, data: Any) -> None:
    """A classifier works, or raises an error of softcloze."""
    chosen, labels, odd, X, y, new = case
    with Expected():
        used(kind(verbalizer=data.draw(verbalizers(labels, odd)), **chosen), X, y, new)


def any_single(case: Any, data: Any) -> None:
    """A PromptClassifier works, or raises an error of softcloze."""
    any_classifier(PromptClassifier, case, data)


def any_multilabel(case: Any, data: Any) -> None:
    """A MultiLabelPromptClassifier works, or raises an error of softcloze."""
    any_classifier(MultiLabelPromptClassifier, case, data)


MEMBERS = [
    PromptClassifier(models.backbone("bert"), template, {"neg": "bad", "pos": "good"}, epochs=1, random_state=0)
    for template in ("<text> It was <mask>.", "A <mask> film: <text>", "<soft*2> <text> <mask>")
]
ENSEMBLE = {
    "classifiers": st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=3),
    "weights": st.sampled_from(["equal", "development", "stacked"]),
    "average": st.sampled_from(["probabilities", "log_probabilities"]),
    "cv": st.sampled_from([2, 3, 4]),
    "random_state": st.sampled_from([0, None, np.random.RandomState(0)]),
}


@st.composite
def together(draw: Any) -> Any:
    """An ensemble with examples and labels."""
    odd = draw(oddities)
    count = draw(st.sampled_from([0, 1, 2, 3] if "count" in odd else [8]))
    chosen = draw(parameters(ENSEMBLE, "parameter" in odd, ("classifiers",)))
    return chosen, draw(examples(count, odd)), draw(targets(["neg", "pos"], count, odd)), draw(examples(2, odd))


def any_ensemble(case: Any) -> None:
    """A PromptEnsemble works, or raises an error of softcloze."""
    chosen, X, y, new = case
    with Expected():
        used(PromptEnsemble(**chosen), X, y, new)


# -- methods and functions --


def fitted() -> list[Any]:
    """Fitted classifiers of each kind, whose calls leave nothing behind that others would see."""
    texts, labels = models.SENTENCES[:6], ["neg", "pos"] * 3
    rows = [{"title": "a", "text": text} for text in texts]
    options = {"epochs": 1, "random_state": 0}
    words = {"neg": "bad", "pos": ["good", "great"]}
    single = [
        PromptClassifier(models.backbone(name), template, words, **options, **more).fit(rows, labels)
        for name, template, more in [
            ("bert", "<text> It was <mask>.", {"calibration": "batch"}),
            ("gpt2", "<soft*2> <text> It was <mask>", {}),
            ("bert", "{% if title %}{{ title }}{% endif %} <text> <mask>", {"head": "linear"}),
        ]
    ]
    several = MultiLabelPromptClassifier(models.backbone("bert"), "<soft> <text> <mask>", words, **options)
    return [*single, several.fit(texts, [["neg"], ["pos"], []] * 2), PromptEnsemble(MEMBERS).fit(texts, labels)]


FITTED = fitted()
X_METHODS = [
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "calibrate",
    "explain",
    "predict_stream",
]
Y_METHODS = ["score", "partial_fit", "fit_probabilities", "self_train", "fit"]
FUNCTIONS = {
    "search_label_words": search_label_words,
    "refine_words": refine_words,
    "TrainingSettings": lambda *given: TrainingSettings(*given).validate(),
    "load_backbone": load_backbone,
    "Backbone": Backbone,
    "Template": Template,
    "PromptSet": PromptSet,
    "Protocol": Protocol,
    "lint": lint,
    "load": PromptClassifier.load,
}


@st.composite
def calls(draw: Any) -> tuple[Any, str, tuple[Any, ...], dict[str, Any]]:
    """A classifier, the name of a method and its arguments."""
    classifier = draw(st.sampled_from(FITTED))
    name = draw(st.sampled_from([*X_METHODS, *Y_METHODS, "save", "set_params", "load"]))
    odd = draw(oddities)
    count = draw(st.sampled_from([0, 1, 2] if "count" in odd else [4]))
    first = draw(st.one_of(examples(count, odd), ANYTHING) if "parameter" in odd else examples(count, odd))
    if name in X_METHODS:
        return classifier, name, (first,), {}
    if name in Y_METHODS:
        second = st.one_of(ANYTHING, targets(["neg", "pos"], count, odd), st.just(np.full((count, 2), 0.5)))
        third = (draw(examples(2, odd)),) if name == "self_train" else ()
        return classifier, name, (first, draw(second), *third), {}
    if name == "set_params":
        names = sorted(classifier.get_params(deep=False))  # for others scikit-learn has its own error
        return classifier, name, (), {draw(st.sampled_from(names)): draw(ANYTHING)}
    return classifier, name, (draw(ANYTHING),), {}


def any_call(case: tuple[Any, str, tuple[Any, ...], dict[str, Any]]) -> None:
    """A method works on any arguments, or raises an error of softcloze; so does predict afterwards."""
    classifier, name, given, named = case
    one = copy.copy(classifier)
    with Expected(NotFittedError):
        if name == "predict_stream":
            for prediction in predict_stream(one, *given, window=2):
                assert prediction.error is not None or prediction.label in one.classes_
        elif name == "set_params":
            one.set_params(**named)
            one.predict(["A delight."])
        elif hasattr(one, name):
            getattr(one, name)(*given)


@st.composite
def function_calls(draw: Any) -> tuple[str, list[Any]]:
    """The name of a function and some arguments, of which the first ones are right."""
    name = draw(st.sampled_from(sorted(FUNCTIONS)))
    right: dict[str, list[Any]] = {
        "search_label_words": [shared("bert"), "<text> It was <mask>.", TEXTS[:4], ["neg", "pos"] * 2],
        "refine_words": [shared("bert"), "<text> It was <mask>.", {"neg": ["bad"], "pos": ["good"]}, TEXTS[:4]],
        "lint": ["<text> <mask>", {"neg": "bad", "pos": "good"}],
    }
    given = list(right.get(name, []))
    if given and draw(st.integers(0, 3)):
        given[draw(st.integers(0, len(given) - 1))] = draw(ANYTHING)
        return name, given
    return name, draw(st.lists(ANYTHING, min_size=len(given) or 1, max_size=len(given) or 2))


def any_function(case: tuple[str, list[Any]]) -> None:
    """A function works on any arguments, or raises an error of softcloze."""
    name, given = case
    try:
        inspect.signature(FUNCTIONS[name]).bind(*given)
    except TypeError:  # Python's own, for a missing argument
        return
    with Expected():
        FUNCTIONS[name](*given)


@st.composite
def words_alone(draw: Any) -> Any:
    """A class of verbalizers and its arguments."""
    labels = draw(st.one_of(st.sampled_from(LABELS), st.lists(ANYTHING, max_size=3)))
    anything = st.one_of(label_words, ANYTHING)
    options = draw(st.dictionaries(st.sampled_from(["aggregation", "length_norm", "decoding"]), ANYTHING, max_size=1))
    pairs = [(label, draw(anything)) for label in labels]
    try:
        words = draw(st.sampled_from([dict(pairs), pairs, labels, draw(ANYTHING)]))
    except TypeError:  # a label that no mapping takes
        words = pairs
    match draw(st.sampled_from(["words", "ordinal", "rules"])):
        case "words":
            return Verbalizer, (words,), options
        case "ordinal":
            return OrdinalVerbalizer, (draw(st.sampled_from([labels, words])), draw(anything), draw(anything)), options
    rules = {i: draw(st.dictionaries(st.sampled_from(["a", "b", 1, ""]), anything, max_size=2)) for i in range(2)}
    return RuleVerbalizer, (draw(st.sampled_from([rules, words])),), {}


def any_verbalizer(case: Any) -> None:
    """Label words make a verbalizer, which prints and goes through JSON, or raise an error of softcloze."""
    made, arguments, options = case
    with Expected():
        verbalizer = made(*arguments, **options)
        repr(verbalizer)
        assert made.from_dict(json.loads(json.dumps(verbalizer.to_dict()))) == verbalizer


# -- files --

VALUES = [
    "A delight.",
    "Dull.",
    "pos",
    "neg",
    "",
    " ",
    '"',
    'say "no"',
    "a,b",
    "a;b",
    "a\tb",
    "a\nb",
    "很好",
    "\0",
    "NA",
    "1",
]
NAMES = ["text", "label", "id", "Text", "", " text", "评论", "text;label", "prediction", "sep=,"]
ENCODINGS = ["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "gbk", "latin-1"]
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(VALUES)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=4,
)
ENDINGS = [".csv", ".csv", ".tsv", ".jsonl", ".parquet", ".txt", ".json", ".gz", ""]


@st.composite
def tables(draw: Any) -> tuple[str, bytes]:
    """The ending and the content of a file of rows, most often a right one, with a few bytes changed."""
    ending = draw(st.sampled_from(ENDINGS))
    names = ["text", "label", *draw(st.lists(st.sampled_from(NAMES), max_size=1))]
    if not draw(st.integers(0, 3)):
        names = draw(st.lists(st.sampled_from(NAMES), max_size=3))
    rows = draw(st.lists(st.lists(st.sampled_from(VALUES), min_size=len(names), max_size=len(names)), max_size=5))
    if ending in (".jsonl", ".json"):
        lines = [draw(JSON) if not draw(st.integers(0, 4)) else dict(zip(names, row, strict=True)) for row in rows]
        content = "\n".join(json.dumps(line, ensure_ascii=draw(st.booleans())) for line in lines).encode()
    elif ending == ".parquet":
        buffer = io.BytesIO()
        columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
        if not draw(st.integers(0, 2)):
            columns |= {
                "odd": draw(st.sampled_from([[[1]], [{"a": 1}], [1.5], [None], [b"a"], [date(2020, 1, 1)]])) * len(rows)
            }
        pq.write_table(pa.table(columns), buffer)
        content = buffer.getvalue()
    else:
        text = io.StringIO(newline="")
        delimiter = draw(st.sampled_from(["\t" if ending == ".tsv" else ",", ";", "|"]))
        quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        writer = csv.writer(
            text, delimiter=delimiter, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))
        )
        writer.writerows([names, *rows])
        content = text.getvalue().encode(draw(st.sampled_from(ENCODINGS)), "replace")
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        at = draw(st.integers(0, len(content)))
        new = draw(st.sampled_from([b"", b'"', b"\n", b",", b"\0", b"\xff", b"{", content[:3], b"\t", b"\r"]))
        content = content[:at] + new + content[at + draw(st.integers(0, 3)) :]
    return ending, content


def _folder() -> Path:
    """A folder with a model and two saved prompts."""
    folder = Path(tempfile.mkdtemp())
    models.model("bert").save_pretrained(folder / "model")
    models.tokenizer("wordpiece").save_pretrained(folder / "model")
    words = {"neg": "bad", "pos": "good"}
    hard = PromptClassifier(str(folder / "model"), "<text> It was <mask>.", words, model_options={"dtype": "float32"})
    hard.save(folder / "hard")
    PromptClassifier(str(folder / "model"), "<soft> <text> <mask>", words, epochs=1).fit(
        TEXTS[:2], ["neg", "pos"]
    ).save(folder / "soft")
    return folder


def any_file(case: tuple[str, bytes], command: str, options: list[str]) -> None:
    """A command reads a file of any content, or ends with an error of softcloze."""
    ending, content = case
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"rows{ending}"
        file.write_bytes(content)
        fixed = {
            "predict": ["predict", str(file), "--prompt", str(FOLDER / "hard"), "--out", f"{folder}/out{ending}"],
            "evaluate": ["evaluate", str(file), "--prompt", str(FOLDER / "soft")],
            "fit": ["fit", str(file), *FIT, "--model", str(FOLDER / "model"), "--out", f"{folder}/prompt"],
            "lint": ["lint", str(file)],
        }[command]
        with Expected():
            result = CliRunner().invoke(app, [*fixed, *options])
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception


OPTIONS = st.sampled_from([[], [], ["--text-column", "text"], ["--text-column", "评论"], ["--label-column", "id"]])
FIT = ["--template", "<soft> <text> <mask>", "--epochs", "1"]
COMMANDS = st.sampled_from(["predict", "predict", "evaluate", "fit", "lint"])


def main() -> int:
    """Run every property for its share of the time."""
    global FOLDER
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    FOLDER = _folder()
    os.chdir(tempfile.mkdtemp())  # some parameters name files
    properties = {
        "verbalizers": given(words_alone())(round_of(500)(any_verbalizer)),
        "classifiers": given(cases(SINGLE, False), st.data())(round_of(50)(any_single)),
        "several labels": given(cases(COMMON, True), st.data())(round_of(50)(any_multilabel)),
        "ensembles": given(together())(round_of(50)(any_ensemble)),
        "methods": given(calls())(round_of(100)(any_call)),
        "functions": given(function_calls())(round_of(100)(any_function)),
        "files": given(tables(), COMMANDS, OPTIONS)(round_of(50)(any_file)),
    }
    budget, first = [*map(float, sys.argv[1:2])] or [60.0], [*map(int, sys.argv[2:3])] or [None]
    return int(run(properties, "python fuzz/inputs.py", budget[0], first[0]) > 0)


if __name__ == "__main__":
    sys.exit(main())
