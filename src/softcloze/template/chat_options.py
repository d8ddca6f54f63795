"""Options of a tokenizer's chat template: variables of the template, and their values."""

import json
from collections.abc import Mapping
from typing import TypeAlias

from softcloze.parameters import Constraint

ChatOptions: TypeAlias = Mapping[str, object]
# arguments of transformers' apply_chat_template, and names that it gives to every template
_RESERVED = {
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "max_length",
    "messages",
    "padding",
    "raise_exception",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "sanitize_control_tokens",
    "strftime_now",
    "tokenize",
    "tokenizer_kwargs",
    "truncation",
}


def _holds(value: object) -> bool:
    try:
        return (
            isinstance(value, Mapping)
            and all(isinstance(name, str) and name.isidentifier() and name not in _RESERVED for name in value)
            and bool(json.loads(json.dumps(dict(value), allow_nan=False)) == value)
        )
    except (TypeError, ValueError, RecursionError):
        return False


CHAT_OPTIONS = Constraint(
    'a mapping from variables of the chat template to values that JSON holds, such as {"enable_thinking": True}',
    _holds,
)
"""The values that `chat_options` takes.

>>> CHAT_OPTIONS.holds({"date_string": "26 July 2026"}), CHAT_OPTIONS.holds({"tokenize": True})
(True, False)
"""
