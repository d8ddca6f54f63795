"""features="mean": the mean state over the tokens of the fields, against plain transformers."""

import numpy as np
import pytest
import torch
from support import models

from softcloze import PromptClassifier, Template, Verbalizer
from softcloze.errors import ParameterError
from softcloze.prompt import CompiledPrompt
from softcloze.soft import SoftVectors

WORDS = {"pos": "good", "neg": "bad"}
SEVERAL = {"pos": ["good", "a delight"], "neg": ["bad", "far too long"]}
TEXTS, LABELS = models.SENTENCES[:12], ["pos", "neg"] * 6
CHINESE = [text for text in models.SENTENCES if text[0] > "z"]
LONG = "This sentence expresses a positive or a negative feeling about a film, the story, the cast and the music"
SOURCE = "Review: <text> It was <mask>"
pytestmark = pytest.mark.usefixtures("few_folds")


def compiled(architecture, source=SOURCE, head="linear", table=WORDS, max_length=None):
    backbone = models.backbone(architecture)
    return CompiledPrompt(Template(source), Verbalizer(table), backbone, max_length, head, features="mean")


def field_positions(prompt, example, demonstrations=()):
    """Positions of kept tokens of fields, by what `inspect` says of each token."""
    kept = [info.kind for info in prompt.template.inspect(example, demonstrations=demonstrations) if info.kept]
    return [position for position, kind in enumerate(kept) if kind == "field"]


def states_of(backbone, ids):
    """The states of all tokens of one sequence by plain transformers, shape (tokens, state).

    Of a causal model those that its last layer is given, of a masked one the inputs of the output embedding.
    """
    if backbone.family == "causal":
        with torch.no_grad():
            return models.hidden_states_of(backbone.model, input_ids=torch.tensor([ids]))[-2][0]
    seen = []
    hook = backbone.model.get_output_embeddings().register_forward_hook(lambda _, args, __: seen.append(args[0]))
    try:
        with torch.no_grad():
            models.logits_of(backbone.model, ids)
    finally:
        hook.remove()
    return seen[0][0]


def expected_means(prompt, examples):
    backbone, means = prompt.backbone, []
    mask_id = backbone.prompt_tokenizer.mask_id
    for example, encoded in zip(examples, prompt.encode(examples), strict=True):
        ids = [*encoded.left, mask_id, *encoded.right] if mask_id is not None else list(encoded.left)
        means.append(states_of(backbone, ids)[field_positions(prompt, example)].mean(0))
    return torch.stack(means)


def close(states, expected):
    torch.testing.assert_close(states, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", [*models.MASKED, *models.CAUSAL])
def test_means_are_those_of_plain_transformers(architecture):
    prompt = compiled(architecture)
    texts = [*TEXTS[:5], *CHINESE[:3]]
    close(prompt.features(prompt.encode(texts), None), expected_means(prompt, texts))


@pytest.mark.parametrize(
    ("architecture", "layers", "index"), [("gpt2", 3, -2), ("gemma3_text", 2, -2), ("llama", 1, -1)]
)
def test_of_a_causal_model_they_are_those_before_the_last_of_several_layers(architecture, layers, index):
    backbone = models.backbone(architecture, layers=layers)
    prompt = CompiledPrompt(Template(SOURCE), Verbalizer(WORDS), backbone, None, "linear", features="mean")
    (encoded,) = prompt.encode(TEXTS[:1])
    with torch.no_grad():
        states = models.hidden_states_of(backbone.model, input_ids=torch.tensor([encoded.left]))[index][0]
    positions = list(encoded.field_positions)
    spelt = prompt.backbone.tokenizer.decode([encoded.left[i] for i in positions])
    assert spelt.strip() == TEXTS[0]
    close(prompt.features([encoded], None)[0], states[positions].mean(0))


@pytest.mark.parametrize("architecture", ["t5", "bart"])
def test_of_a_seq2seq_model_they_are_those_of_the_encoder(architecture):
    prompt = compiled(architecture, head="words+linear")
    backbone, encoded = prompt.backbone, prompt.encode(TEXTS[:4])
    means = prompt.features(encoded, None)[:, 2:]
    blank = (*backbone.prompt_tokenizer.sentinels, backbone.prompt_tokenizer.mask_marker_id)[0]
    for text, one, mean in zip(TEXTS, encoded, means, strict=False):
        ids = torch.tensor([[*one.left, blank, *one.right]])
        with torch.no_grad():
            states = backbone.model.get_encoder()(input_ids=ids).last_hidden_state[0]
        close(mean, states[field_positions(prompt, text)].mean(0))


@pytest.mark.parametrize(
    ("architecture", "source"),
    [
        ("bert", "It was <mask>. <text>"),
        ("roberta", "<soft*2> <text> It was <mask>."),
        ("gpt2", f"{LONG}: <text> It was <mask>"),
        ("llama", f"{LONG}: <soft*2> <text> <soft*3> It was <mask>"),
        ("llama", "<text> (<options>) It was <mask>, I say"),
    ],
)
def test_batches_and_shared_prefixes_change_nothing(architecture, source):
    """Rows share their first ids, several words share those of a row, and none of it is computed without its state."""
    prompt = compiled(architecture, source, "words+linear", SEVERAL if "options" not in source else WORDS)
    soft = None
    if prompt.template.blocks:
        generator = torch.Generator().manual_seed(0)
        soft = SoftVectors(prompt.template.blocks, torch.randn(prompt.template.soft_count, 32, generator=generator))
    # texts that begin alike, so that a prefix of several rows ends inside of the field
    texts = [text for stem in TEXTS[:3] for text in (stem, stem + " " + TEXTS[5], stem + " " + TEXTS[6])] + CHINESE[:2]
    prompts = prompt.encode(texts)
    together = prompt.features(prompts, soft)
    alone = torch.cat([prompt.features([one], soft) for one in prompts])
    close(together, alone)
    with prompt.backbone.frozen(), torch.no_grad():
        inputs = soft.inputs() if soft is not None else None
        prefix = prompt.scorer.cache_prefixes(prompts, 2**20)
        rows = list(range(len(prompts)))
        close(prompt.scorer.batch(prompts, inputs, prefix, rows if prefix is not None else ()).cpu(), alone)
    for one, text in zip(prompts, texts, strict=True):
        assert list(one.field_positions) == field_positions(prompt, text)


def test_tokens_that_are_cut_are_not_averaged():
    prompt = compiled("llama", "Review: <text max=4> It was <mask>")
    (encoded,) = prompt.encode(TEXTS[:1])
    assert encoded.cut and len(encoded.field_positions) == 4
    close(prompt.features([encoded], None), expected_means(prompt, TEXTS[:1]))


def test_several_fields_and_jinja():
    prompt = compiled("llama", "<title>: {{ text | upper }}{% if more %} <more>{% endif %} It was <mask>")
    examples = [{"title": "A film", "text": "dull people", "more": ""}, {"title": "很好", "text": "a", "more": "good"}]
    encoded = prompt.encode(examples)
    spelt = [prompt.backbone.tokenizer.decode([one.left[i] for i in one.field_positions]) for one in encoded]
    assert [text.replace(" ", "") for text in spelt] == ["AfilmDULLPEOPLE", "很好Agood"]
    close(prompt.features(encoded, None), expected_means(prompt, examples))


def test_demonstrations_are_not_averaged():
    clf = PromptClassifier(
        models.backbone("llama"), "<demos*2><text> It was <mask>", WORDS, head="linear", features="mean", random_state=0
    ).fit(TEXTS, LABELS)
    bound = clf._bound_prompt()
    (encoded,) = bound.encode(TEXTS[:1])
    assert bound.backbone.tokenizer.decode([encoded.left[i] for i in encoded.field_positions]).strip() == TEXTS[0]


@pytest.mark.parametrize("architecture", ["bert", "llama", "t5"])
def test_a_text_without_tokens_has_the_state_at_the_mask(architecture):
    prompt = compiled(architecture)
    (encoded,) = prompt.encode([""])
    assert encoded.field_positions == ()
    features = prompt.features([encoded], None)
    assert features.isfinite().all()
    if architecture != "t5":
        at_mask = CompiledPrompt(Template(SOURCE), Verbalizer(WORDS), prompt.backbone, None, "linear")
        close(features, at_mask.features([encoded], None))


def test_text_after_the_mask_of_a_causal_model_changes_nothing():
    with_right = compiled("gpt2", SOURCE + ", I say")
    without = compiled("gpt2")
    close(with_right.features(with_right.encode(TEXTS), None), without.features(without.encode(TEXTS), None))


@pytest.mark.parametrize("head", ["linear", "words+linear"])
@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
@pytest.mark.parametrize("source", [SOURCE, "<soft*2> " + SOURCE])
def test_a_classifier_is_fitted_saved_and_loaded(tmp_path, architecture, source, head):
    backbone = models.backbone(architecture)
    clf = PromptClassifier(backbone, source, WORDS, head=head, features="mean", epochs=1, random_state=0)
    clf.fit(TEXTS, LABELS).save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", backbone)
    assert loaded.features == "mean"
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    other = PromptClassifier(backbone, source, WORDS, head=head, epochs=1, random_state=0).fit(TEXTS, LABELS)
    assert not np.allclose(other.predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_each_example_is_computed_once(monkeypatch):
    backbone, computed = models.backbone("gpt2"), []
    padded, packed = backbone._forward.padded, backbone._forward.packed
    monkeypatch.setattr(backbone._forward, "padded", lambda ids, *a, **k: computed.extend(ids) or padded(ids, *a, **k))
    monkeypatch.setattr(backbone._forward, "packed", lambda p, *a, **k: computed.extend(p.ids) or packed(p, *a, **k))
    clf = PromptClassifier(backbone, "<text> It was <mask>", WORDS, head="words+linear", features="mean")
    clf.fit(TEXTS, LABELS)
    assert len(computed) <= len(TEXTS) + 2  # and the label words as texts


class TestErrors:
    def test_a_field_after_the_mask_of_a_causal_model(self):
        with pytest.raises(ParameterError, match="put <mask> after the fields"):
            compiled("gpt2", "It was <mask>: <text>")

    @pytest.mark.parametrize("head", ["words", "warp", "prototypes"])
    def test_a_head_without_a_linear_layer(self, head):
        clf = PromptClassifier("no such model", SOURCE, WORDS, head=head, features="mean")
        with pytest.raises(ParameterError, match=r'features="mean" is for a linear layer.*choose head=\'linear\' or'):
            clf.fit(TEXTS, LABELS)

    def test_other_features_than_those_of_the_prompt(self, tmp_path):
        backbone = models.backbone("bert")
        PromptClassifier(backbone, SOURCE, WORDS, head="linear").fit(TEXTS, LABELS).save(tmp_path / "prompt")
        with pytest.raises(ParameterError, match="features='mean' is not that of the saved prompt, 'mask'"):
            PromptClassifier.load(tmp_path / "prompt", backbone, features="mean")
