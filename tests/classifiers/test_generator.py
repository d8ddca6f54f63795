import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from support import models
from support.chat_templates import chat_backbone

from softcloze import PromptClassifier, PromptGenerator, PromptSet
from softcloze.errors import ArtifactError, DataError, EncodingError, ParameterError, TemplateSyntaxError

TEXTS = models.SENTENCES[:8]
ANSWERS = ["good", "a bad film", "", "很好", "dull", "good", "a bad one", "no"]
SOFT = "<soft*3>Review: <text>\nIn short: <answer max=12>\n"
HARD = "Review: <text>\nIn short: <answer max=8>"

pytestmark = pytest.mark.filterwarnings("ignore:the training loss")


def generator(template=SOFT, model="gpt2", **parameters):
    parameters = {"epochs": 2, "learning_rate": 0.3, "random_state": 0, **parameters}
    return PromptGenerator(models.backbone(model), template, **parameters)


@pytest.fixture(scope="module")
def fitted():
    return generator().fit(TEXTS, ANSWERS)


KINDS = {
    "front": SOFT,
    "behind": "<text> <soft*2>:<answer max=12>\n",
    "two places": "<soft*2 name=a><text> <soft name=b> = <answer max=12>",
    "deep": "<soft*2 layers=all> <text> <soft layers=1 mode=replace>:<answer max=12>\n",
    "via": "<soft*2 via=mlp> <text>:<answer max=12>\n",
    "from": "<soft*2 from=text> <text>:<answer max=12>\n",
    "from states": "<soft*2 from=text from_by=states> <text>:<answer max=12>\n",
    "late": "<text> <soft*2 from=text layers=1>:<answer max=12>\n",
    "fixed": "<soft train=no init=good> <soft> <text>:<answer max=12>\n",
    "demonstrations": "<demos*2><soft*2><text>:<answer max=12>\n",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["llama", "bart"])
def test_every_kind_of_slot_is_trained_saved_loaded_and_streamed(kind, model, tmp_path):
    gen = generator(KINDS[kind], model, demonstrations="nearest" if model == "bart" else "random")
    texts = gen.fit(TEXTS, ANSWERS).predict(TEXTS)
    assert texts.shape == (8,)
    assert texts.dtype == object
    gen.save(tmp_path / "saved")
    loaded = PromptGenerator.load(tmp_path / "saved", models.backbone(model))
    assert loaded.predict(TEXTS).tolist() == texts.tolist()
    assert "".join(loaded.stream(TEXTS[0])) == texts[0] == loaded.predict(TEXTS[:1])[0]
    np.testing.assert_array_equal(loaded.log_likelihood(TEXTS, ANSWERS), gen.log_likelihood(TEXTS, ANSWERS))
    assert loaded.get_params()["epochs"] == 2
    assert loaded.history_ == gen.history_


def test_a_fit_is_reproducible_and_its_loss_is_that_of_its_answers():
    one, other = (generator(epochs=4).fit(TEXTS, ANSWERS) for _ in range(2))
    assert one.predict(TEXTS).tolist() == other.predict(TEXTS).tolist()
    losses = [record["loss"] for record in one.history_]
    assert losses == [record["loss"] for record in other.history_]
    assert losses[-1] < losses[0]
    nothing = generator(epochs=1, learning_rate=1e-6).fit(TEXTS, ANSWERS)
    prompts = nothing._bound_prompt().encode(TEXTS, answers=ANSWERS)
    tokens = np.array([len(prompt.answer) for prompt in prompts])
    mean = -(nothing.log_likelihood(TEXTS, ANSWERS) * tokens).sum() / tokens.sum()
    assert mean == pytest.approx(nothing.history_[0]["loss"], abs=1e-3)


def test_the_model_is_given_back_as_it_was():
    backbone = models.new_backbone("llama")
    model, config = backbone.model.train(), backbone.model.generation_config
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attention = model.config._attn_implementation
    gen = PromptGenerator(backbone, SOFT, epochs=1, random_state=0).fit(TEXTS, ANSWERS)
    gen.predict(TEXTS)
    stream = gen.stream(TEXTS[0], max_new_tokens=12)
    next(stream)
    stream.close()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert model.training and model.generation_config is config
    assert model.config._attn_implementation == attention


def test_scikit_learn_clones_and_searches(fitted):
    copy = clone(fitted)
    assert copy.model is fitted.model
    assert not hasattr(copy, "prompt_")
    grid = {"learning_rate": [0.1, 0.3], "training__warmup_fraction": [0.0]}
    search = GridSearchCV(generator(epochs=1), grid, cv=2).fit(TEXTS, ANSWERS)
    assert 0 <= search.best_score_ <= 100
    assert cross_val_score(generator(epochs=1), np.array(TEXTS), np.array(ANSWERS, dtype=object), cv=2).shape == (2,)


def test_frames_and_several_fields():
    frame = pd.DataFrame({"question": ["How?", "Who?"], "text": ["By train.", "I am."], "other": [1, 2]})
    gen = generator("<soft*2><question> <text>:<answer max=8>\n").fit(frame, pd.Series(["train", "me"]))
    assert gen.predict(frame).tolist() == gen.predict(frame.to_dict("records")).tolist()


def test_a_hard_prompt_writes_without_fit():
    gen = generator(HARD)
    assert gen.predict(TEXTS[:2]).tolist() == gen.fit(TEXTS, ANSWERS).predict(TEXTS[:2]).tolist()
    assert gen.predict([]).shape == (0,)
    for template in (SOFT, "<demos><text>:<answer>\n"):
        with pytest.raises(NotFittedError, match="call fit first"):
            generator(template).predict(TEXTS)


def test_options_of_the_generator_and_of_a_call(fitted):
    assert fitted.predict(TEXTS[:2], max_new_tokens=1).tolist() != fitted.predict(TEXTS[:2]).tolist()
    with_options = clone(fitted).set_params(options={"max_new_tokens": 1}).fit(TEXTS, ANSWERS)
    assert with_options.predict(TEXTS[:2]).tolist() == fitted.predict(TEXTS[:2], max_new_tokens=1).tolist()
    drawn = [fitted.predict(TEXTS[:2], do_sample=True, top_k=0).tolist() for _ in range(2)]
    assert drawn[0] == drawn[1]
    with pytest.raises(ParameterError, match="did you mean 'num_beams'"):
        fitted.predict(TEXTS, num_beam=2)
    with pytest.raises(ParameterError, match="options: temperature=-1"):
        generator(options={"do_sample": True, "temperature": -1}).fit(TEXTS, ANSWERS)


def test_demonstrations_show_other_answers():
    texts, answers = ["I", "it", "a", "the"], ["one", "two", "three", "four"]
    gen = generator("<demos*2><text> -> <answer max=6>\n").fit(texts, answers)
    bound = gen._bound_prompt()
    (prompt,) = bound.encode(["end"])
    text = bound.backbone.tokenizer.decode(prompt.left)
    shown = [f"{text} -> {answer}\n" for text, answer in zip(texts, answers, strict=True)]
    assert sum(pair in text for pair in shown) == 2
    assert text.endswith("end ->")


@pytest.mark.parametrize(
    ("X", "answers", "error", "message"),
    [
        (TEXTS, ANSWERS[:3], DataError, "8 examples but there are 3 answers"),
        (TEXTS[:2], ["a", None], DataError, "row 1 of answers is None"),
        (TEXTS[:2], "ab", DataError, "answers has to be a list of texts"),
        ([], [], DataError, "found none"),
        (TEXTS[:2], ["fine", "two\nlines"], EncodingError, "row 1: .*stop string"),
        (TEXTS[:2], ["fine", "long " * 20], EncodingError, "row 1: .*max=12"),
    ],
)
def test_pairs_that_do_not_fit_are_named(X, answers, error, message):
    with pytest.raises(error, match=message):
        generator().fit(X, answers)


def test_more_new_tokens_than_positions_are_an_error():
    gen = generator("<soft*2><text>:<answer max=12>\n", "bart").fit(TEXTS[:2], ANSWERS[:2])
    with pytest.raises(EncodingError, match="max_new_tokens=70"):
        gen.predict(TEXTS, max_new_tokens=70)
    with pytest.raises(EncodingError, match="writes 62 at most"):
        generator("<soft*2><text>:<answer>\n", "bart").fit(TEXTS[:2], ["good", "a bad film " * 30])
    with pytest.raises(EncodingError, match="answer take 80 where 64 fit"):
        generator(HARD).predict(TEXTS, max_new_tokens=70)


def test_a_mask_is_no_answer():
    with pytest.raises(TemplateSyntaxError, match="PromptGenerator writes free text at an <answer>"):
        generator("<soft*2><text> It was <mask>.").fit(TEXTS, ANSWERS)
    with pytest.raises(TemplateSyntaxError, match="PromptGenerator"):
        PromptClassifier(models.backbone("gpt2"), SOFT, {"a": "good", "b": "bad"}).fit(TEXTS, list("abababab"))
    with pytest.raises(TemplateSyntaxError, match="masked model"):
        generator(SOFT, "bert").fit(TEXTS, ANSWERS)


def test_a_generator_is_no_classifier_and_the_reverse(fitted, tmp_path):
    fitted.save(tmp_path / "generator")
    with pytest.raises(ArtifactError, match=r"PromptGenerator\.load"):
        PromptClassifier.load(tmp_path / "generator")
    with pytest.raises(ParameterError, match="GeneratorPrompt"):
        PromptSet([fitted.prompt_], fitted.backbone_)
    clf = PromptClassifier(models.backbone("gpt2"), "<text> It was <mask>", {"a": "good", "b": "bad"})
    clf.save(tmp_path / "prompt")
    with pytest.raises(ArtifactError, match=r"PromptClassifier\.load"):
        PromptGenerator.load(tmp_path / "prompt")
    with pytest.raises(ArtifactError, match="not a saved prompt"):
        clf.save(tmp_path / "generator")


def test_a_generator_belongs_to_its_model_and_template(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"generator.json", "vectors.safetensors"}
    card = json.loads((tmp_path / "saved" / "generator.json").read_text(encoding="utf-8"))
    assert "verbalizer" not in card
    with pytest.raises(ArtifactError, match="belongs to another model"):
        PromptGenerator.load(tmp_path / "saved", models.new_backbone("gpt2", seed=1))
    with pytest.raises(ParameterError, match="template"):
        PromptGenerator.load(tmp_path / "saved", fitted.backbone_, template=HARD)


def test_warm_start_continues_from_the_vectors(fitted):
    warm = clone(fitted).set_params(warm_start=True, learning_rate=1e-6)
    warm._adopt(fitted._bound_prompt())
    before = fitted.prompt_.vectors["#1"]
    warm.fit(TEXTS, ANSWERS)
    assert float((warm.prompt_.vectors["#1"] - before).abs().max()) < 1e-3


def test_weights_count_pairs_as_often(fitted):
    """One batch holds all pairs, so that their order has no effect."""
    options = {"batch_size": 9, "epochs": 3}
    texts, answers = (np.repeat(column[:4], (2, 1, 3, 1)).tolist() for column in (TEXTS, ANSWERS))
    repeated = generator(**options).fit(texts, answers)
    weighted = generator(**options).fit(TEXTS[:5], ANSWERS[:5], sample_weight=[4, 2, 6, 2, 0])
    torch.testing.assert_close(weighted.prompt_.vectors["#1"], repeated.prompt_.vectors["#1"], atol=1e-4, rtol=1e-3)
    assert weighted.history_[-1]["loss"] == pytest.approx(repeated.history_[-1]["loss"], abs=1e-4)
    assert weighted.prompt_.training["examples"] == 4
    equal = generator().fit(TEXTS, ANSWERS, sample_weight=[0.5] * 8)
    assert torch.equal(equal.prompt_.vectors["#1"], fitted.prompt_.vectors["#1"])
    with pytest.raises(DataError, match="row 1 of sample_weight is -1"):
        generator().fit(TEXTS[:2], ANSWERS[:2], sample_weight=[1, -1])


def test_a_chat_turn_is_written_as_plain_transformers_writes_it():
    backbone = chat_backbone()
    hard = PromptGenerator(backbone, "<chat:system>Be short.<chat:user><text><chat:assistant><answer max=10>")
    bound = hard._bound_prompt()
    end = backbone.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end in bound.compiled.ends
    assert bound.encode(TEXTS[:1], answers=["good"])[0].answer[-1] == end
    for text, written in zip(TEXTS[:3], hard.predict(TEXTS[:3]), strict=True):
        messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": text}]
        ids = backbone.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        options = {"max_new_tokens": 10, "do_sample": False, "pad_token_id": 0, "eos_token_id": [*bound.compiled.ends]}
        new = backbone.model.generate(**ids, **options)[0, ids["input_ids"].shape[1] :]
        assert written == backbone.tokenizer.decode(new, skip_special_tokens=True)
    soft = PromptGenerator(
        backbone, "<chat:user><soft*2> <text><chat:assistant>Answer: <answer max=12>", epochs=1, random_state=0
    )
    assert soft.fit(TEXTS, ANSWERS).predict(TEXTS[:2]).shape == (2,)


def test_token_ids_that_the_model_lacks_are_named_before_anything_is_spent(fitted):
    with pytest.raises(ParameterError, match="forced_bos_token_id has the token id 100000"):
        fitted.predict(TEXTS[:1], forced_bos_token_id=100_000)
    with pytest.raises(ParameterError, match="bad_words_ids has the token id 100000"):
        generator(options={"bad_words_ids": [[100_000]]}, epochs=10**6).fit(TEXTS, ANSWERS)


@pytest.mark.parametrize("architecture", ["bart", "mbart"])
def test_a_forced_first_token_follows_the_start_of_the_decoder_as_in_transformers(architecture):
    backbone = models.backbone(architecture)
    forced = backbone.prompt_tokenizer.ids("good")[0]
    text = PromptGenerator(backbone, "<text><answer max=6>").predict(["A dull film."], forced_bos_token_id=forced)[0]
    new = backbone.model.generate(
        **backbone.tokenizer("A dull film.", return_tensors="pt", return_token_type_ids=False),
        max_new_tokens=7,  # of which the model's own configuration forces the last
        forced_bos_token_id=forced,
        decoder_start_token_id=backbone.decoder_start,
        eos_token_id=backbone.tokenizer.eos_token_id,
    )[0]
    assert new[1] == forced
    assert text == backbone.tokenizer.decode(new[:7], skip_special_tokens=True)


def test_a_forced_first_token_is_an_error_where_transformers_ignores_it(fitted):
    with pytest.raises(ParameterError, match="forced_bos_token_id is the first token of a decoder"):
        fitted.predict(TEXTS[:1], forced_bos_token_id=5)


def test_a_call_may_be_greedy_though_the_generator_samples(fitted):
    sampling = clone(fitted).set_params(options={"do_sample": True, "temperature": 2.0}).fit(TEXTS, ANSWERS)
    assert sampling.predict(TEXTS).tolist() != fitted.predict(TEXTS).tolist()
    assert sampling.predict(TEXTS, do_sample=False).tolist() == fitted.predict(TEXTS).tolist()
    assert "".join(sampling.stream(TEXTS[0], do_sample=False)) == fitted.predict(TEXTS[:1])[0]


class Watched(PromptGenerator):
    """Predicts after each attribute that is set, as another thread might."""

    watching = False

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if self.watching:
            vars(self)["watching"] = False
            try:
                outcomes.append(self.predict(TEXTS[:1]).shape)
            except NotFittedError:
                outcomes.append(None)
            vars(self)["watching"] = True


outcomes = []


def test_a_thread_may_predict_while_a_fit_in_another_ends():
    done = generator(epochs=1).fit(TEXTS, ANSWERS)._bound_prompt()
    gen = Watched(done.backbone, SOFT)
    outcomes.clear()
    vars(gen)["watching"] = True
    gen._adopt(done)
    gen._adopt(generator(epochs=1).fit(TEXTS, ANSWERS)._bound_prompt())
    assert outcomes[:3] == [None] * 3 and {*outcomes[3:]} == {(1,)}
    assert gen.prompt_ is gen._bound_prompt().prompt


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_fit_without_gradients_is_an_error_before_a_model_is_loaded(context):
    texts, labels = TEXTS[:4], ["a", "b"] * 2
    clf = PromptClassifier("./nowhere", "<soft*2> <text> <mask>", {"a": "good", "b": "bad"})
    for fit in (lambda: PromptGenerator("./nowhere", SOFT).fit(TEXTS, ANSWERS), lambda: clf.fit(texts, labels)):
        with context(), pytest.raises(ParameterError, match=r"call fit outside of that block"):
            fit()
