"""softcloze registry: versions of prompts on the command line."""

import json
import re
import shutil

import pytest
from support import models

from softcloze import PromptClassifier
from softcloze.registry import Registry

WORDS = {"positive": "good", "negative": "bad"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model, saved prompts of it, and a registry with two versions of `reviews`, of which 2 is live."""
    folder = tmp_path_factory.mktemp("registry")
    for part in (models.model("bert"), models.tokenizer("wordpiece")):
        part.save_pretrained(folder / "model")
    name = str(folder / "model")
    PromptClassifier(name, "<text> It was <mask>.", WORDS).save(folder / "first")
    PromptClassifier(name, "<text> [b] 好 <mask>.", WORDS).save(folder / "second")
    PromptClassifier(name, "<text> It was <mask>.", {**WORDS, "mixed": "film"}).save(folder / "other")
    PromptClassifier(name, "<a> <b> <mask>.", WORDS).save(folder / "pairs")
    registry = Registry(folder / "prompts")
    for saved in ("first", "second"):
        registry.promote(str(registry.add(folder / saved, "reviews", note=f"the {saved} one")))
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made / "prompts", tmp_path / "prompts")
    return tmp_path


@pytest.fixture
def registry(run, folder):
    return lambda command, *args: run("registry", command, "prompts", *args, cwd=folder)


def said(done):
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_add_promote_and_roll_back(run, registry, made):
    assert said(registry("add", "reviews", "--prompt", made / "first")).startswith("reviews@1 has this content already")
    assert said(registry("add", "reviews", "--prompt", made / "other", "--note", "three labels")) == (
        "reviews@3 added; in prompts/reviews/versions/3"
    )
    refused = registry("promote", "reviews@3")
    assert refused.returncode == 2 and "it adds 'mixed'" in refused.stderr and "--labels-changed" in refused.stderr
    assert said(registry("promote", "reviews@3", "--labels-changed", "--note", "announced")) == (
        "reviews@live: reviews@2 → reviews@3"
    )
    assert said(registry("promote", "reviews@1", "--alias", "canary", "--labels-changed")) == (
        "reviews@canary: none → reviews@1"
    )
    assert said(registry("rollback", "reviews", "--note", "complaints")) == "reviews@live: reviews@3 → reviews@2"
    pairs = ("add", "pairs", "--prompt", made / "pairs", "--example")
    assert said(registry(*pairs, '{"a": "1", "b": "2"}')).startswith("pairs@1 added")
    assert "--example is not JSON" in registry(*pairs, "1 and 2").stderr
    assert "an example of pairs has 'a', 'b'" in registry(*pairs, '{"a": "1"}').stderr
    assert said(registry("add", "reviews", "--prompt", made / "other", "--example", '{"text": "x"}', "--example", "y"))
    assert json.loads(said(registry("list", "reviews", "--json")))["versions"][3]["examples"] == ['{"text": "x"}', "y"]
    assert said(registry("remove", "reviews@3")) == "reviews@3 removed"
    assert said(registry("remove", "reviews@canary")) == "reviews@canary removed"
    assert said(registry("check")) == "nothing found in 4 versions of 2 prompts"


def test_a_promotion_with_a_row(registry):
    done = registry("promote", "reviews@1", "--smoke", "--field", "text=A delight.")
    assert done.returncode == 0 and done.stdout.strip() == "reviews@live: reviews@2 → reviews@1"
    done = registry("promote", "reviews@2", "--field", "title=A delight.")
    assert done.returncode == 2 and "reviews@2 cannot score a row" in done.stderr
    done = registry("promote", "reviews@2", "--model", "no/such/model")
    assert done.returncode == 2 and "no/such/model" in done.stderr
    assert "reviews@1" in registry("promote", "reviews@1", "--alias", "canary").stdout


def test_lists(registry):
    assert [line.split() for line in said(registry("list")).splitlines() if "reviews" in line] == [
        ["reviews", "2", "2", "live", "2", "negative,", "positive"]
    ]
    shown = said(registry("list", "reviews"))
    assert "<text> [b] 好 <mask>." in shown and "the first one" in shown and "promote live 1 → 2" in shown
    assert re.search(r"reviews@2 +live +<text>", shown)


def test_lists_as_json(registry, made):
    (listed,) = json.loads(said(registry("list", "--json")))
    assert json.loads(said(registry("list", "reviews", "--json"))) == listed
    assert (listed["name"], listed["aliases"]) == ("reviews", {"live": 2})
    version = listed["versions"][1]
    expected = {
        "number": 2, "aliases": ["live"], "kind": "prompt", "model": str(made / "model"), "encoder": None,
        "labels": ["negative", "positive"], "descriptions": ["<text> [b] 好 <mask>."], "note": "the second one",
    }  # fmt: skip
    assert expected.items() <= version.items()
    assert [change["action"] for change in listed["history"]] == ["add", "promote", "add", "promote"]


def test_faults_end_with_1(registry, folder):
    card = folder / "prompts/reviews/versions/1/prompt.json"
    card.write_bytes(card.read_bytes()[:-30])
    (folder / "prompts/reviews/aliases/canary").write_text("[b]\n")
    done = registry("check")
    first, second, last = done.stdout.strip().splitlines()
    assert done.returncode == 1 and last == "2 faults in 2 versions of 1 prompt"
    assert first.startswith("prompts/reviews/versions/1/prompt.json is damaged")
    assert second.startswith("prompts/reviews/aliases/canary is damaged: it holds b'[b]")
    refused = registry("promote", "reviews@1")
    assert refused.returncode == 2 and "prompt.json is damaged" in refused.stderr
