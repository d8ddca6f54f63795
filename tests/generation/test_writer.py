import dataclasses

import numpy as np
import pytest
import torch

from softcloze.backbone import FieldNetwork, LayerVectors, SoftInputs
from softcloze.backbone.model_inputs import ModelInputs
from softcloze.encoding import AnswerFormat, EncodedPrompt
from softcloze.errors import BackboneError, NonFiniteError
from softcloze.generation import Writer
from softcloze.generation.hooks import StopAt
from softcloze.scoring import AnswerPlan
from tests.support.models import backbone, logits_of, new_backbone

CAUSAL = ["gpt2", "llama", "gemma3_text", "qwen3", "bloom"]
SEQ2SEQ = ["t5", "bart"]
TOKENS = 6


def vectors(width, seed=0):
    return torch.randn(3, width, generator=torch.Generator().manual_seed(seed)) * 0.5


def writer_of(model, options=None, **more):
    """A writer for prompts without text after the answer, except for T5, which fills in a sentinel."""
    fills = bool(model.prompt_tokenizer.sentinels)
    opening = model.prompt_tokenizer.sentinels[:1] if fills else ()
    plan = AnswerPlan(model, AnswerFormat("", None, (), opening, fills))
    return Writer(model, plan, options if options is not None else {"max_new_tokens": TOKENS}, **more)


def soft_of(model):
    return SoftInputs(vectors(model.width))


def prompts(right=()):
    """Prompts of unequal lengths that begin alike, with slots in front, in the middle and at the end."""
    generator = np.random.default_rng(0)

    def ids(count):
        return tuple(generator.integers(5, 90, count).tolist())

    front = (-1, -2, *ids(4))
    several = [(*front, *ids(count), -3, *ids(1)) for count in (3, 9, 5, 1)]
    return [EncodedPrompt(left, right, {}) for left in [*several, (*front, *ids(4), -3)]]


def greedy(scores, row, count=TOKENS):
    """New ids by one full forward pass for each."""
    new = []
    with torch.no_grad():
        for _ in range(count):
            new.append(int(scores([*row, *new]).argmax()))
    return tuple(new)


@pytest.mark.parametrize("architecture", CAUSAL)
def test_greedy_ids_are_those_of_full_forward_passes(architecture):
    model = backbone(architecture)
    soft = soft_of(model)
    written = writer_of(model).write(prompts(), soft)
    for prompt, text in zip(prompts(), written, strict=True):
        assert text.ids == greedy(lambda row: logits_of(model.model, row, soft.embeddings)[-1], prompt.left)
        assert text.text == model.tokenizer.decode(
            text.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


@pytest.mark.parametrize("architecture", SEQ2SEQ)
def test_greedy_ids_of_a_decoder_are_those_of_full_forward_passes(architecture):
    model = backbone(architecture)
    soft = soft_of(model)
    embed = model.model.get_input_embeddings()
    written = writer_of(model).write(prompts((2,)), soft)
    for prompt, text in zip(prompts((2,)), written, strict=True):
        start = writer_of(model).plan.opening(prompt)
        rows = [soft.embeddings[-1 - i] if i < 0 else embed(torch.tensor(i)) for i in start.source]
        encoder = {"inputs_embeds": torch.stack(rows)[None]}

        def scores(row, encoder=encoder):
            return model.model(**encoder, decoder_input_ids=torch.tensor([row])).logits[0, -1]

        assert text.ids == greedy(scores, start.ids)


@pytest.mark.parametrize("architecture", [*CAUSAL, *SEQ2SEQ])
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2}])
def test_a_batch_writes_what_single_rows_write(architecture, options):
    model = backbone(architecture)
    writer, soft = writer_of(model, {"max_new_tokens": TOKENS, **options}), soft_of(model)
    rows = prompts((2,) if architecture in SEQ2SEQ else ())
    assert writer.write(rows, soft) == [writer.write([row], soft)[0] for row in rows]


def test_texts_share_batches_unless_their_padding_costs_more_than_steps_of_another(monkeypatch):
    model, rows = backbone("llama"), prompts()
    sizes, write = [], model.write
    monkeypatch.setattr(
        model, "write", lambda ids, *rest, **more: (sizes.append(len(ids)), write(ids, *rest, **more))[1]
    )
    writer_of(model).write(rows, soft_of(model))
    long = EncodedPrompt((5,) * 90, (), {})
    writer_of(model, {"max_new_tokens": 3}).write([*rows, long], soft_of(model))
    assert sizes == [len(rows), 1, len(rows)]


def test_the_common_prefix_is_computed_once_and_changes_nothing(monkeypatch):
    model = backbone("llama")
    lengths = []
    prefill = model.prefill
    monkeypatch.setattr(model, "prefill", lambda ids, *rest: (lengths.append(len(ids[0])), prefill(ids, *rest))[1])
    writer, soft = writer_of(model), soft_of(model)
    shared = writer.write(prompts(), soft)
    assert lengths == [6]
    monkeypatch.setattr(Writer, "_shared_prefix", lambda *_: None)
    assert writer.write(prompts(), soft) == shared


def test_the_prefix_is_left_out_where_a_layer_has_a_shorter_window(monkeypatch):
    model = backbone("gemma3_text")  # with a window of 8 tokens
    monkeypatch.setattr(model, "prefill", lambda *_: pytest.fail("the padding after a prefix would count as distance"))
    writer_of(model).write(prompts(), soft_of(model))


LAYERS = {1: LayerVectors(vectors(32, 1) * 4, torch.tensor([False, True, False]))}
LATE = {1: LayerVectors(torch.zeros(3, 32))}


@pytest.mark.parametrize("architecture", ["llama", "bart"])
def test_vectors_at_later_layers_enter_in_the_prompt_and_not_at_new_tokens(architecture):
    model = backbone(architecture)
    seq2seq = architecture in SEQ2SEQ
    rows = prompts((2,) if seq2seq else ())
    generator = torch.Generator().manual_seed(2)
    down, up = torch.randn(4, 32, generator=generator), torch.randn(1, 32, 4, generator=generator)
    network = FieldNetwork("text", range(2, 3), down, up, layer=1)
    plain = soft_of(model)
    deep, late = dataclasses.replace(plain, layers=LAYERS), dataclasses.replace(plain, layers=LATE, late=(network,))
    for soft in (deep, late):
        with_field = [dataclasses.replace(row, late_positions=(3, 4, 5)) for row in rows]
        for options in ({}, {"num_beams": 2}):
            writer = writer_of(model, {"max_new_tokens": TOKENS, **options})
            written = writer.write(with_field, soft)
            assert written == [writer.write([row], soft)[0] for row in with_field]
        written = writer_of(model).write(with_field, soft)
        assert [text.ids for text in written] != [text.ids for text in writer_of(model).write(rows, plain)]
        for row, text in zip(with_field, written, strict=True):
            start = writer_of(model).plan.opening(row)

            def scores(ids, source=start.source, soft=soft):
                return model.outputs(
                    [ids],
                    [[len(ids) - 1]],
                    sources=[source],
                    soft=soft,
                    late_positions=[(3, 4, 5)] if soft.late else (),
                ).logits[0]

            assert text.ids == greedy(scores, start.ids)


def test_the_configuration_of_the_model_has_no_effect_and_comes_back():
    model = new_backbone("gpt2")
    writer, soft = writer_of(model), soft_of(model)
    expected = writer.write(prompts(), soft)
    own = model.model.generation_config
    own.update(do_sample=True, suppress_tokens=list(expected[0].ids), min_p=0.5, num_beams=2, max_new_tokens=2)
    before = own.to_dict()
    assert writer.write(prompts(), soft) == expected
    assert model.model.generation_config is own
    assert own.to_dict() == before


def test_drawing_is_reproducible_and_leaves_the_global_generator_alone():
    model = backbone("qwen3")
    writer, soft = writer_of(model, {"max_new_tokens": TOKENS, "do_sample": True, "top_k": 0}), soft_of(model)
    state = torch.random.get_rng_state()
    one, again, other = (writer.write(prompts(), soft, seed) for seed in (3, 3, 4))
    assert one == again != other
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_text_ends_at_its_end_token_or_its_first_stop_string():
    model = backbone("llama")
    soft = soft_of(model)
    free = writer_of(model, {"max_new_tokens": 12}).write(prompts(), soft)
    ends = writer_of(model, {"max_new_tokens": 12}, ends=(free[0].ids[4],)).write(prompts(), soft)
    assert ends[0].ids == free[0].ids[:4]
    middle = free[1].text[len(free[1].text) // 2 :][:2]
    stopped = writer_of(model, {"max_new_tokens": 12, "stop_strings": [middle, "\0"]}).write(prompts(), soft)
    for text, whole in zip(stopped, free, strict=True):
        assert text.text == whole.text.partition(middle)[0]
        assert text.ids == whole.ids[: len(text.ids)]


def test_memory_that_runs_out_halves_the_batches(monkeypatch):
    model = backbone("gpt2")
    writer, soft = writer_of(model, {"max_new_tokens": 2}), soft_of(model)
    expected = writer.write(prompts(), soft)
    write, sizes = model.write, []

    def limited(sequences, *arguments, **more):
        sizes.append(len(sequences))
        if len(sequences) > 1:
            raise torch.OutOfMemoryError
        return write(sequences, *arguments, **more)

    monkeypatch.setattr(model, "write", limited)
    assert writer.write(prompts(), soft) == expected
    assert sizes.count(1) == len(prompts())


def test_scores_that_are_not_finite_are_an_error_and_no_text():
    soft = SoftInputs(torch.full((3, 32), torch.nan))
    with pytest.raises(NonFiniteError, match="its soft vectors"):
        writer_of(backbone("llama")).write(prompts(), soft)


def test_models_that_do_not_write(monkeypatch):
    with pytest.raises(BackboneError, match="masked model"):
        writer_of(backbone("bert")).write([EncodedPrompt((5,), (), {})])
    monkeypatch.setattr(ModelInputs, "embeds_per_layer", True)  # as Gemma 3n does
    with pytest.raises(BackboneError, match="embeds each token once more for each layer"):
        writer_of(backbone("gemma3_text")).write(prompts())


def test_a_text_says_what_ended_it():
    model = backbone("qwen3")
    long = writer_of(model, {"max_new_tokens": 12})
    texts = long.write(prompts(), soft_of(model))
    assert {text.finish for text in texts} == {"length"}
    stop = texts[0].text[4:7]
    stopped = writer_of(model, {"max_new_tokens": 12}, stops=(stop,)).write(prompts(), soft_of(model))
    alone = [writer_of(model, {"max_new_tokens": 12}, stops=(stop,)).write([p], soft_of(model))[0] for p in prompts()]
    assert stopped == alone  # with as many tokens, though a batch is filled up after the end
    assert stopped[0].finish == "stop" and len(stopped[0].ids) < 12
    assert [text.finish for text in stopped] == ["stop" if stop in text.text else "length" for text in texts]
    end = texts[0].ids[3]
    ended = writer_of(model, {"max_new_tokens": 12, "eos_token_id": end}).write(prompts()[:1], soft_of(model))[0]
    assert (ended.finish, end in ended.ids) == ("end", False)


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}])
@pytest.mark.parametrize("architecture", ["gpt2", "t5"])
def test_a_follower_sees_new_tokens_and_a_text_that_is_not_needed_changes_no_other(architecture, options):
    model = backbone(architecture)
    soft, writer = soft_of(model), writer_of(model, {"max_new_tokens": 8, **options})
    whole = writer.write(prompts(), soft)
    seen = {}

    def follow(row, ids):
        seen.setdefault(row, []).append(tuple(ids))
        return row == 1 and len(ids) >= 3

    followed = writer.write(prompts(), soft, follow=follow)
    assert seen.keys() == {0, 1, 2, 3, 4}
    assert [followed[i] for i in (0, 2, 3, 4)] == [whole[i] for i in (0, 2, 3, 4)]
    assert [len(ids) for ids in seen[0]] == [*range(1, len(seen[0]) + 1)]
    if not options:
        assert seen[0][-1][: len(whole[0].ids)] == whole[0].ids


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}])
def test_the_model_stops_once_no_text_is_needed(options):
    model = backbone("gpt2")
    steps = []
    writer = writer_of(model, {"max_new_tokens": 40, **options})
    writer.write(prompts(), soft_of(model), follow=lambda row, ids: steps.append(len(ids)) or len(ids) >= 3)
    assert max(steps) <= 4


def test_white_space_before_a_text_is_no_stop_string():
    tokenizer = backbone("gpt2").tokenizer
    ids = tokenizer(" good film")["input_ids"]
    ends = StopAt(tokenizer.decode, [" "], 1, [0], space=" ")
    assert [bool(ends(torch.tensor([[5, *ids[:k]]]), torch.empty(0))) for k in (1, len(ids))] == [False, True]
