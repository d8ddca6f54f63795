"""Saved prompts on a hub: what is pushed, what comes back, what stays here, and what errors say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from support import hub as hubs
from support import models
from support.command_line import run_here

from softcloze import BatchScorer, MultiLabelPromptClassifier, PromptClassifier, PromptEnsemble, PromptGenerator
from softcloze.errors import ArtifactError, ParameterError
from softcloze.integrations.hub import push_to_hub
from softcloze.prompt import GeneratorPrompt, Probe, Prompt
from softcloze.prompt import hub as prompt_hub
from softcloze.registry import Registry
from softcloze.template import Template

# huggingface_hub sends files that way where it has no other storage
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
WORDS = {"positive": ["good", "great"], "negative": "bad"}
TEXTS = ["It was good.", "It was bad.", "A great film.", "Terrible."]
LABELS = ["positive", "negative"] * 2
SECRET = "a canary of the training data"


@pytest.fixture(scope="module")
def backbone():
    return models.backbone("bert")


@pytest.fixture(scope="module")
def classifier(backbone):
    return PromptClassifier(backbone, "<soft*2> <text> It was <mask>.", WORDS, epochs=1, random_state=0).fit(
        TEXTS, LABELS
    )


@pytest.fixture
def hub(tmp_path):
    """A hub of which this process is a client, logged in as alice."""
    with hubs.serving() as hub, hubs.client_of(hub.url, tmp_path / "cache"):
        yield hub


def test_what_is_pushed_comes_back_to_the_bit(hub, classifier, backbone, tmp_path):
    classifier.save(tmp_path / "prompt")
    (tmp_path / "prompt" / "rows.csv").write_text(SECRET, encoding="utf-8")
    pushed = push_to_hub(str(tmp_path / "prompt"), "alice/reviews", tag="v1", metrics={"accuracy": 0.9})

    repository = hub.repositories["alice/reviews"]
    assert repository.private and [*repository.files] == [
        ".gitattributes",
        "vectors.safetensors",
        "prompt.json",
        "README.md",
    ]
    assert len(repository.commits) == 2 and repository.tags == {"v1": repository.newest}
    assert pushed == f"hf://alice/reviews@{repository.newest}"
    assert repository.files["prompt.json"] == (tmp_path / "prompt" / "prompt.json").read_bytes()

    expected = classifier.predict_proba(TEXTS)
    for location in (pushed, "hf://alice/reviews@v1", "hf://alice/reviews", Path("hf://alice/reviews@main")):
        loaded = PromptClassifier.load(location, backbone)
        np.testing.assert_array_equal(loaded.predict_proba(TEXTS), expected)
    push_to_hub(classifier, "alice/reviews", metrics={"accuracy": 0.9})
    assert repository.files["prompt.json"] == (tmp_path / "prompt" / "prompt.json").read_bytes()


def kinds(backbone):
    """One of each kind of what is saved, with the class that loads it and a way to compare two."""
    prompt = PromptClassifier(backbone, "<text> It was <mask>.", WORDS)
    zeros = torch.zeros(2, 4)
    fingerprint = {"model": "0" * 64, "dtype": "float32", "tokenizer": "0" * 64, "pooling": "mean", "normalise": True}
    yield PromptEnsemble([prompt, PromptClassifier(backbone, "<text> So <mask>.", WORDS)]), PromptEnsemble
    yield Probe(("a", "b"), ("text",), "tiny", fingerprint, 16, zeros, torch.zeros(2)), Probe
    yield (
        MultiLabelPromptClassifier(backbone, "<text> It was <mask>.", WORDS, epochs=1, random_state=0).fit(
            TEXTS, [["positive"], ["negative"]] * 2
        ),
        MultiLabelPromptClassifier,
    )
    causal = models.backbone("gpt2")
    yield GeneratorPrompt(Template("<text> In short:<answer max=2>"), causal.name, causal.fingerprint), GeneratorPrompt


def test_every_kind_replaces_the_files_of_the_one_before_and_no_other(hub, backbone):
    push_to_hub(PromptClassifier(backbone, "<text> It was <mask>.", WORDS), "alice/all")
    repository = hub.repositories["alice/all"]
    repository.commit({**repository.files, "notes.md": b"of the user", "prompt-7/prompt.json": b"old"})
    for saved, kind in kinds(backbone):
        location = push_to_hub(saved, "alice/all")
        names = {*repository.files} - {".gitattributes", "README.md", "notes.md"}
        cards = {name for name in names if name in prompt_hub.CARDS}
        assert len(cards) == 1 and "notes.md" in repository.files and "prompt-7/prompt.json" not in names
        if kind is PromptEnsemble:
            assert names == {"ensemble.json"} | {
                f"prompt-{i}/{file}" for i in (0, 1) for file in ("prompt.json", "vectors.safetensors")
            }
            loaded = kind.load(location, backbone)
            np.testing.assert_array_equal(loaded.predict_proba(TEXTS), saved.predict_proba(TEXTS))
        elif kind is MultiLabelPromptClassifier:
            loaded = kind.load(location, backbone)
            np.testing.assert_array_equal(loaded.predict_proba(TEXTS), saved.predict_proba(TEXTS))
        else:
            assert str(kind.load(location)) == str(saved)
    generator = PromptGenerator.load("hf://alice/all", models.backbone("gpt2"))
    assert str(generator.template) == "<text> In short:<answer max=2>"
    with pytest.raises(ArtifactError, match=r"is not a saved prompt: it holds a prompt that writes"):
        Prompt.load("hf://alice/all")


def test_a_second_load_needs_no_hub(hub, classifier, tmp_path, capsys):
    pushed = push_to_hub(classifier, "alice/reviews", tag="v1")
    capsys.readouterr()
    Prompt.load("hf://alice/reviews@v1")
    assert capsys.readouterr() == ("", "")
    hub.requests.clear()
    Prompt.load(pushed)  # a commit never changes
    assert hub.requests == []
    Prompt.load("hf://alice/reviews@v1")
    assert not hub.requested("GET", "/resolve/")
    for unreached in (
        hubs.client_of(hub.url, tmp_path / "cache", offline=True),
        hubs.client_of("http://127.0.0.1:9", tmp_path / "cache"),
    ):
        with unreached:
            assert Prompt.load("hf://alice/reviews@v1").template == classifier.prompt_.template
    hub.is_down = True
    assert Prompt.load("hf://alice/reviews@v1").template == classifier.prompt_.template
    with hubs.client_of(hub.url, tmp_path / "other"):
        assert "the hub answered with an error (status 503); try again later" in error_of("hf://alice/reviews@v1")


def error_of(location):
    with pytest.raises(ArtifactError) as caught:
        Prompt.load(location)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_errors_say_the_fix(hub, classifier, tmp_path, monkeypatch):
    push_to_hub(classifier, "alice/reviews")
    unknown = "the hub has no repository alice/{}, or it is private and this login may not read it; check the name"
    assert unknown.format("nothing") in error_of("hf://alice/nothing")
    assert "has no branch, tag or commit 'v9'" in error_of("hf://alice/reviews@v9")
    assert "names no repository of a hub; expected hf://USER/NAME" in error_of("hf://reviews")
    for revision in ("../../other/refs/main", "%2e%2e/main", "/etc", "C:\\x", "", "v1 "):  # the cache names a file so
        assert "names no branch, tag or commit after the @" in error_of(f"hf://alice/reviews@{revision}")
    with hubs.client_of(hub.url, tmp_path / "other", token=None):
        assert f"{unknown.format('reviews')}, or log in with: hf auth login" in error_of("hf://alice/reviews")
    with hubs.client_of(hub.url, tmp_path / "other", token="hf_expired"):
        assert "the hub turns this login away (status 401)" in error_of("hf://alice/reviews")
    with hubs.client_of(hub.url, tmp_path / "other", offline=True):
        assert "it is not in the cache, and HF_HUB_OFFLINE=1 forbids" in error_of("hf://alice/reviews")
    with hubs.client_of("http://127.0.0.1:9", tmp_path / "other"):
        assert "the hub cannot be reached: " in error_of("hf://alice/reviews")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(ArtifactError, match="if the hub has no Xet storage, set HF_HUB_DISABLE_XET=1"):
        push_to_hub(classifier, "alice/other")


def test_files_are_checked_before_and_after_they_are_read(hub, classifier, monkeypatch):
    push_to_hub(classifier, "alice/reviews")
    repository = hub.repositories["alice/reviews"]
    good = repository.files
    repository.commit({**good, "vectors.safetensors": good["vectors.safetensors"][:-1] + b"x"})
    assert "vectors.safetensors is truncated or altered" in error_of("hf://alice/reviews")
    repository.commit({"config.json": b"{}", "model.safetensors": b"weights"})
    assert "is not a saved prompt: it has none of the files prompt.json" in error_of("hf://alice/reviews")
    repository.commit({**good, "model.safetensors": b"weights"})
    monkeypatch.setattr(prompt_hub, "LARGEST_CARD", 10)
    assert "at most 10 B are read" in error_of("hf://alice/reviews")
    monkeypatch.undo()
    monkeypatch.setattr(prompt_hub, "LARGEST_DOWNLOAD", 10)
    assert "at most 10 B are downloaded; download it by hf download" in error_of("hf://alice/reviews")
    monkeypatch.undo()
    repository.commit({**good, **{f"prompt-{i}/prompt.json": b"{}" for i in range(2000)}})
    asked = len(hub.requests)
    assert "files of prompts, and at most 2,000 are downloaded" in error_of("hf://alice/reviews")
    assert len(hub.requests) - asked < 5


def test_links_of_a_cache_are_followed_and_others_are_not(tmp_path):
    snapshot, outside = tmp_path / "cache" / "snapshots" / "0", tmp_path / "outside" / "blobs"
    for folder in (snapshot, outside):
        folder.mkdir(parents=True)
    (outside / "card").write_text("{}", encoding="utf-8")
    (snapshot / "prompt.json").symlink_to(outside / "card")
    assert "is not a regular file, and links may lead outside" in error_of(snapshot)
    (tmp_path / "cache" / "blobs").symlink_to(outside)  # which leads outside as well
    (snapshot / "prompt.json").unlink()
    (snapshot / "prompt.json").symlink_to("../../blobs/card")
    assert "is not a regular file, and links may lead outside" in error_of(snapshot)


@pytest.mark.parametrize("method", ["random", "nearest"])
def test_training_rows_stay_here_unless_asked_for(hub, backbone, method):
    texts = [f"{text} {SECRET}" for text in TEXTS]
    shown = PromptClassifier(
        backbone, "<demos*2> <text> It was <mask>.", WORDS, demonstrations=method, random_state=0
    ).fit(texts, LABELS)
    count = 2 if method == "random" else 4  # the pool that the nearest are selected from
    with pytest.raises(ParameterError, match=f"holds {count} training rows .* pass include_examples=True"):
        push_to_hub(shown, "alice/shown")
    assert not hub.repositories and not hub.requests
    location = push_to_hub(shown, "alice/shown", include_examples=True)
    files = hub.repositories["alice/shown"].files
    assert SECRET in files["prompt.json"].decode() and SECRET not in files["README.md"].decode()
    assert f"holds {count} training examples" in files["README.md"].decode()
    loaded = PromptClassifier.load(location, backbone)
    np.testing.assert_array_equal(loaded.predict_proba(texts), shown.predict_proba(texts))


def test_what_is_trained_without_demonstrations_holds_no_training_text(hub, backbone):
    texts = [f"{text} {SECRET}" for text in TEXTS]
    template = "<soft*2 from=text> <text> It was <mask>."
    fitted = PromptClassifier(backbone, template, WORDS, calibration="contextual", epochs=1)
    push_to_hub(fitted.fit(texts, LABELS), "alice/fitted")
    assert not any(b"canary" in content for content in hub.repositories["alice/fitted"].files.values())


def test_repositories_that_are_not_meant_are_not_written_to(hub, classifier):
    public = hub.repositories["alice/public"] = hubs.Repository(private=False)
    public.commit({".gitattributes": b""})
    model = hub.repositories["alice/model"] = hubs.Repository(private=True)
    model.commit({"README.md": b"mine", "model.safetensors": b"weights"})
    push_to_hub(classifier, "alice/reviews", tag="v1")
    refused = [
        ("alice/public", {}, "is public already; pass private=False"),
        ("alice/model", {}, "holds 'model.safetensors' and no saved prompt"),
        ("alice/reviews", {"tag": "v1"}, "has a tag 'v1' already"),
        ("bob/reviews", {}, r"turns this login away \(status 403\)"),
    ]
    before = {name: [*repository.commits] for name, repository in hub.repositories.items()}
    for name, options, message in refused:
        with pytest.raises(ArtifactError, match=message):
            push_to_hub(classifier, name, **options)
    hub.on_commit = lambda name: hub.repositories[name].commit({**hub.repositories[name].files, "other": b""})
    with pytest.raises(ArtifactError, match=r"somebody else changed the repository meanwhile \(status 412\)"):
        push_to_hub(classifier, "alice/reviews")
    before["alice/reviews"].append(hub.repositories["alice/reviews"].newest)
    assert {name: [*repository.commits] for name, repository in hub.repositories.items()} == before
    hub.on_commit = lambda name: None
    push_to_hub(classifier, "alice/public", private=False)
    assert {"README.md", "prompt.json"} < {*public.files}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repository": "reviews"}, "as in 'user/name'"),
        ({"tag": "a tag"}, "the name of a tag"),
        ({"license": "mit\n---\nevil: yes"}, "the code of a licence"),
        ({"language": "English language"}, "codes of languages"),
        ({"metrics": {"accuracy": "high"}}, "metrics"),
        ({"prompt": 3}, "has to be a prompt"),
    ],
)
def test_parameters_are_checked_before_anything_is_sent(hub, classifier, options, message):
    with pytest.raises(ParameterError, match=message):
        push_to_hub(**{"prompt": classifier, "repository": "alice/reviews", **options})
    assert not hub.requests


def test_nothing_is_saved_into_a_folder_named_as_a_location(classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for save in (classifier.save, Registry):
        with pytest.raises(
            ArtifactError, match=r"is on a hub, and a folder on this machine is expected; softcloze push"
        ):
            save("hf://alice/reviews")
    assert not [*tmp_path.iterdir()]


def test_processes_and_registries_take_the_commit(hub, classifier, backbone, tmp_path):
    pushed = push_to_hub(classifier, "alice/reviews", tag="v1")
    assert pushed in repr(BatchScorer("hf://alice/reviews@v1", model="anything"))
    version = Registry(tmp_path / "registry").add("hf://alice/reviews@v1", "reviews")
    np.testing.assert_array_equal(
        PromptClassifier.load(version.path, backbone).predict_proba(TEXTS), classifier.predict_proba(TEXTS)
    )
    other = PromptClassifier(backbone, "<soft*2 name=task> <text> It was <mask>.", WORDS, epochs=1, random_state=0).fit(
        TEXTS, LABELS
    )
    push_to_hub(other, "alice/task")
    warm = PromptClassifier(
        backbone, "<soft*2 name=task> <text> So <mask>.", WORDS, epochs=1, soft_init="hf://alice/task"
    ).fit(TEXTS, LABELS)
    assert warm.prompt_.training["sources"]["task"]["prompt"] == "hf://alice/task"


def test_the_commands_push_and_take_locations(hub, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models.model("bert").save_pretrained("model")
    models.tokenizer("wordpiece").save_pretrained("model")
    PromptClassifier("model", "<text> It was <mask>.", WORDS).save("prompt")
    Path("rows.csv").write_text("text,label\nIt was good.,positive\nIt was bad.,negative\n", encoding="utf-8")
    assert run_here("push", "prompt", "alice/reviews", "--tag", "v1", "--metric", "accuracy=0.5") == 0
    pushed = capsys.readouterr().out.strip()
    assert pushed == f"hf://alice/reviews@{hub.repositories['alice/reviews'].newest}"
    assert b"| accuracy | 0.5 |" in hub.repositories["alice/reviews"].files["README.md"]
    for command in (
        ("predict", "rows.csv", "--prompt", "hf://alice/reviews@v1", "--out", "hub.csv"),
        ("evaluate", "rows.csv", "--prompt", "hf://alice/reviews@v1"),
        ("registry", "add", "registry", "reviews", "--prompt", "hf://alice/reviews@v1"),
    ):
        assert run_here(*command) == 0
        assert f"prompt: {pushed}" in capsys.readouterr().err, command
    assert run_here("predict", "rows.csv", "--prompt", "prompt", "--out", "local.csv") == 0
    assert Path("hub.csv").read_bytes() == Path("local.csv").read_bytes()
    assert run_here("push", "prompt", "alice/reviews", "--metric", "accuracy") == 2
    assert "--metric 'accuracy' is not of the form NAME=NUMBER" in capsys.readouterr().err


@pytest.mark.slow
def test_the_environment_of_a_process_counts(hub, classifier, tmp_path):
    push_to_hub(classifier, "alice/reviews", tag="v1")
    code = 'from softcloze.prompt import Prompt; print(Prompt.load("hf://alice/reviews@v1").template)'
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": hubs.TOKEN}
    for changes in ({}, {"HF_HUB_OFFLINE": "1"}):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (environment | changes).items():
                patch.setenv(name, value)
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == str(classifier.prompt_.template), done.stderr
