"""The prefix cache of training: in memory or in a file vectors are the same bit for bit, and no file remains."""

import numpy as np
import pytest
import torch
from support import models
from support.training_task import Task

from softcloze import PromptClassifier
from softcloze.backbone import shared_prefix
from softcloze.errors import ParameterError
from softcloze.scoring import prefixes
from softcloze.scoring.prefix_tree import PrefixNode
from softcloze.training import TrainingSettings, parse_size

AFTER = "<text> <soft*2> It was <mask>"
WORDS = {"pos": "good", "neg": "bad"}


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3_text", "mistral", "qwen3"])
def test_a_cache_in_a_file_changes_nothing(architecture):
    task = Task(architecture, AFTER)
    weights = [task.fit(cache_memory=memory)[0].weight for memory in (2**30, 0)]
    assert torch.equal(*weights) and not torch.equal(weights[0], task.initial)


def test_prefixes_of_every_length_are_kept_by_row(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTCLOZE_CACHE", str(tmp_path))
    task = Task("llama", AFTER)
    in_file, in_memory = (task.scorer.cache_prefixes(task.prompts, memory) for memory in (0, 2**30))
    for in_both in zip(in_file.layers, in_memory.layers, strict=True):
        assert all(torch.equal(*sides) for sides in zip(*in_both, strict=True))
    for i in range(len(task.prompts)):
        alone = task.scorer.cache_prefixes([task.prompts[i]], 2**30)
        row = in_file.select([i])
        assert row.lengths.tolist() == alone.lengths.tolist() == [task.prompts[i].left.index(-1)]
        for own, other in zip(row.layers, alone.layers, strict=True):
            torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-5)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]  # it has no name


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3_text"])
def test_what_prompts_begin_with_is_computed_once_and_changes_nothing(architecture, monkeypatch):
    task = Task(architecture, f"{'It was good. ' * 6}<text> <soft*2> It was <mask>")
    backbone, tokens = task.scorer.backbone, []
    prefill = backbone.prefill
    with monkeypatch.context() as patch:
        patch.setattr(backbone, "prefill", lambda ids, *more: tokens.append(sum(map(len, ids))) or prefill(ids, *more))
        cache = task.scorer.cache_prefixes(task.prompts, 2**30)
    shared = shared_prefix([prompt.left for prompt in task.prompts])
    assert sum(tokens) <= int(cache.lengths.sum()) - shared * (len(task.prompts) - 1)
    for i, prompt in enumerate(task.prompts):
        alone, row = prefill([prompt.left[: prompt.left.index(-1)]]), cache.select([i])
        for own, other in zip(row.layers, alone.layers, strict=True):
            torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-5)
    weights = [task.fit()[0].weight]
    monkeypatch.setattr(prefixes, "prefix_tree", lambda ids, _: PrefixNode(members=[*range(len(ids))]))
    weights.append(task.fit()[0].weight)
    torch.testing.assert_close(*weights, atol=1e-4, rtol=1e-4)
    assert not torch.equal(weights[0], task.initial)


@pytest.mark.parametrize(("memory", "size"), [("2GiB", 2**31), ("500MB", 500_000_000), ("1.5 kB", 1500), (7, 7)])
def test_sizes(memory, size):
    assert parse_size(memory) == size


@pytest.mark.parametrize("memory", ["lots", "2", "-1GB", "GB", "1 XB"])
def test_no_sizes(memory):
    clf = PromptClassifier(models.backbone("llama"), AFTER, WORDS, training=TrainingSettings(cache_memory=memory))
    with pytest.raises(ParameterError, match=f"cache_memory='{memory}', but it has to be a size in memory, such as"):
        clf.fit(["good", "bad"], ["pos", "neg"])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the model knows nothing
def test_cache_memory_is_a_parameter_of_fit():
    texts, labels = models.SENTENCES[:4], ["pos", "neg"] * 2
    vectors = []
    for memory in ("1GiB", 0):
        training = TrainingSettings(target_loss=0, cache_memory=memory)
        clf = PromptClassifier(models.backbone("gpt2"), AFTER, WORDS, epochs=1, training=training, random_state=0)
        vectors.append(clf.fit(texts, labels).predict_proba(texts))
    np.testing.assert_array_equal(*vectors)
