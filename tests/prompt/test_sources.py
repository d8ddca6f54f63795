"""The card of a composed prompt names the sources of its blocks."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest
from support import models

from softcloze import MultiTaskPrompt, Prompt, PromptClassifier, combine
from softcloze.analysis import inspect_soft
from softcloze.analysis.soft_slots import slot_tables
from softcloze.display import as_html
from softcloze.errors import ArtifactError
from softcloze.prompt import CARD
from softcloze.prompt.card import TrainingEntry
from softcloze.prompt.shape import check_shape
from softcloze.prompt.sources import copied, describe_source

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::softcloze.errors.OneSidedWarning"
)  # models that know nothing

TEXTS, LABELS = models.SENTENCES[:6], ["pos", "neg"] * 3
WORDS = {"pos": "good", "neg": "bad"}
TEMPLATE = '<soft*2 init="the film" name=task> <text> <soft*3 name=other> It was <mask>'
DIGEST = "0" * 64


def classifier(template=TEMPLATE, **parameters):
    parameters = {"random_state": 0, "epochs": 1, "max_length": 40, **parameters}
    return PromptClassifier(models.backbone("gpt2"), template, WORDS, **parameters)


def digest(vectors):
    return sha256(vectors.numpy().astype("<f4").tobytes()).hexdigest()


@pytest.fixture(scope="module")
def source():
    return classifier().fit(TEXTS, LABELS).prompt_


def of_card(prompt, folder):
    """The sources in the card of a prompt, which loads again."""
    prompt.save(folder)
    sources = json.loads((folder / CARD).read_text(encoding="utf-8"))["training"].get("sources")
    assert Prompt.load(folder).training.get("sources") == sources
    return sources


def test_a_prompt_of_its_own_has_none(source, tmp_path):
    assert of_card(source, tmp_path / "p") is None
    assert inspect_soft(PromptClassifier.of_prompt(source, models.backbone("gpt2"))).sources == {}


def test_blocks_that_started_from_other_prompts(source, tmp_path):
    source.save(tmp_path / "源")
    clf = classifier(soft_init={"task": source, "other": tmp_path / "源"}).fit(TEXTS, LABELS)
    expected = {
        "task": {"kind": "soft_init", "prompt": TEMPLATE, "vectors": digest(source.vectors["task"])},
        "other": {"kind": "soft_init", "prompt": str(tmp_path / "源"), "vectors": digest(source.vectors["other"])},
    }
    assert of_card(clf.prompt_, tmp_path / "p") == expected
    clf.set_params(warm_start=True, soft_init="template").fit(TEXTS, LABELS)
    assert clf.prompt_.training["sources"] == expected


def test_the_page_of_an_evaluation_names_them(source):
    clf = classifier(soft_init={"task": source}).fit(TEXTS, LABELS)
    (table,) = slot_tables(clf.prompt_)
    said = f"started from {TEMPLATE} (vectors {digest(source.vectors['task'])[:8]})"
    assert dict(zip(["task", "other"], table.columns[-1].cells, strict=True)) == {"task": said, "other": ""}
    assert "started from &lt;soft*2 init=" in as_html([table])
    (plain,) = slot_tables(source)
    assert [column.name for column in plain.columns] == [column.name for column in table.columns[:-1]]


def test_blocks_that_are_not_trained(source):
    template = TEMPLATE.replace("=task", "=task train=no").replace("=other", "=other train=no")
    clf = classifier(template, soft_init=[source]).fit(TEXTS, LABELS)
    assert clf.prompt_.training["sources"].keys() == {"task", "other"}


def test_a_sum(source, tmp_path):
    other = classifier(random_state=1).fit(TEXTS, LABELS)
    combined = combine([source, other.prompt_], [1, -0.5], other.backbone_)
    terms = [
        {"prompt": TEMPLATE, "vectors": digest(source.vectors["task"]), "weight": 1.0},
        {"prompt": TEMPLATE, "vectors": digest(other.prompt_.vectors["task"]), "weight": -0.5},
    ]
    assert of_card(combined, tmp_path / "p") == {"task": {"kind": "sum", "terms": terms}}
    again = combine([combined], [1], other.backbone_, block="other")
    assert again.training["sources"].keys() == {"task", "other"}
    said = str(inspect_soft(PromptClassifier.of_prompt(combined, other.backbone_)))
    assert f"block task: sum of 1 x {TEMPLATE}"[:60] in " ".join(said.split())
    assert f"(vectors {terms[1]['vectors'][:8]})" in " ".join(said.split())


def test_several_tasks(tmp_path):
    tasks = MultiTaskPrompt({"films": classifier(), "books": classifier()}, epochs=1, random_state=0)
    tasks.fit({"films": (TEXTS, LABELS), "books": (TEXTS, LABELS)})
    sources = of_card(tasks.prompts_["books"], tmp_path / "p")
    assert sources == {"task": {"kind": "tasks", "task": "books", "tasks": ["films", "books"]}}
    assert tasks.shared_.training["sources"]["task"]["task"] is None
    assert "block task: of the task 'books', trained together with 'films'" in str(
        inspect_soft(tasks.classifiers_["books"])
    )
    assert describe_source(tasks.shared_.training["sources"]["task"]) == "shared by the tasks 'films', 'books'"


def test_a_long_template_is_truncated(source):
    assert len(copied("<text> " * 1000, source.vectors["task"])["prompt"]) == 300


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ([], "sources is []"),
        ({"task": None}, "sources.task is None"),
        ({"task": {"kind": "soft_init", "prompt": "p", "vectors": "0"}}, "task.vectors is '0'; expected a SHA-256"),
        ({"task": {"kind": "soft_init", "prompt": "", "vectors": DIGEST}}, "task.prompt is ''; expected a name of"),
        ({"task": {"kind": "soft_init", "prompt": "p"}}, "task lacks 'vectors'"),
        ({"task": {"kind": "soft_init", "prompt": "p", "vectors": DIGEST, "x": 1}}, "task has 'x'"),
        ({"task": {"kind": "sum", "terms": [[]]}}, "task.terms[0] is []"),
        ({"task": {"kind": "sum", "terms": [{"prompt": "p", "vectors": DIGEST, "weight": "1"}]}}, "weight is '1'"),
        ({"task": {"kind": "tasks", "task": 1, "tasks": []}}, "task.task is 1"),
        ({"task": {"kind": "tasks", "task": None, "tasks": [None]}}, "tasks[0] is None"),
        ({"task": {"kind": "other"}}, "task is {'kind': 'other'}"),
    ],
)
def test_a_wrong_entry_is_found(entry, problem):
    assert problem in check_shape({"sources": entry}, TrainingEntry, "training")


def test_a_prompt_with_a_wrong_entry_cannot_be_saved(source, tmp_path):
    wrong = replace(source, training={**source.training, "sources": {"task": "p"}})
    with pytest.raises(ArtifactError, match=r"training\.sources\.task is 'p'"):
        wrong.save(tmp_path / "p")
