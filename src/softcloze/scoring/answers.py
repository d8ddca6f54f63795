"""Scoring plan for answers as free text."""

from dataclasses import replace

from softcloze.backbone import Backbone
from softcloze.encoding import AnswerFormat, EncodedPrompt
from softcloze.scoring.families import answer_input_of
from softcloze.scoring.plan import LogitRead, ModelInput, Plan, token_type_ids_of


class AnswerPlan(Plan):
    """Score the answer of each prompt: the sum of the log-probabilities of its tokens and of its end.

    The head of the model runs at the answer's positions alone. A causal model writes the answer after the prompt, and
    the decoder of a seq2seq model from its start, or in place of a sentinel of the encoder.
    """

    normalised = True
    words = ((),)  # one sum for each prompt, of ids that are its own

    def __init__(self, backbone: Backbone, answers: AnswerFormat, forced: int | None = None):
        """Plan for answers in this format.

        Args:
            backbone: the model.
            answers: position and end of the answers.
            forced: a token after a decoder's start, in place of what the tokenizer puts in front of a text; None for
                that. It is not scored.
        """
        self._backbone = backbone
        self._answers = answers if forced is None else replace(answers, opening=(forced,))

    @property
    def begins_after_start(self) -> bool:
        """True for a decoder that writes from its start, and not in place of a sentinel."""
        return self._backbone.decoder_start is not None and not self._answers.fills

    def opening(self, prompt: EncodedPrompt) -> ModelInput:
        """The sequence that the model continues with the answer."""
        return answer_input_of(self._backbone, prompt, self._answers)

    def model_inputs(self, prompt: EncodedPrompt) -> list[ModelInput]:
        """The sequence of a prompt with its answer."""
        opening, answer = self.opening(prompt), prompt.answer
        first = len(opening.ids) - 1
        reads = tuple(LogitRead(first + k, token, 0) for k, token in enumerate(answer))
        types = token_type_ids_of(prompt, len(answer) - 1) if not opening.source else None
        return [ModelInput(opening.ids + answer[:-1], reads, types, source=opening.source)]

    def max_inputs(self, prompt: EncodedPrompt) -> int:
        """One."""
        return 1

    def packed_length(self, prompt: EncodedPrompt) -> int:
        """The tokens of the prompt and its answer without the last."""
        return len(prompt.left) + len(prompt.answer) - 1
