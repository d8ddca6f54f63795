"""Log-probabilities of the whole vocabulary at the mask."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from softcloze.backbone import Backbone, SoftInputs
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.families import plan_words, state_input_of
from softcloze.scoring.field_vectors import with_field_vectors
from softcloze.scoring.plan import AdaptivePlan, ModelInput, late_positions
from softcloze.verbalizer import Decoding


def log_probabilities(
    backbone: Backbone,
    prompt: EncodedPrompt,
    words: Sequence[tuple[int, ...]] = (),
    soft: SoftInputs | None = None,
    decoding: Decoding = "together",
) -> tuple[Tensor, Tensor]:
    """Log-probabilities at the one mask of one prompt, without gradient.

    Those of the vocabulary are for a single mask token, also where the template has <mask*2>. A causal model predicts
    them from the text before the mask, whatever text follows; a seq2seq model's decoder as the first token at the mask.

    Args:
        backbone: the model, frozen.
        prompt: an encoded prompt.
        words: token ids of words to score as well, of any length.
        soft: the soft vectors, or None where the template has none.
        decoding: how a masked model decodes words of several tokens: see `Verbalizer`.

    Returns:
        Nats in float64 on the CPU: of each word, shape (words,), and of the whole vocabulary, shape (vocab,).

    Raises:
        EncodingError: nothing comes before the mask of a causal model.
        NonFiniteError: the scores of the vocabulary are NaN or infinite.
    """
    plan = plan_words(backbone, words, decoding, has_right=False)
    with torch.no_grad():
        (prompt,), soft = with_field_vectors(backbone, [prompt], soft)
    if backbone.family == "causal":
        types = prompt.token_type_ids[: len(prompt.left) + 1] if prompt.token_type_ids is not None else None
        prompt = replace(prompt, right=(), token_type_ids=types)

    def log_softmax(model_input: ModelInput, positions: Sequence[int]) -> Tensor:
        """Log-probabilities over the vocabulary at some positions of a model input, shape (positions, vocab)."""
        outputs = backbone.outputs(
            [model_input.ids],
            [positions],
            token_type_ids=[model_input.token_type_ids],
            sources=[model_input.source],
            soft=soft,
            late_positions=[late_positions(prompt, model_input)] if soft is not None and soft.late else (),
        )
        return outputs.logits.cpu().double().log_softmax(-1)

    def read(model_inputs: Sequence[Sequence[ModelInput]]) -> Tensor:
        sums = torch.zeros(1, plan.n_columns, dtype=torch.float64)
        for model_input in model_inputs[0]:
            logs = log_softmax(model_input, model_input.positions)
            index_of = {position: k for k, position in enumerate(model_input.positions)}
            for wanted in model_input.reads:
                sums[0, wanted.column] += logs[index_of[wanted.position], wanted.token]
        return sums

    with torch.inference_mode():
        scores = read([plan.model_inputs(prompt) if words else []])
        if isinstance(plan, AdaptivePlan):
            scores = plan.scores([prompt], scores, read)
        state_input = state_input_of(backbone, prompt)
        vocabulary = log_softmax(state_input, state_input.states[0])
    backbone.validate_scores(vocabulary, soft.tensors if soft is not None else {})
    return scores[0], vocabulary[0]
