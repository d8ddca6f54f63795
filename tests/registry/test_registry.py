"""Versions that never change, aliases that move, a history that says so."""

import json
import shutil
import subprocess
from dataclasses import replace
from shutil import which

import numpy as np
import pytest
import torch
from support.models import borrowed, model
from transformers import BertModel

from softcloze import FieldVerbalizer, ProbeClassifier, Prompt, PromptClassifier, PromptEnsemble, Template, Verbalizer
from softcloze.errors import ArtifactError, FileError, ParameterError, RegistryError
from softcloze.prompt.bound import BoundPrompt
from softcloze.prompt.saved import bind_saved
from softcloze.registry import Registry, changed_aliases

TEXTS = ["A delight.", "A bore."]


def value(prompt):
    return prompt.vectors["task"][0, 0].item()


def test_references(filled):
    filled.promote("reviews@2", "canary")
    loaded = {reference: value(filled.load(reference)) for reference in ("reviews", "reviews@canary", "reviews@1")}
    assert loaded == {"reviews": 3, "reviews@canary": 2, "reviews@1": 1}
    version = filled.resolve("reviews@canary")
    assert (version.name, version.number, version.path.name, str(version)) == ("reviews", 2, "2", "reviews@2")
    assert filled.names() == ("reviews",)
    assert filled.aliases("reviews") == {"canary": 2, "live": 3}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("reviws", "no prompt 'reviws' in .*did you mean 'reviews'.*it has reviews"),
        ("reviews@canry", "no alias 'canry'.*has the aliases live"),
        ("reviews@4", "no version reviews@4.*newest is reviews@3"),
        ("reviews@0", "'0' is neither an alias nor the number"),
        ("reviews@03", "'03' is neither an alias nor the number"),
        ("reviews@", "'' is neither an alias nor the number"),
        ("reviews@-1", "'-1' cannot be an alias"),
        ("reviews@latest", "neither 'latest'"),
        ("reviews@v3", "nor a name like 'v3'"),
        ("reviews@live@live", "cannot be an alias"),
        ("reviews@９", "neither an alias|cannot be an alias"),
        ("../reviews", "cannot be the name of a prompt"),
        ("reviews/versions", "cannot be the name of a prompt"),
        ("%2e%2e", "cannot be the name of a prompt"),
        ("reviews\0", "cannot be the name of a prompt"),
        ("reviews\n", "cannot be the name of a prompt"),
        ("a..b", "cannot be the name of a prompt"),
        ("评论", "cannot be the name of a prompt"),
        ("\u202eabc", "cannot be the name of a prompt"),
        ("a" * 65, "cannot be the name of a prompt"),
        ("", "cannot be the name of a prompt"),
        (3, "expected a reference"),
    ],
)
def test_an_unknown_reference_is_an_error_and_never_another_version(read_only, reference, message):
    with pytest.raises(RegistryError, match=message):
        read_only.resolve(reference)


def test_the_same_content_is_the_same_version(filled, numbered, tmp_path):
    assert filled.add(numbered(2), "reviews").number == 2
    folder = tmp_path / "saved"
    for number in (9, 1):
        numbered(number).save(folder)  # the second time the file of vectors has another name
    assert filled.add(folder, "reviews").number == 1
    assert [version.number for version in filled.versions("reviews")] == [1, 2, 3]
    assert len([change for change in filled.history("reviews") if change.action == "add"]) == 3


def test_examples_are_part_of_a_version(filled, numbered, backbone):
    assert filled.examples("reviews") == ()
    version = filled.add(numbered(2), "reviews", examples=["A delight.", {"text": "好"}])
    assert (version.number, filled.examples("reviews@4")) == (4, ("A delight.", {"text": "好"}))
    assert filled.add(numbered(2), "reviews", examples=["A delight.", {"text": "好"}]).number == 4
    assert filled.add(numbered(2), "reviews").number == 2
    assert filled.promote("reviews@4", backbone=backbone).number == 4
    assert filled.check() == ()
    (version.path / "examples.json").write_text('["A delight.", 5]')
    (fault,) = filled.check()
    assert fault.path == version.path and "examples[1] is 5" in fault.problem
    with pytest.raises(ArtifactError, match=r"examples\.json is damaged"):
        filled.promote("reviews@4", "canary")


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ("A delight.", "is a single example"),
        ([5], r"examples\[0\] is 5; expected"),
        ([{"text": 5}], r"examples\[0\]"),
        (["A", {"txt": "b"}], r"examples\[1\] has the fields 'txt'; an example of reviews has 'text'"),
        (["\ud800"], "surrogate"),
        (["A"] * 21, "21 examples"),
        (["A" * 66_000], "at most 20 and 65,536 bytes"),
    ],
)
def test_wrong_examples(filled, prompt, examples, message):
    with pytest.raises(ParameterError, match=message):
        filled.add(prompt, "reviews", examples=examples)
    assert len(filled.versions("reviews")) == 3


def test_version_10_is_newer_than_9(registry, numbered):
    numbered(1).save(registry.folder / "reviews" / "versions" / "9")
    registry.add(numbered(10), "reviews")
    registry.add(numbered(11), "reviews")
    assert [version.number for version in registry.versions("reviews")] == [9, 10, 11]
    registry.promote("reviews@10")
    assert value(registry.load("reviews")) == 10


def test_adding_moves_no_alias(filled, numbered):
    assert filled.add(numbered(4), "reviews").number == 4
    assert filled.resolve("reviews").number == 3


@pytest.mark.parametrize("name", ["Reviews", "a..b", ".hidden", "a/b", "../a", "a.", "", "@", "a" * 65, None])
def test_a_wrong_name_raises_before_anything_is_written(registry, prompt, name):
    with pytest.raises(RegistryError, match="cannot be the name of a prompt"):
        registry.add(prompt, name)
    assert not registry.folder.exists()


def test_a_name_that_differs_by_case_alone(registry, prompt):
    (registry.folder / "Reviews").mkdir(parents=True)
    with pytest.raises(RegistryError, match="Reviews differs from 'reviews' by upper and lower case alone"):
        registry.add(prompt, "reviews")


@pytest.mark.parametrize("wrong", [3, None, Template("<text> <mask>")])
def test_a_value_that_is_no_prompt(registry, wrong):
    with pytest.raises(ParameterError, match="has to be a prompt, a fitted classifier or a folder"):
        registry.add(wrong, "reviews")


@pytest.mark.parametrize("note", ["two\nlines", "x" * 501, None])
def test_a_wrong_note(filled, prompt, note):
    for change in (
        lambda: filled.add(prompt, "reviews", note=note),
        lambda: filled.promote("reviews@1", note=note),
        lambda: filled.rollback("reviews", note=note),
        lambda: filled.remove("reviews@1", note=note),
    ):
        with pytest.raises(ParameterError, match="one line of at most 500 characters"):
            change()


def test_a_registry_that_does_not_exist(registry):
    for question in (registry.names, registry.state, registry.check, lambda: registry.resolve("reviews")):
        with pytest.raises((FileError, RegistryError), match="there is no"):
            question()


def test_history(filled):
    filled.rollback("reviews", note="很多投诉")
    changes = filled.history("reviews")
    assert [(c.action, c.alias, c.before, c.after) for c in changes] == [
        ("add", None, None, 1), ("promote", "live", None, 1),
        ("add", None, None, 2), ("promote", "live", 1, 2),
        ("add", None, None, 3), ("promote", "live", 2, 3),
        ("rollback", "live", 3, 2),
    ]  # fmt: skip
    assert changes[0].note == "number 1" and changes[-1].note == "很多投诉"
    assert all(change.who and change.when.endswith("+00:00") for change in changes)


def test_rollback_goes_back_step_by_step(filled):
    assert filled.rollback("reviews").number == 2
    assert filled.resolve("reviews").number == 2
    filled.promote("reviews@1")
    assert filled.rollback("reviews").number == 2
    assert filled.rollback("reviews").number == 1
    with pytest.raises(ParameterError, match="names no version that live had before 1"):
        filled.rollback("reviews")
    assert filled.resolve("reviews").number == 1


def test_rollback_after_a_change_that_was_written_and_not_done(filled):
    """As by a writer that is killed between the history and the alias."""
    lines = filled.folder / "reviews" / "history.jsonl"
    change = json.loads(lines.read_text(encoding="utf-8").splitlines()[-1])
    for undone in ({"action": "promote", "before": 3, "after": 1}, {"action": "rollback", "before": 3, "after": 2}):
        with lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(change | undone) + "\n")
    assert filled.rollback("reviews").number == 2
    assert filled.rollback("reviews").number == 1


def test_rollback_of_an_alias_that_was_set_by_hand(filled):
    alias = filled.folder / "reviews" / "aliases" / "by-hand"
    alias.write_text("2\r\n")
    assert filled.resolve("reviews@by-hand").number == 2
    with pytest.raises(ParameterError, match="promote one by its number"):
        filled.rollback("reviews@by-hand")
    with pytest.raises(ParameterError, match="rollback moves an alias; expected reviews or reviews@ALIAS"):
        filled.rollback("reviews@2")


def test_promoting_what_is_live_changes_nothing(filled):
    before = filled.history("reviews"), filled.state()
    filled.promote("reviews@3")
    assert (filled.history("reviews"), filled.state()) == before


def test_promotion_needs_a_version(filled):
    with pytest.raises(ParameterError, match="'reviews' names no version; expected one as in reviews@3"):
        filled.promote("reviews")
    for alias in ("latest", "v1", "3", "Live", "../live"):
        with pytest.raises(RegistryError, match="cannot be an alias"):
            filled.promote("reviews@3", alias)


def test_another_model_is_promoted_on_demand_alone(filled, prompt):
    other = filled.add(replace(prompt, model="other", fingerprint=prompt.fingerprint | {"model": "ab" * 32}), "reviews")
    for alias in ("live", "canary"):
        with pytest.raises(
            ParameterError, match=r"another backbone than reviews@3: its model differs\n.*\n.*other, wei"
        ):
            filled.promote(str(other), alias)
    assert filled.resolve("reviews").number == 3
    assert filled.promote(str(other), model_changed=True).number == 4
    assert filled.resolve("reviews") == other


def test_the_chat_template_counts_in_prompts_with_turns_alone(filled, prompt):
    changed = replace(prompt, max_length=20, fingerprint=prompt.fingerprint | {"chat_template": "ab" * 32})
    assert filled.promote(str(filled.add(changed, "reviews"))).number == 4


def test_other_labels_are_promoted_on_demand_alone(filled, prompt):
    words = Verbalizer({"positive": "good", "negative": "bad", "mixed": "long"})
    other = filled.add(replace(prompt, verbalizer=words), "reviews")
    with pytest.raises(ParameterError, match="other labels than reviews@3: it adds 'mixed'; promote it with labels_ch"):
        filled.promote(str(other))
    assert filled.promote(str(other), labels_changed=True) == other
    with pytest.raises(ParameterError, match="it lacks 'mixed'"):
        filled.promote("reviews@1")
    filled.rollback("reviews")
    assert filled.resolve("reviews").number == 3


def test_labels_of_other_types_are_other_labels(registry, prompt):
    for labels in (("1", "0"), (1, 0)):
        registry.add(replace(prompt, verbalizer=Verbalizer(dict(zip(labels, ("good", "bad"), strict=True)))), "stars")
    registry.promote("stars@1")
    with pytest.raises(ParameterError, match="adds 0, 1 and lacks '0', '1'"):
        registry.promote("stars@2")


def test_a_row_is_scored_before_a_promotion(filled, backbone, prompt):
    filled.promote("reviews@1", backbone=backbone)
    narrow = replace(prompt, vectors={"task": torch.ones(2, backbone.width + 1)})
    wrong = filled.add(narrow, "reviews")
    assert filled.promote(str(wrong), "unseen").number == 4  # nothing loads the model
    with pytest.raises(ArtifactError, match="width"):
        filled.promote(str(wrong), backbone=backbone)
    assert filled.resolve("reviews").number == 1
    with pytest.raises(ParameterError, match="needs its backbone to score a row"):
        filled.promote("reviews@2", smoke=True)
    with pytest.raises(ParameterError, match="backbone='bert', but it has to be a Backbone"):
        filled.promote("reviews@2", backbone="bert")
    with pytest.raises(ParameterError, match=r"reviews@2 cannot score a row: .*text"):
        filled.promote("reviews@2", backbone=backbone, example={"title": "A film."})
    assert filled.resolve("reviews").number == 1


def test_a_row_of_choices_is_scored(registry, backbone):
    template = Template("<options field=choices>. <question> It is <mask>.")
    prompt = Prompt(template, FieldVerbalizer("choices", 3), backbone.name, backbone.fingerprint)
    assert registry.promote(str(registry.add(prompt, "quiz")), backbone=backbone).number == 1


def test_what_an_alias_names_is_not_removed(filled):
    with pytest.raises(ParameterError, match="reviews@3 is what live names"):
        filled.remove("reviews@3")
    with pytest.raises(ParameterError, match="names no version"):
        filled.remove("reviews")
    assert value(filled.load("reviews")) == 3


def test_a_number_is_never_used_again(filled, numbered):
    filled.promote("reviews@1")
    filled.remove("reviews@3", note="a mistake")
    assert [version.number for version in filled.versions("reviews")] == [1, 2]
    with pytest.raises(RegistryError, match="reviews@3 was removed"):
        filled.load("reviews@3")
    with pytest.raises(RegistryError, match="reviews@3 was removed"):
        filled.remove("reviews@3")
    assert filled.add(numbered(3), "reviews").number == 4
    assert filled.check() == ()
    assert [c.note for c in filled.history("reviews") if c.action == "remove"] == ["a mistake"]
    with pytest.raises(RegistryError, match="removed"):
        filled.rollback("reviews")  # live was 3 before
    assert [path.name for path in (filled.folder / "reviews" / "versions" / "3").iterdir()] == ["removed.json"]


def test_an_alias_is_removed_and_its_version_stays(filled):
    filled.promote("reviews@2", "canary")
    filled.remove("reviews@canary")
    with pytest.raises(RegistryError, match="no alias 'canary'"):
        filled.resolve("reviews@canary")
    with pytest.raises(RegistryError, match="no alias 'canary'"):
        filled.remove("reviews@canary")
    assert value(filled.load("reviews@2")) == 2


def test_state_says_which_aliases_moved(filled, numbered):
    before = filled.state()
    assert set(before) == {"reviews@live"}
    filled.add(numbered(4), "reviews")
    assert changed_aliases(before, filled.state()) == ()
    filled.promote("reviews@1")
    filled.promote("reviews@2", "canary")
    after = filled.state()
    assert changed_aliases(before, after) == ("reviews@canary", "reviews@live")
    filled.remove("reviews@canary")
    assert changed_aliases(after, filled.state()) == ("reviews@canary",)
    filled.rollback("reviews")
    filled.promote("reviews@1")
    assert changed_aliases(after, filled.state()) == ("reviews@canary", "reviews@live")  # be it the same number


def test_ensembles_and_fitted_classifiers_are_versions(registry, backbone, tmp_path):
    texts = [f"{text} {end}" for text in TEXTS for end in ("one", "two")]
    labels = ["positive", "positive", "negative", "negative"]
    words = {"positive": "good", "negative": "bad"}
    members = [
        PromptClassifier(backbone, template, words) for template in ("<text> It was <mask>.", "A <mask>: <text>")
    ]
    ensemble = PromptEnsemble(members).fit(texts, labels)
    version = registry.add(ensemble, "reviews")
    ensemble.save(tmp_path / "saved")
    assert registry.add(tmp_path / "saved", "reviews") == version
    bound = bind_saved(registry.load("reviews@1"), backbone)
    scored = bound.predict_encoded(bound.encode(TEXTS))
    assert np.array_equal(scored, PromptEnsemble.load(tmp_path / "saved", backbone).predict_proba(TEXTS))
    registry.promote("reviews@1", backbone=backbone)
    single = registry.add(ensemble.classifiers_[0], "reviews")
    assert registry.promote(str(single)).number == 2
    assert registry.check() == ()


COPIES = ["copytree", *filter(which, ["git", "rsync"])]


@pytest.mark.parametrize("by", COPIES)
def test_a_copy_gives_the_same_answers(filled, backbone, tmp_path, by):
    filled.promote("reviews@2")
    filled.remove("reviews@3")
    copy = tmp_path / "copy"

    def run(*words, cwd=tmp_path):
        subprocess.run([*map(str, words)], cwd=cwd, check=True, capture_output=True)

    match by:
        case "copytree":
            shutil.copytree(filled.folder, copy)
        case "rsync":
            run("rsync", "-a", f"{filled.folder}/", copy)
        case "git":
            run("git", "init", "-q", cwd=filled.folder)
            run("git", "add", ".", cwd=filled.folder)
            author = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
            run("git", *author, "commit", "-q", "-m", "versions", cwd=filled.folder)
            run("git", "clone", "-q", filled.folder, copy)
    other = Registry(copy)
    assert other.check() == ()
    assert other.aliases("reviews") == filled.aliases("reviews")
    assert other.history("reviews") == filled.history("reviews")
    expected, scores = (BoundPrompt(each.load("reviews"), backbone).scores(TEXTS) for each in (filled, other))
    assert np.array_equal(expected, scores)
    with pytest.raises(RegistryError, match="was removed"):
        other.resolve("reviews@3")


def test_a_probe_is_a_version(registry, prompt, tmp_path):
    for part in (BertModel(model("bert").config), borrowed("wordpiece")):
        part.save_pretrained(tmp_path / "encoder")
    probe = ProbeClassifier(str(tmp_path / "encoder"), random_state=0).fit([*TEXTS, *TEXTS], ["a", "b", "a", "b"])
    registry.promote(str(registry.add(probe, "topics")), smoke=True)
    bound = bind_saved(registry.load("topics"), None)
    assert np.allclose(bound.predict_encoded(bound.encode(TEXTS)), probe.predict_proba(TEXTS), atol=1e-12)
    words = Verbalizer({"a": "good", "b": "bad"})
    with pytest.raises(ParameterError, match="another backbone than topics@1: one of them has none"):
        registry.promote(str(registry.add(replace(prompt, verbalizer=words), "topics")))
