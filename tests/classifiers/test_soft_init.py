"""Soft prompts initialised from another prompt."""

import pickle

import pytest
import torch
from sklearn.base import clone
from support import models

from softcloze import PromptClassifier, PromptGenerator
from softcloze.errors import ArtifactError, ParameterError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

WORDS = {"neg": "bad", "pos": "good"}
SOURCE = "<soft*3 name=task> <text> <soft*2> It was <mask>"
TARGET = '<soft*2> <text> <soft*3 name=task init="the film"> 很 <mask>'
TEXTS, LABELS = models.SENTENCES[:6], ["pos", "neg"] * 3


def classifier(template, soft_init="template", architecture="gpt2", **parameters):
    parameters = {"random_state": 0, "epochs": 1, "max_length": 40, **parameters}
    return PromptClassifier(models.backbone(architecture), template, WORDS, soft_init=soft_init, **parameters)


@pytest.fixture(scope="module")
def source():
    return classifier(SOURCE, epochs=4, learning_rate=1.0).fit(TEXTS, LABELS).prompt_


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "源"
    source.save(path)
    return path


def start_of(clf):
    """Vectors before the first step, as `fit` passes them to training."""
    vectors = {}

    def interrupt(tasks, *_, **__):
        vectors.update(tasks[0].soft.by_block())
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("softcloze.classifiers.trained.train", interrupt)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(TEXTS, LABELS)
    return vectors


def test_only_the_block_of_that_name_is_copied(source, folder, monkeypatch):
    plain = start_of(classifier(TARGET))
    for soft_init in (source, folder, str(folder)):
        vectors = start_of(classifier(TARGET, soft_init))
        assert torch.equal(vectors["task"], source.vectors["task"])
        assert torch.equal(vectors["#1"], plain["#1"])
    assert not torch.equal(plain["task"], source.vectors["task"])
    monkeypatch.chdir(folder.parent)
    assert torch.equal(start_of(classifier(TARGET, "源"))["task"], source.vectors["task"])


def test_a_known_init_is_not_read_as_a_folder(source, folder, monkeypatch):
    source.save(folder.parent / "labels")
    monkeypatch.chdir(folder.parent)
    assert not torch.equal(start_of(classifier(TARGET, "labels"))["task"], source.vectors["task"])


def test_training_continues_from_the_copied_vectors(source):
    clf = classifier(TARGET, source).fit(TEXTS, LABELS)
    assert clf.prompt_.vectors["task"].shape == (3, 32)
    assert not torch.equal(clf.prompt_.vectors["task"], source.vectors["task"])


def test_the_record_names_a_prompt_given_by_its_folder(source, folder, tmp_path):
    clf = classifier(TARGET, folder).fit(TEXTS, LABELS)
    clf.save(tmp_path / "p")
    assert PromptClassifier.load(tmp_path / "p", clf.backbone_).soft_init == str(folder)
    clf = classifier(TARGET, source).fit(TEXTS, LABELS)
    clf.save(tmp_path / "p")
    assert PromptClassifier.load(tmp_path / "p", clf.backbone_).soft_init == "template"


def test_a_warm_start_takes_precedence(source, folder):
    clf = classifier(TARGET, folder, warm_start=True).fit(TEXTS, LABELS)
    trained = clf.prompt_.vectors["task"]
    clf.set_params(soft_init="gone")
    assert torch.equal(start_of(clf)["task"], trained)


def test_clone_and_pickle(source, named):
    clf = classifier(TARGET, source).set_params(model=named("gpt2"))
    copy = pickle.loads(pickle.dumps(clone(clf)))
    assert copy.soft_init.template == source.template
    assert torch.equal(start_of(copy)["task"], source.vectors["task"])


@pytest.mark.parametrize(
    ("template", "match"),
    [
        ("<soft*4 name=task> <text> <mask>", r"'task' has 4 vectors, but 3 in .*write <soft\*3 name=task>"),
        ("<soft*3 name=other> <text> <mask>", "here 'other', there 'task'; give the slots the same name"),
        ("<soft*2> <text> <mask>", "here none, there 'task'"),
    ],
)
def test_blocks_that_do_not_fit_raise(source, template, match):
    with pytest.raises(ParameterError, match=match):
        classifier(template, source).fit(TEXTS, LABELS)


def test_unnamed_blocks_are_never_shared():
    unnamed = classifier("<soft*2> <text> <mask>").fit(TEXTS, LABELS).prompt_
    with pytest.raises(ParameterError, match="here none, there none"):
        classifier("<soft*2> <text> It was <mask>", unnamed).fit(TEXTS, LABELS)


def test_another_model_raises(source):
    with pytest.raises(ArtifactError, match="belongs to another model"):
        classifier(TARGET, source, architecture="llama").fit(TEXTS, LABELS)


@pytest.mark.parametrize("soft_init", ["zeros", "vocabulry", 3, None])
def test_an_unknown_soft_init_raises(soft_init):
    with pytest.raises(ParameterError, match=rf"soft_init={soft_init!r}, but it has to be .* folder of a saved prompt"):
        classifier(TARGET, soft_init).fit(TEXTS, LABELS)


def test_a_folder_without_a_prompt_is_named(tmp_path):
    for soft_init in (str(tmp_path), tmp_path, tmp_path / "missing"):
        with pytest.raises(ArtifactError, match="is not a saved prompt"):
            classifier(TARGET, soft_init).fit(TEXTS, LABELS)


TWO = "<soft*3 name=language> <text> <soft*2 name=task> It was <mask>"


@pytest.fixture(scope="module")
def pair():
    """Two fitted classifiers whose prompts have the same blocks."""
    return [classifier(TWO, epochs=2, learning_rate=1.0, random_state=seed).fit(TEXTS, LABELS) for seed in (1, 2)]


def test_each_block_starts_from_its_own_prompt(pair, tmp_path):
    first, second = pair
    first.save(tmp_path / "first")
    for language in (first, first.prompt_, tmp_path / "first", str(tmp_path / "first")):
        vectors = start_of(classifier(TWO, {"language": language, "task": second}))
        assert torch.equal(vectors["language"], first.prompt_.vectors["language"])
        assert torch.equal(vectors["task"], second.prompt_.vectors["task"])
    vectors = start_of(classifier(TWO, {"task": second}))
    assert torch.equal(vectors["task"], second.prompt_.vectors["task"])
    assert torch.equal(vectors["language"], start_of(classifier(TWO))["language"])


def test_several_prompts_without_a_block_in_common(pair, source):
    language = classifier("<soft*3 name=language> <text> It was <mask>").fit(TEXTS, LABELS)
    template = "<soft*3 name=language> <text> <soft*3 name=task> It was <mask>"
    vectors = start_of(classifier(template, [language, source]))
    assert torch.equal(vectors["language"], language.prompt_.vectors["language"])
    assert torch.equal(vectors["task"], source.vectors["task"])
    with pytest.raises(ParameterError, match=r"soft_init\[0\] and soft_init\[1\] both have a soft block 'language'"):
        classifier(TWO, pair).fit(TEXTS, LABELS)


def test_composed_prompts_save_and_clone(pair, tmp_path):
    """A clone keeps what fitted classifiers of soft_init have learnt."""
    template = TWO.replace("name=", "train=no name=")
    clf = clone(classifier(template, {"language": pair[0], "task": pair[1]})).fit(TEXTS, LABELS)
    assert torch.equal(clf.prompt_.vectors["language"], pair[0].prompt_.vectors["language"])
    assert torch.equal(clf.prompt_.vectors["task"], pair[1].prompt_.vectors["task"])
    clf.save(tmp_path / "p")
    again = PromptClassifier.load(tmp_path / "p", clf.backbone_)
    assert again.predict_proba(TEXTS).tolist() == clf.predict_proba(TEXTS).tolist()


@pytest.mark.parametrize(
    ("soft_init", "match"),
    [
        (lambda fitted: {"tsk": fitted}, "block 'tsk', and the blocks .* are 'language', 'task'; did you mean 'task'"),
        (lambda fitted: {"language": "gone"}, r"soft_init\['language'\]='gone', but it has to be a prompt"),
        (lambda fitted: [fitted, 3], r"soft_init\[1\]=3, but it has to be a prompt"),
        (lambda fitted: {"task": clone(fitted)}, r"soft_init\['task'\] is a PromptClassifier without vectors yet"),
        (
            lambda fitted: [fitted, classifier("<soft name=other> <text> <mask>").fit(TEXTS, LABELS)],
            r"in common with soft_init\[1\]: here 'language', 'task', there 'other'",
        ),
        (
            lambda fitted: {"task": classifier("<soft*9 name=task> <text> <mask>").fit(TEXTS, LABELS)},
            r"'task' has 2 vectors, but 9 in soft_init\['task'\]; write <soft\*9 name=task>",
        ),
        (
            lambda fitted: {
                "task": classifier("<soft*2 name=task> <text> <mask>", architecture="llama").fit(TEXTS, LABELS)
            },
            r"soft block 'task' cannot start from soft_init\['task'\]: this prompt belongs to another model",
        ),
    ],
)
def test_prompts_that_do_not_fit_raise(pair, soft_init, match):
    with pytest.raises((ParameterError, ArtifactError), match=match):
        classifier(TWO, soft_init(pair[0])).fit(TEXTS, LABELS)


# -- generators --

ANSWERS = ["good", "a bad film", "", "很好", "dull", "no"]
WRITER = '<soft*3 name=task init="the film"> <text> <soft*2>:<answer max=12>\n'


def generator(soft_init="template", template=WRITER, **parameters):
    parameters = {"random_state": 0, "epochs": 1, **parameters}
    return PromptGenerator(models.backbone("gpt2"), template, soft_init=soft_init, **parameters)


def test_generators_and_classifiers_start_from_one_another(source, folder, tmp_path):
    """A tiny rate leaves the vectors next to their start."""
    still = {"learning_rate": 1e-6}
    plain = generator(**still).fit(TEXTS, ANSWERS).prompt_.vectors
    for soft_init in (source, folder, {"task": str(folder)}):
        vectors = generator(soft_init, **still).fit(TEXTS, ANSWERS).prompt_.vectors
        torch.testing.assert_close(vectors["task"], source.vectors["task"], atol=1e-5, rtol=0)
        torch.testing.assert_close(vectors["#1"], plain["#1"], atol=1e-5, rtol=0)
    assert not torch.allclose(plain["task"], source.vectors["task"], atol=1e-5)
    gen = generator([folder], epochs=2, learning_rate=1.0).fit(TEXTS, ANSWERS)
    assert gen.prompt_.training["sources"]["task"]["prompt"] == str(folder)
    gen.save(tmp_path / "generator")
    for soft_init in (gen, tmp_path / "generator"):
        assert torch.equal(start_of(classifier(TARGET, soft_init))["task"], gen.prompt_.vectors["task"])
    warm = PromptGenerator.load(tmp_path / "generator", models.backbone("gpt2"), warm_start=True, **still)
    assert warm.fit(TEXTS, ANSWERS).prompt_.training["sources"] == gen.prompt_.training["sources"]
    torch.testing.assert_close(warm.prompt_.vectors["task"], gen.prompt_.vectors["task"], atol=1e-5, rtol=0)


def test_what_a_generator_cannot_start_from(source):
    with pytest.raises(ParameterError, match="soft_init='labels', but it has to be 'template', 'vocabulary', a prompt"):
        generator("labels").fit(TEXTS, ANSWERS)
    with pytest.raises(ParameterError, match=r"write <soft\*3 name=task>"):
        generator(source, "<soft*4 name=task> <text>:<answer>").fit(TEXTS, ANSWERS)
    with pytest.raises(ParameterError, match="without vectors yet: call its fit first"):
        generator(generator()).fit(TEXTS, ANSWERS)
