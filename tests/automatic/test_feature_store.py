"""An interrupted automatic choice resumes from the features that it kept, and ends as an uninterrupted one."""

import numpy as np
import pytest
from sklearn.base import clone
from support import models

from softcloze import AutoPromptClassifier
from softcloze.automatic import feature_store
from softcloze.automatic.feature_store import remove_features
from softcloze.errors import FileError

TEXTS = models.SENTENCES[:8]
LABELS = ["good", "bad"] * 4
pytestmark = pytest.mark.usefixtures("few_folds")


@pytest.fixture(scope="module")
def auto():
    backbone = models.backbone("bert")
    return AutoPromptClassifier(backbone, candidates=2, budget=None, soft_prompts=0, random_state=0)


@pytest.fixture
def computed(monkeypatch):
    """The members whose features are computed: examples, or texts of the labels, by one prompt."""
    parts, compute = [], feature_store.score_together

    def counted(members):
        parts.extend(member for member in members if member.prompts)
        return compute(members)

    monkeypatch.setattr(feature_store, "score_together", counted)
    return parts


def interrupted_after(auto, templates):
    """The same fit, interrupted after so many templates."""
    left = [None] * templates

    def stop(best):
        left.pop()
        if not left:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clone(auto).set_params(on_trial=stop).fit(TEXTS, LABELS)


def test_only_what_is_missing_is_computed(auto, computed, tmp_path):
    whole = clone(auto).fit(TEXTS, LABELS)
    assert len(computed) == 4
    uninterrupted = len(computed)
    kept = clone(auto).set_params(checkpoint=tmp_path)
    computed.clear()
    interrupted_after(kept, 1)
    assert len([*tmp_path.iterdir()]) == len(computed) > 0
    again = clone(kept).fit(TEXTS, LABELS)
    assert len(computed) == uninterrupted
    assert (again.predict_proba(TEXTS) == whole.predict_proba(TEXTS)).all()
    assert [*map(str, again.trials_.records)] == [*map(str, whole.trials_.records)]
    computed.clear()
    clone(kept).set_params(members=1).fit(TEXTS, LABELS)  # other parameters compute nothing twice
    assert computed == []


def test_a_damaged_file_is_written_anew(auto, computed, tmp_path):
    kept = clone(auto).set_params(checkpoint=str(tmp_path), candidates=1)
    whole = kept.fit(TEXTS, LABELS).predict_proba(TEXTS)
    path = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)
    content = path.read_bytes()
    for damaged in (b"", content[:-7]):
        path.write_bytes(damaged)
        np.testing.assert_array_equal(clone(kept).fit(TEXTS, LABELS).predict_proba(TEXTS), whole)
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        {"random_state": 1},
        {"verbalizer": {"good": "great", "bad": "terrible"}},
        {"model": models.new_backbone("bert", seed=1)},
    ],
    ids=["order", "words", "model"],
)
def test_features_of_another_choice_are_not_used(auto, computed, tmp_path, change):
    kept = clone(auto).set_params(checkpoint=tmp_path, candidates=1)
    clone(kept).fit(TEXTS, LABELS)
    computed.clear()
    clone(kept).set_params(**change).fit(TEXTS, LABELS)
    assert len(TEXTS) in [len(member.prompts) for member in computed]


def test_a_folder_that_cannot_be_written_raises_before_the_model_is_loaded(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file"):
        AutoPromptClassifier("no/such-model", checkpoint=tmp_path / "file" / "x").fit(TEXTS, LABELS)


def test_other_files_stay_when_features_are_removed(tmp_path):
    for name in ("features-1.safetensors", "fit-1.safetensors"):
        (tmp_path / name).write_text("")
    remove_features(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fit-1.safetensors"]
    (tmp_path / "fit-1.safetensors").unlink()
    remove_features(tmp_path)
    remove_features(tmp_path)
    assert not tmp_path.exists()
