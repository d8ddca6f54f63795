"""Models with adapters of PEFT attached: their scores are PEFT's, and their fingerprint is that of active adapters."""

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from support import models

from softcloze import PromptClassifier
from softcloze.backbone import Backbone, load_backbone
from softcloze.demonstrations import mean_states
from softcloze.errors import ArtifactError, BackboneError, ParameterError

# PEFT asks transformers for it
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
TEMPLATE, WORDS = "<soft*2> <text> It was <mask>", {"neg": "bad", "pos": "good"}
TEXTS, LABELS = ["A delight.", "Dull.", "A great film", "too long"], ["pos", "neg", "pos", "neg"]


def with_adapters(*names, alpha=8):
    """A tiny Llama with random LoRA adapters, the first of which is active."""
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=alpha, init_lora_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tuned = get_peft_model(models.model("llama"), config, names[0])
        for name in names[1:]:
            tuned.add_adapter(name, config)
    return tuned


@pytest.fixture
def tuned():
    return with_adapters("first", "second")


def test_the_fingerprint_tells_adapters_apart(tuned):
    tokenizer = models.tokenizer("llama")
    plain = models.backbone("llama")
    backbone = Backbone(tuned, tokenizer, "tuned")
    first = backbone.fingerprint["model"]
    tuned.set_adapter("second")
    second = backbone.fingerprint["model"]
    with tuned.disable_adapter():
        none = backbone.fingerprint["model"]
    stronger = Backbone(with_adapters("first", "second", alpha=16), tokenizer, "tuned").fingerprint["model"]
    assert len({first, second, none, stronger, plain.fingerprint["model"]}) == 5
    tuned.set_adapter("first")
    assert backbone.fingerprint["model"] == first == Backbone(tuned, tokenizer, "tuned").fingerprint["model"]


def test_mean_states_are_those_with_the_adapter(tuned):
    backbone = Backbone(tuned, models.tokenizer("llama"), "tuned")
    ids = backbone.tokenizer(TEXTS[2])["input_ids"]
    means = []
    for name in ("first", "second"):
        tuned.set_adapter(name)
        with torch.no_grad():
            expected = tuned.get_base_model().model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
        (mean,) = mean_states(backbone, [TEXTS[2]])
        torch.testing.assert_close(mean, expected, atol=1e-5, rtol=1e-4)
        means.append(mean)
    assert (means[0] - means[1]).abs().max() > 1e-3


def test_a_model_with_another_active_adapter_is_taken_anew(tuned):
    given = (tuned, models.tokenizer("llama"))
    first = load_backbone(given)
    assert load_backbone(given) is first
    tuned.set_adapter("second")
    assert load_backbone(given) is not first


def test_a_prompt_belongs_to_the_adapter_that_it_was_trained_with(tuned, tmp_path):
    backbone = Backbone(tuned, models.tokenizer("llama"), "tuned")
    before = [parameter.clone() for parameter in tuned.parameters()]
    fitted = PromptClassifier(backbone, TEMPLATE, WORDS, calibration=None, epochs=1, random_state=0).fit(TEXTS, LABELS)
    assert all(torch.equal(one, two) for one, two in zip(before, tuned.parameters(), strict=True))
    expected = []
    vectors = fitted.prompt_.vectors["#1"]
    for text in TEXTS:  # PEFT's own forward pass
        ids = backbone.tokenizer(f" {text} It was", add_special_tokens=False, return_tensors="pt").input_ids
        ids = ids if ids[0, 0] != 1 else ids[:, 1:]
        front = backbone.embed(torch.tensor([backbone.tokenizer.bos_token_id]))
        with torch.no_grad():
            rows = torch.cat([front, vectors, backbone.embed(ids[0])])[None]
            expected.append(tuned(inputs_embeds=rows).logits[0, -1].log_softmax(-1))
    words = [fitted._bound_prompt().compiled.words[i][0] for i in range(2)]
    found = torch.from_numpy(fitted.decision_function(TEXTS))
    logs = torch.stack(expected)[:, words].double()
    torch.testing.assert_close(found, logs[:, 1] - logs[:, 0], atol=1e-4, rtol=1e-4)
    fitted.save(tmp_path / "prompt")
    assert (
        PromptClassifier.load(tmp_path / "prompt", backbone).predict(TEXTS).tolist() == fitted.predict(TEXTS).tolist()
    )
    with pytest.raises(ArtifactError, match="another model"):
        PromptClassifier.load(tmp_path / "prompt", models.backbone("llama"))
    tuned.set_adapter("second")
    with pytest.raises(ArtifactError, match="another model"):
        PromptClassifier.load(tmp_path / "prompt", backbone)
    tuned.set_adapter("first")
    with pytest.raises(ParameterError, match="one kind at a time"):
        fitted.prompt_.to_peft(tmp_path / "adapter", backbone)


def test_a_prompt_of_peft_on_the_model_is_named():
    tuned = get_peft_model(models.model("gpt2"), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    with pytest.raises(BackboneError, match=r"PROMPT_TUNING.*Prompt\.from_peft"):
        Backbone(tuned, models.tokenizer("gpt2"), "tuned")
