"""Options of writing: those of transformers' `GenerationConfig`, by name."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean, quoted_list
from softcloze.parameters import (
    BOOLEAN,
    NONE,
    NUMBER,
    POSITIVE,
    Constraint,
    integer,
    number,
    one_of,
    plain,
    validate_parameters,
)

if TYPE_CHECKING:
    from transformers import GenerationConfig, LogitsProcessor

DEFAULT_TOKENS = 128  # new tokens at most, where neither the template nor an option says so


def _whole(lowest: int, highest: int) -> Constraint:
    """Integers of a range."""
    return Constraint(
        f"an integer from {lowest} to {highest}",
        lambda value: integer(at_least=lowest).holds(value) and int(value) <= highest,
    )


def _are(holds: Callable[[Any], bool], value: object) -> bool:
    """Return True for a list with items, all of which hold."""
    return isinstance(value, list | tuple) and bool(value) and all(map(holds, value))


def _is_pair(value: object, first: Constraint, second: Constraint) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and first.holds(value[0]) and second.holds(value[1])


_SHARE = number("above 0, and 1 at most", lambda value: 0 < value <= 1)
_BELOW_ONE = number("from 0 to below 1", lambda value: 0 <= value < 1)
_ID = _whole(0, 2**31 - 1)
_IDS = Constraint("a list of token ids", lambda value: _are(_ID.holds, value))
_TEXT = Constraint("text that is not empty", lambda value: isinstance(value, str) and bool(value))
_TEXTS = Constraint("a list of texts that are not empty", lambda value: _are(_TEXT.holds, value))
_WORDS = Constraint("a list of lists of token ids", lambda value: _are(_IDS.holds, value))
_BIASES = Constraint(
    "a list of pairs of token ids and a number, as in [[[12, 5], -2.0]]",
    lambda value: _are(lambda pair: _is_pair(pair, _IDS, NUMBER), value),
)
_DECAY = Constraint("a number of tokens and a factor, as in [20, 1.05]", lambda value: _is_pair(value, _ID, POSITIVE))
SAMPLING = {
    "temperature": POSITIVE,
    "top_k": _whole(0, 2**31 - 1),
    "top_p": _SHARE,
    "min_p": number("from 0 to 1", lambda value: 0 <= value <= 1) | NONE,
    "top_h": _SHARE | NONE,
    "typical_p": _SHARE,
    "epsilon_cutoff": _BELOW_ONE,
    "eta_cutoff": _BELOW_ONE,
}
BEAMS = {"early_stopping": BOOLEAN | one_of("never"), "length_penalty": NUMBER}
OPTIONS: Mapping[str, Constraint] = {
    "max_new_tokens": _whole(1, 2**20),
    "min_new_tokens": _whole(0, 2**20) | NONE,
    "max_time": POSITIVE | NONE,
    "stop_strings": _TEXT | _TEXTS | NONE,
    "do_sample": BOOLEAN,
    "num_beams": _whole(1, 64),
    **SAMPLING,
    **BEAMS,
    "repetition_penalty": POSITIVE,
    "no_repeat_ngram_size": _whole(0, 2**20),
    "bad_words_ids": _WORDS | NONE,
    "sequence_bias": _BIASES | NONE,
    "suppress_tokens": _IDS | NONE,
    "begin_suppress_tokens": _IDS | NONE,
    "forced_bos_token_id": _ID | NONE,
    "forced_eos_token_id": _ID | _IDS | NONE,
    "eos_token_id": _ID | _IDS,
    "exponential_decay_length_penalty": _DECAY | NONE,
    "renormalize_logits": BOOLEAN,
    "remove_invalid_values": BOOLEAN,
}
"""The options that `PromptGenerator` takes, each with its values."""
_WITH_IDS = (
    "bad_words_ids",
    "sequence_bias",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "eos_token_id",
)

_REASONS = {
    "max_length": "it counts the prompt; give max_new_tokens",
    "min_length": "it counts the prompt; give min_new_tokens",
    "num_return_sequences": "each example gets one text",
    "pad_token_id": "the end of a batch is cut off anyway",
}
_OTHER = "it needs the ids of the prompt, which has embeddings, or changes the kind of result or of cache"


def validate_options(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Check options of writing; return them as data that JSON holds.

    Args:
        options: by name.
        prefix: precedes their names in messages.

    Raises:
        ParameterError: an option is unknown, has no effect here, or has a wrong value; names it and the way out.

    >>> validate_options({"do_sample": True, "temperature": 0.7})
    {'do_sample': True, 'temperature': 0.7}
    """
    from transformers import GenerationConfig  # slow to import

    for name in options:
        if name not in OPTIONS:
            if name in vars(GenerationConfig()):
                raise ParameterError(f"{prefix}{name} cannot be set: {_REASONS.get(name, _OTHER)}")
            hint = did_you_mean(name, OPTIONS) or f"; expected one of {quoted_list(OPTIONS)}"
            raise ParameterError(f"{prefix}{name} is no option of writing{hint}")
    validate_parameters(
        {prefix + name: value for name, value in options.items()},
        {prefix + name: constraint for name, constraint in OPTIONS.items()},
    )
    idle = [name for name in SAMPLING if name in options and not options.get("do_sample")]
    if idle:
        raise ParameterError(f"{quoted_list(idle)} has an effect with do_sample=True alone; give that as well")
    idle = [name for name in BEAMS if name in options and options.get("num_beams", 1) == 1]
    if idle:
        raise ParameterError(f"{quoted_list(idle)} has an effect with num_beams above 1 alone; give that as well")
    plain_options = {name: plain(value) for name, value in options.items()}
    generation_config(plain_options, (), 0)
    return plain_options


def with_changes(options: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Options with changes for one call; those of sampling or beams go with the sampling or the beams.

    >>> with_changes({"do_sample": True, "temperature": 0.7, "max_new_tokens": 9}, {"do_sample": False})
    {'do_sample': False, 'max_new_tokens': 9}
    """
    merged = {**options, **changes}
    idle = {} if merged.get("do_sample") else SAMPLING
    idle = idle if merged.get("num_beams", 1) != 1 else {**idle, **BEAMS}
    return {name: value for name, value in merged.items() if name in changes or name not in idle}


def validate_ids(options: Mapping[str, Any], count: int) -> None:
    """Raise ParameterError if checked options have a token id that a vocabulary of `count` tokens lacks.

    >>> validate_ids({"bad_words_ids": [[3, 8]]}, 9)
    """
    for name in _WITH_IDS:
        too_large = [i for i in _ids_of(name, options.get(name)) if i >= count]
        if too_large:
            raise ParameterError(
                f"{name} has the token id {too_large[0]}, and the vocabulary of the model has {count:,} ids, from 0 on"
            )


def _ids_of(name: str, value: Any) -> Iterator[int]:  # noqa: ANN401 - the value of any option with ids
    """All token ids in the value of an option."""
    if isinstance(value, list | tuple):
        # the second of a pair of "sequence_bias" is its number
        for item in [ids for ids, _ in value] if name == "sequence_bias" else value:
            yield from _ids_of("", item)
    elif value is not None:
        yield value


def generation_config(
    options: Mapping[str, Any], ends: tuple[int, ...], padding: int, start: int | None = None
) -> "GenerationConfig":
    """The configuration for `generate`, without the options of `processors_of` and stop strings.

    Args:
        options: checked options, with `max_new_tokens`.
        ends: token ids that end a text, unless an option says otherwise.
        padding: the token id that fills up a batch.
        start: the token with which the decoder of a seq2seq model begins.

    Raises:
        ParameterError: transformers rejects a value.
    """
    from transformers import GenerationConfig

    others = ("stop_strings", "repetition_penalty", "no_repeat_ngram_size")
    given = {name: value for name, value in options.items() if name not in others}
    given.setdefault("eos_token_id", list(ends) or None)
    try:
        return GenerationConfig(**given, decoder_start_token_id=start, pad_token_id=padding, num_return_sequences=1)
    except (ValueError, TypeError) as error:
        raise ParameterError(f"transformers rejects these options of writing: {error}") from error


def processors_of(options: Mapping[str, Any]) -> "list[LogitsProcessor]":
    """Processors for penalties of repeated tokens, which see new tokens only.

    They are not part of the configuration, with which `generate` would count padding of the prompt as new tokens.
    """
    from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

    processors: list[LogitsProcessor] = []
    if options.get("repetition_penalty", 1.0) != 1.0:
        processors.append(RepetitionPenaltyLogitsProcessor(float(options["repetition_penalty"])))
    if options.get("no_repeat_ngram_size", 0) > 0:
        processors.append(NoRepeatNGramLogitsProcessor(options["no_repeat_ngram_size"]))
    return processors
