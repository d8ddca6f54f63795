"""Frame chat turns: the text that the tokenizer's own chat template puts before the content of each turn.

The frame is what `apply_chat_template` renders around placeholders; nothing of it is written here. Contents never pass
through the chat template, so that fields stay data: no template trims them, and no control token in them is one.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

from softcloze.encoding.tokenizer import PretrainedTokenizer, PromptTokenizer
from softcloze.errors import EncodingError, ParameterError, TokenizerError
from softcloze.formatting import did_you_mean, one_line, quoted
from softcloze.template.chat_options import ChatOptions
from softcloze.template.nodes import Role

THINKING = "enable_thinking"  # as in the templates of Qwen3, SmolLM3 and others
DATE = "date"
_CLOCK = "strftime_now"  # a function that transformers gives to templates
_ASKED = "softcloze asks for the format "
_FOLD = "\n\n"  # between the texts of the system and the user, as in the templates that fold them themselves


class ChatFormat:
    """The chat template of a tokenizer with its options.

    Source:
        `apply_chat_template` of transformers, with `continue_final_message=True`: the last turn, the assistant's, is
        begun and not ended.
    """

    def __init__(self, prompt_tokenizer: PromptTokenizer, options: ChatOptions | None = None):
        """Find the chat template, and check that it has the options.

        Args:
            prompt_tokenizer: the tokenizer.
            options: values of variables of the chat template. "enable_thinking" is False unless it is given, and
                "date", as in "2026-07-26", is the day that a template writes with `strftime_now`.

        Raises:
            TokenizerError: the tokenizer has no chat template.
            ParameterError: the template has no variable of this name.
        """
        given = dict(options) if options is not None else {}
        self._prompt_tokenizer = prompt_tokenizer
        self._template = _chat_template(prompt_tokenizer.original, uses_tools=given.get("tools") is not None)
        self._options = {THINKING: False, **given}
        self._date = given.get(DATE)
        for name in given:
            known = name == THINKING or (name == DATE and _CLOCK in self._template) or self._names(name)
            if not known:
                names = [*dict.fromkeys(re.findall(r"[^\W\d]\w+", self._template))]
                raise ParameterError(
                    f"chat_options has {name!r}, and the tokenizer's chat template has no variable of this name"
                    + did_you_mean(name, names)
                )
        self._nonce = secrets.token_hex(8)
        self._frames: dict[tuple[Role, ...], tuple[str, ...]] = {}

    def frame(self, roles: Sequence[Role]) -> tuple[str, ...]:
        """The text before the content of each turn, with markers for special tokens.

        Where the chat template refuses or drops the system's turn, its content comes first in that of the user.

        Args:
            roles: the role of each turn; the last one is "assistant".

        Raises:
            EncodingError: the chat template does not write these turns, each once and in order.
            ParameterError: it writes the date of today, and "date" is not among the options.
        """
        key = tuple(roles)
        if key not in self._frames:
            self._frames[key] = self._find(key)
        return self._frames[key]

    def ending(self, roles: Sequence[Role]) -> str:
        """The text after the content of the last turn, with markers for special tokens; arguments as for `frame`."""
        try:
            return self._split(roles, ended=True)[-1]
        except EncodingError:
            if tuple(roles[:2]) != ("system", "user"):
                raise
        return self._split(roles[1:], ended=True)[-1]

    def _find(self, roles: tuple[Role, ...]) -> tuple[str, ...]:
        try:
            return self._split(roles)
        except EncodingError:
            if roles[:2] != ("system", "user"):
                raise
        first, *others = self._split(roles[1:])
        return first, _FOLD, *others

    def _split(self, roles: Sequence[Role], *, ended: bool = False) -> tuple[str, ...]:
        """Render placeholders as contents, and split the result at them; the text after the last if it is ended."""
        contents = [f"{self._nonce}x{i}x" for i in range(len(roles))]
        messages: list[dict[str, str]] = [
            {"role": role, "content": content} for role, content in zip(roles, contents, strict=True)
        ]
        text = self._render(messages, ended=ended)
        pieces = re.split("|".join(contents), text)
        begun = not ended and pieces.pop()  # text after a turn that is not ended
        if re.findall("|".join(contents), text) != contents or begun:
            raise EncodingError(
                f"the tokenizer's chat template does not write the turns {', '.join(roles)} each once and in order; "
                "change the turns"
            )
        return tuple(map(self._prompt_tokenizer.with_markers, pieces))

    def _render(self, messages: list[dict[str, str]], *, ended: bool) -> str:
        """The text of a conversation whose last message is begun or ended; dates come from the options."""
        dates: dict[str, str] = {}
        while True:
            template = _without_clock(self._template, dates) if _CLOCK in self._template else self._template
            try:
                text: str = self._prompt_tokenizer.original.apply_chat_template(
                    messages, chat_template=template, tokenize=False, continue_final_message=not ended, **self._options
                )
                return text
            except Exception as error:  # noqa: BLE001  a chat template is code of others, and raises what it likes
                _, asked, wanted = str(error).partition(_ASKED)
                if not asked or wanted in dates:
                    turns = ", ".join(message["role"] for message in messages)
                    reason = one_line(str(error)).replace(self._nonce, "…")
                    raise EncodingError(
                        f"the tokenizer's chat template does not take the turns {turns}: {quoted(reason, 300)}"
                    ) from None
            dates[wanted] = self._day().strftime(wanted)

    def _day(self) -> datetime:
        """The day to write."""
        if self._date is None:
            names = re.findall(r"\b(?:\w+_date|date_\w+)\b", self._template)
            other = next((f', or the text of it, as in {{"{name}": "26 July 2026"}}' for name in names), "")
            raise ParameterError(
                "the tokenizer's chat template writes the date of today, so that scores would change from day to day; "
                f'give a date, as in chat_options={{"{DATE}": "2026-07-26"}}{other}'
            )
        try:
            return datetime.fromisoformat(str(self._date))
        except ValueError:
            raise ParameterError(
                f'chat_options has {DATE}={self._date!r}, but it has to be a date, as in "2026-07-26"'
            ) from None

    def _names(self, name: str) -> bool:
        return re.search(rf"\b{re.escape(name)}\b", self._template) is not None


def _chat_template(tokenizer: PretrainedTokenizer, *, uses_tools: bool) -> str:
    """The chat template of a tokenizer, for conversations with or without tools.

    Raises:
        TokenizerError: it has none.
    """
    kind = type(tokenizer).__name__
    if not getattr(tokenizer, "chat_template", None):
        raise TokenizerError(
            f"the template has chat turns, and {kind} has no chat template; take a model that was trained on "
            "conversations, or take the chat tags out; if you know the template of this model, set "
            "tokenizer.chat_template and give model=(model, tokenizer)"
        )
    try:
        template: str = tokenizer.get_chat_template(tools=[] if uses_tools else None)
    except ValueError as error:  # several templates, and none of them the default
        raise TokenizerError(f"{kind} has several chat templates, and none is the default: {error}") from error
    return template


def _without_clock(template: str, dates: Mapping[str, str]) -> str:
    """Let a template look dates up by their format instead of calling the clock; an unknown one raises."""
    table = json.dumps(dict(dates), ensure_ascii=False)
    # transformers compiles with trim_blocks, which drops the line end after the macro and nothing of the template
    choice = f'dates[format] if format in dates else raise_exception("{_ASKED}" ~ format)'
    macro = f"{{% macro {_CLOCK}(format) %}}{{% set dates = {table} %}}{{{{ {choice} }}}}{{% endmacro %}}"
    return f"{macro}\n{template}"
