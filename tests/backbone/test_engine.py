"""`clf.engine_`: facts about how a classifier's model is run."""

import pytest
import torch
from sklearn.exceptions import NotFittedError
from support import models

from softcloze import PromptClassifier
from softcloze.backbone.engine import Cached
from softcloze.prompt import BoundPrompt

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

TEXTS, LABELS = [models.SENTENCES[0], models.SENTENCES[14]], ["pos", "neg"]
WORDS = {"pos": "good", "neg": "bad"}


def classifier(architecture, template, **options):
    return PromptClassifier(models.backbone(architecture), template, WORDS, epochs=1, random_state=0).set_params(
        **options
    )


@pytest.mark.parametrize(("memory", "in_file"), [("2GiB", False), (0, True)])
def test_what_was_read_before_training(memory, in_file):
    clf = classifier("llama", "<text> <soft*2> It was <mask>", training__cache_memory=memory).fit(TEXTS, LABELS)
    lengths = [prompt.left.index(-1) for prompt in BoundPrompt(clf.prompt_, clf.backbone_).encode(TEXTS)]
    config = clf.backbone_.model.config
    numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    padded = len(TEXTS) * max(lengths)
    assert clf.engine_.cached == Cached(tokens=sum(lengths), bytes=padded * numbers * 4, in_file=in_file)
    clf.set_params(template="<text> It was <mask>").fit(TEXTS, LABELS)
    assert clf.engine_.cached is None


def test_a_hard_prompt_without_fit():
    clf = classifier("llama", "<text> It was <mask>")
    clf.predict(TEXTS)
    engine = clf.engine_
    assert (engine.family, engine.dtype, engine.device, engine.attention) == ("causal", "float32", "cpu", "softcloze")
    assert engine.threads == torch.get_num_threads() and not engine.compiled
    assert engine.supports_prefix_cache and engine.can_pack and not engine.prefix_cache_reason and engine.cached is None
    assert repr(engine).startswith(
        "RuntimeInfo(family='causal', dtype='float32', device='cpu', attention='softcloze', "
    )
    with pytest.raises(NotFittedError, match="soft slots"):
        _ = classifier("llama", "<text> <soft> <mask>").engine_


@pytest.mark.parametrize(("loaded", "used"), [("sdpa", "softcloze"), ("eager", "eager")])
def test_the_attention_that_is_used(loaded, used):
    backbone = models.new_backbone("llama")
    backbone.model.set_attn_implementation(loaded)
    clf = PromptClassifier(backbone, "<text> It was <mask>", WORDS)
    clf.predict(TEXTS)
    assert clf.engine_.attention == used
    with backbone.frozen():
        assert clf.engine_.attention == backbone.model.config._attn_implementation == used
    assert backbone.model.config._attn_implementation == loaded


@pytest.mark.parametrize("architecture", ["bert", "t5", "bloom"])
def test_why_not(architecture):
    engine = classifier(architecture, "<text> It was <mask>").engine_
    assert engine.supports_prefix_cache == (not engine.prefix_cache_reason) == (architecture == "bloom")
    assert not engine.can_pack
    assert engine.prefix_cache_reason.startswith(
        {"bert": "a masked model computes", "t5": "a seq2seq model computes"}.get(architecture, "")
    )
