"""Any edit of a saved prompt, sealed again with right checksums, is an ArtifactError or changes nothing."""

import json
import os
from copy import deepcopy
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from safetensors.torch import save
from support import models

from softcloze import (
    MultiLabelPromptClassifier,
    OrdinalVerbalizer,
    PromptClassifier,
    PromptEnsemble,
    PromptGenerator,
    RuleVerbalizer,
)
from softcloze.errors import ArtifactError, SoftclozeError
from softcloze.prompt import CARD, Prompt
from softcloze.prompt.card import PromptCard
from softcloze.prompt.tensors import VECTORS

TEXTS = models.SENTENCES[:8]
LABELS = ["neg", "pos"] * 4
WORDS = {"neg": {"bad": 2.0, "dull": 1.0}, "pos": "good"}
RULES = {"neg": {"a": "bad", "b": ["dull", "long"]}, "pos": {"a": "good", "b": "great"}}
TWO_MASKS = "<text> It was <mask name=a> and <mask name=b>."
DEEP = "<soft*2 layers=all> <text> <soft layers=1 mode=replace> It was <mask>."


def source_of(backbone):
    """A prompt from which a block starts."""
    clf = PromptClassifier(backbone, "<soft*2 name=task> It was <mask>: <text>", WORDS, epochs=1, random_state=0)
    return clf.fit(TEXTS, LABELS).prompt_


KINDS = {
    "soft": lambda b: PromptClassifier(
        b, "<soft*2 name=task> <text> It was <mask>.", WORDS, calibration="batch", soft_init=source_of(b)
    ),
    "deep": lambda b: PromptClassifier(b, DEEP, WORDS),
    "from": lambda b: PromptClassifier(
        b, "<soft*2 from=text from_by=states> <text> <soft from=text layers=1> It was <mask>.", WORDS
    ),
    "linear": lambda b: PromptClassifier(b, "<text> It was <mask>", WORDS, head="linear", calibration="temperature"),
    "words+linear": lambda b: PromptClassifier(
        b, "<text> It was <mask>", WORDS, head="words+linear", features="mean", class_weight={"pos": 2}
    ),
    "prototypes": lambda b: PromptClassifier(b, "<text> It was <mask>", WORDS, head="prototypes"),
    "fixed": lambda b: PromptClassifier(b, "<demos*2> <text> It was <mask>.", WORDS, calibration="prototypical"),
    "nearest": lambda b: PromptClassifier(b, "<demos*2> <text> It was <mask>.", WORDS, demonstrations="nearest"),
    "rules": lambda b: PromptClassifier(b, TWO_MASKS, RuleVerbalizer(RULES)),
    "ordinal": lambda b: PromptClassifier(
        b, "<text> It was <mask>.", OrdinalVerbalizer(["neg", "pos"], low="bad", high="good")
    ),
}
WRONG = [
    None, True, 0, -1, 10**30, 1.5, 1e308, "", "x", "../outside", "/etc/passwd", "0" * 64, "\ud800", "<soft*9>",
    [], [[]], ["x"], [[["x", 1]]], [None], {}, {"x": 1}, {"kind": "words"},
]  # fmt: skip


@pytest.fixture(scope="module")
def backbone():
    return models.backbone("bert")


@pytest.fixture(scope="module", params=[*KINDS, "thresholds"])
def saved(request, backbone, tmp_path_factory):
    """The folder of a saved prompt, and the class that loads it."""
    folder = tmp_path_factory.mktemp("saved") / "prompt"
    if request.param == "thresholds":
        words = {"a": "good", "b": "film"}
        clf = MultiLabelPromptClassifier(backbone, "<text> It was <mask>.", words, random_state=0)
        clf.fit(TEXTS, [["a"], ["b"], [], ["a", "b"]] * 2)
    else:
        clf = KINDS[request.param](backbone).set_params(epochs=1, random_state=0).fit(TEXTS, LABELS)
    clf.save(folder)
    return folder, type(clf)


def resealed(card):
    card = {key: value for key, value in card.items() if key != "card_sha256"}
    digest = sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
    return json.dumps({**card, "card_sha256": digest}, ensure_ascii=True)


def paths(value, path=()):
    """The path of every value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def changed(card, path, value):
    card = deepcopy(card)
    inner = card
    for key in path[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return card


def plausible(path):
    """Edits that make another prompt, which is nobody's mistake."""
    return path[0] in (
        "template",
        "verbalizer",
        "demonstrations",
        "calibration",
        "head",
        "features",
        "max_length",
        "chat_options",
    )


EVERY = pytest.mark.parametrize("step", [11, pytest.param(3, marks=pytest.mark.slow)])


@EVERY
def test_an_edit_of_any_entry(saved, backbone, step):
    folder, kind = saved
    text = (folder / CARD).read_text(encoding="utf-8")
    card = json.loads(text)
    expected = kind.load(folder, backbone).decision_function(TEXTS)
    edits = [(path, value) for path in paths(card) for value in [KeyError, *WRONG] if len(path) < 6]
    problems = []
    for path, value in edits[::step]:
        (folder / CARD).write_text(resealed(changed(card, path, value)), encoding="utf-8")
        try:
            scores = kind.load(folder, backbone).decision_function(TEXTS)
            if not plausible(path):
                np.testing.assert_array_equal(scores, expected)
        except ArtifactError:
            continue
        except SoftclozeError as error:
            if not plausible(path):
                problems.append((path, value, repr(error)))
        except Exception as error:  # noqa: BLE001 - any other is a fault
            problems.append((path, value, repr(error)))
    (folder / CARD).write_text(text, encoding="utf-8")
    assert problems == []


@EVERY
def test_an_edit_of_any_entry_of_an_ensemble(backbone, tmp_path, step):
    folder = tmp_path / "e"
    members = [PromptClassifier(backbone, f"<text> It was {word} <mask>.", WORDS) for word in ("so", "very")]
    ensemble = PromptEnsemble(members, weights="stacked", cv=2, random_state=0).fit(TEXTS, LABELS)
    ensemble.save(folder)
    card, expected = json.loads((folder / "ensemble.json").read_text()), ensemble.predict_proba(TEXTS)
    problems = []
    for path, value in [(path, value) for path in paths(card) for value in [KeyError, *WRONG]][::step]:
        (folder / "ensemble.json").write_text(resealed(changed(card, path, value)), encoding="utf-8")
        try:
            probabilities = PromptEnsemble.load(folder, backbone).predict_proba(TEXTS)
            if path[0] != "combination":
                np.testing.assert_array_equal(probabilities, expected)
        except ArtifactError:
            continue
        except Exception as error:  # noqa: BLE001 - any other is a fault
            problems.append((path, value, repr(error)))
    assert problems == []


@EVERY
def test_an_edit_of_any_entry_of_a_generator(tmp_path, step):
    folder, backbone = tmp_path / "g", models.backbone("gpt2")
    template = "<demos*2><soft*2 name=task><text>:<answer max=4>\n"
    options = {"num_beams": 2, "stop_strings": ["!"]}
    generator = PromptGenerator(backbone, template, epochs=1, random_state=0, options=options, demonstrations="nearest")
    generator.fit(list("abcd"), list("efgh")).save(folder)
    card, expected = json.loads((folder / "generator.json").read_text()), generator.predict(["a"]).tolist()
    problems = []
    for path, value in [(path, value) for path in paths(card) for value in [KeyError, *WRONG]][::step]:
        (folder / "generator.json").write_text(resealed(changed(card, path, value)), encoding="utf-8")
        plausibly = path[0] in ("template", "demonstrations", "max_length", "chat_options", "options")
        try:
            texts = PromptGenerator.load(folder, backbone).predict(["a"]).tolist()
            if not plausibly:
                assert texts == expected
        except ArtifactError:
            continue
        except SoftclozeError as error:
            if not plausibly:
                problems.append((path, value, repr(error)))
        except Exception as error:  # noqa: BLE001 - any other is a fault
            problems.append((path, value, repr(error)))
    assert problems == []


@pytest.fixture
def prompt(backbone, tmp_path):
    """The folder of a soft prompt."""
    clf = PromptClassifier(backbone, "<soft*2 name=task> <text> It was <mask>.", WORDS, epochs=1, random_state=0)
    clf.fit(TEXTS, LABELS).save(tmp_path / "prompt")
    return tmp_path / "prompt"


def reseal(folder, **changes):
    """Seal the card again, with the checksum of the vectors."""
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    digest = sha256((folder / VECTORS).read_bytes()).hexdigest()
    (folder / CARD).write_text(resealed({**card, "files": {VECTORS: digest}, **changes}), encoding="utf-8")


TENSORS = [
    ({}, r"tensors ; expected 'task'"),
    ({"task": torch.zeros(2, 3)}, "tensor 'task' of this prompt has width 3"),
    ({"task": torch.zeros(3, 32)}, r"tensor 'task' is torch.float32 of shape \(3, 32\)"),
    ({"task": torch.zeros(64)}, "tensor 'task' is torch.float32 of shape"),
    ({"task": torch.zeros(2, 32, dtype=torch.float16)}, "tensor 'task' is torch.float16"),
    ({"task": torch.full((2, 32), torch.nan)}, "tensor 'task' holds values that are not finite"),
    ({"task": torch.full((2, 32), -torch.inf)}, "tensor 'task' holds values that are not finite"),
    ({"task": torch.zeros(2, 32), "head/weight": torch.zeros(2, 32)}, "it has the tensors 'head/weight', 'task'"),
    ({"#1": torch.zeros(2, 32)}, "it has the tensors '#1'"),
    ({"prefix/task": torch.zeros(2, 3, 2, 2, 16)}, r"'prefix/task' is torch.float32 of shape \(2, 3"),
    ({"prefix/task": torch.zeros(2, 2, 2, 2, 16)}, "does not continue from them"),
    (
        {"prefix/task": torch.zeros(2, 2, 2, 2, 16), "task": torch.zeros(2, 32)},
        "it has the tensors 'prefix/task', 'task'",
    ),
]


@pytest.mark.parametrize(("tensors", "message"), TENSORS, ids=[message[:40] for _, message in TENSORS])
def test_other_tensors(prompt, backbone, tensors, message):
    (prompt / VECTORS).write_bytes(save(tensors))
    reseal(prompt)
    with pytest.raises(ArtifactError, match=message):
        PromptClassifier.load(prompt, backbone)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (2**40).to_bytes(8, "little"),
        *(
            len(header).to_bytes(8, "little") + header + b"\0" * 256
            for header in (
                b"{",
                b'{"task": 5}',
                b'{"task": {"dtype": "F32", "shape": [2, 32], "data_offsets": [0, 9999999999]}}',
                b'{"task": {"dtype": "F32", "shape": [999999999999, 999999999999], "data_offsets": [0, 256]}}',
                b'{"task": {"dtype": "F4", "shape": [2, 256], "data_offsets": [0, 256]}}',
            )
        ),
    ],
)
def test_a_file_of_vectors_that_lies(prompt, backbone, content):
    (prompt / VECTORS).write_bytes(content)
    reseal(prompt)
    with pytest.raises(ArtifactError, match=VECTORS):
        PromptClassifier.load(prompt, backbone)


SETTINGS = {"aggregation": "log_mean_prob", "length_norm": "none", "decoding": "together"}


@pytest.mark.parametrize(
    "change",
    [
        {"template": "<text> " + "a" * 10_000_000 + "<mask>"},
        {
            "verbalizer": {
                "kind": "rules",
                "rules": [[k, {f"m{i}": list("abcdefghij") for i in range(12)}] for k in "ab"],
            }
        },
        {
            "verbalizer": {
                **SETTINGS,
                "kind": "words",
                "words": [["a", [*map(str, range(100_000))]], ["b", ["x"]]],
            }
        },
        {"verbalizer": {**SETTINGS, "kind": "ordinal", "labels": [*range(100_000)], "low": ["bad"], "high": ["good"]}},
        {"training": {"history": [[[[]]]]}},
        {"metrics": {"accuracy": 10**400}},
    ],
    ids=["template", "rules", "words", "ordinal", "history", "metrics"],
)
def test_large_values_are_small_in_time(prompt, backbone, change):
    reseal(prompt, **change)
    with pytest.raises(ArtifactError, match=CARD):
        PromptClassifier.load(prompt, backbone)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, '{"a": NaN}', '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}", '{"a": 1, "a": 1}'],
    ids=["lists", "tables", "nan", "infinite", "digits", "twice"],
)
def test_json_that_is_none(prompt, text):
    (prompt / CARD).write_text(text)
    with pytest.raises(ArtifactError, match=rf"{CARD} is damaged"):
        PromptCard.load(prompt)


@pytest.mark.parametrize("name", [CARD, VECTORS])
def test_nothing_outside_the_folder_is_read(prompt, backbone, name, tmp_path):
    (prompt / name).rename(tmp_path / "outside")
    (prompt / name).symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match=f"{name} is not a regular file"):
        PromptClassifier.load(prompt, backbone)


@pytest.mark.parametrize("name", [CARD, VECTORS])
def test_a_pipe_is_not_waited_for(prompt, backbone, name):
    (prompt / name).unlink()
    os.mkfifo(prompt / name)
    with pytest.raises(ArtifactError, match=f"{name} is not a regular file"):
        PromptClassifier.load(prompt, backbone)


@pytest.mark.parametrize("member", ["../outside", "/etc", "prompt-0/../../outside", "."])
def test_members_outside_the_folder(backbone, tmp_path, member):
    PromptEnsemble([PromptClassifier(backbone, "<text> <mask>", WORDS)]).save(tmp_path / "e")
    (tmp_path / "e" / "prompt-0").rename(tmp_path / "outside")
    card = json.loads((tmp_path / "e" / "ensemble.json").read_text())
    files = {name.replace("prompt-0", member): digest for name, digest in card["files"].items()}
    (tmp_path / "e" / "ensemble.json").write_text(resealed({**card, "members": [member], "files": files}))
    with pytest.raises(ArtifactError, match="expected the name of a"):
        PromptEnsemble.load(tmp_path / "e", backbone)
    (tmp_path / "e" / "prompt-0").symlink_to(tmp_path / "outside")
    (tmp_path / "e" / "ensemble.json").write_text(resealed(card))
    with pytest.raises(ArtifactError, match="is not a regular file"):
        PromptEnsemble.load(tmp_path / "e", backbone)


def test_demonstrations_with_vectors_of_another_width(backbone, tmp_path):
    folder = tmp_path / "prompt"
    KINDS["nearest"](backbone).set_params(random_state=0).fit(TEXTS, LABELS).save(folder)
    (folder / VECTORS).write_bytes(save({"demonstrations/vectors": torch.ones(len(TEXTS), 5)}))
    reseal(folder)
    with pytest.raises(SoftclozeError, match="the vectors of the demonstrations have width 5, those of new texts 32"):
        PromptClassifier.load(folder, backbone).predict(TEXTS)


def test_an_empty_fingerprint_fits_no_model(prompt, backbone):
    """A prompt that names no model would be taken for one of any model."""
    loaded = Prompt.load(prompt)
    with pytest.raises(ArtifactError, match="weights of the form None"):
        replace(loaded, fingerprint={}).validate_backbone(backbone)
    reseal(prompt, fingerprint={})
    with pytest.raises(
        ArtifactError, match=r"the card\.fingerprint lacks 'chat_template', 'model', 'quantisation', 'tokenizer'"
    ):
        PromptClassifier.load(prompt, backbone)
