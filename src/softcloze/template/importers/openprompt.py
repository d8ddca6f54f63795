"""Templates of OpenPrompt: `{"placeholder": "text_a"} It was {"mask"}`."""

from collections.abc import Iterator
from typing import NoReturn

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import did_you_mean, quoted, quoted_list
from softcloze.template.importers.common import field, finish
from softcloze.template.importers.python_syntax import KNOWN, Steps, braces_end, expression, read_braces, read_function
from softcloze.template.nodes import Expression, Literal, Mask, Node, Placed, Soft, Special, SpecialKind
from softcloze.template.tags import MAX_COUNT

_KINDS = {  # kinds of tags, and the other keys of each
    "placeholder": ("shortenable", "post_processing", "add_prefix_space"),
    "meta": ("shortenable", "post_processing", "add_prefix_space"),
    "mask": ("shortenable",),
    "soft": ("shortenable", "duplicate", "same", "soft_id", "post_processing"),
    "soft_id": ("shortenable", "duplicate", "same", "post_processing"),
    "special": ("shortenable",),
    "text": ("shortenable", "post_processing", "add_prefix_space"),
}
_OTHERS = frozenset(key for keys in _KINDS.values() for key in keys)
_TEXTS = {"placeholder": "text_a", "meta": "title", "text": "It was", "soft": "It was", "special": "<eos>"}
_SPECIALS: dict[str, SpecialKind] = {"<bos>": "bos", "<eos>": "eos", "<sep>": "sep", "<cls>": "cls"}


def read_openprompt(text: str) -> list[Placed]:
    """Parse an OpenPrompt template into nodes, as its MixedTemplate does, but without `eval`.

    A placeholder or meta key becomes a field, with shorten=0 unless it is shortenable (by default, placeholders are
    and meta keys are not). A post-processing function becomes the equivalent filter. Soft tokens become soft slots,
    and those of one `soft_id` share a name. As in OpenPrompt, spaces beside braces collapse to one, and those at the
    end are dropped.

    Raises:
        TemplateSyntaxError: `text` breaks the rules of OpenPrompt, or has no equivalent here.

    Source:
        Ding et al., ACL 2022, arXiv:2111.01998; the format is described at https://thunlp.github.io/OpenPrompt.

    >>> from softcloze import Template
    >>> print(Template.from_openprompt('{"placeholder": "text_a"} It was {"mask"}'))
    <text_a> It was <mask>
    >>> text = '{"soft": "总之"} {"meta": "题目", "post_processing": lambda s: s.strip()} {"mask"}'
    >>> print(Template.from_openprompt(text))
    <soft init="总之"> {{ 题目 | trim }} <mask>
    """
    return finish(text, _Reader(text).read())


class _Reader:
    """Parses one template from left to right."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.named: dict[int, list[Node]] = {}  # by soft_id: the slots that a later tag of that id repeats
        self.unnamed = 0

    def read(self) -> Iterator[Placed]:
        at, space = 0, ""
        while at < len(self.source):
            start = at
            if self.source[at] == "{":
                at = braces_end(self.source, start)
                yield from (Placed(node, start, at) for node in _Tag(self, start, at).nodes(space))
                space = ""
            else:
                opening = self.source.find("{", start)
                at = len(self.source) if opening < 0 else opening
                run = self.source[start:at]
                text = run.strip(" ")
                before = " " if run.startswith(" ") else ""
                space = " " if run.endswith(" ") else ""
                if text:
                    yield Placed(Literal(before + text), start, at)


class _Tag:
    """One pair of braces, `source[start:end]`, with its keys."""

    def __init__(self, reader: _Reader, start: int, end: int) -> None:
        self.reader, self.source, self.start, self.end = reader, reader.source, start, end
        self.entries = read_braces(self.source, start, end)
        self.kind = self._kind()

    def nodes(self, space: str) -> list[Node]:
        """The nodes of the tag; `space` is the white space before it."""
        shortenable = self._truth("shortenable", default=self.kind == "placeholder")
        if self.kind in ("placeholder", "meta"):
            return [Literal(self._space(space)), *self._field(shortenable)]
        if shortenable:
            self._fail("text that may be cut cannot be expressed: only fields are shortened", "shortenable")
        if self._constant("post_processing") is not None:
            self._fail(
                f"post_processing of {self.kind} cannot be expressed: only fields are processed", "post_processing"
            )
        match self.kind:
            case "mask":
                return [Literal(space), Mask()]
            case "special":
                return [self._special()]  # without the space before it, as in OpenPrompt
            case "text":
                return [Literal(self._space(space)), Literal(self._text("text"))]
            case _:
                return [Literal(space), *self._soft()]

    def _kind(self) -> str:
        kinds = [key for key in _KINDS if key in self.entries]
        if "soft" in kinds and "soft_id" in kinds:
            kinds.remove("soft_id")
        if len(kinds) > 1:
            self._fail(f"a tag is one of {quoted_list(_KINDS)}: this one is {quoted_list(kinds)}", kinds[1])
        for key in self.entries:
            if not kinds and key not in _OTHERS:
                self._fail(
                    f"{quoted(key)} is unknown: a tag is one of {quoted_list(_KINDS)}{did_you_mean(key, _KINDS)}", key
                )
            if kinds and key != kinds[0] and key not in _KINDS[kinds[0]]:
                known = f"it takes {quoted_list(_KINDS[kinds[0]])}{did_you_mean(key, _KINDS[kinds[0]])}"
                self._fail(f"{kinds[0]!r} has no {quoted(key)}: {known}", key)
        if not kinds:
            self._fail(f"a tag is one of {quoted_list(_KINDS)}")
        return kinds[0]

    def _field(self, shortenable: bool) -> list[Node]:
        name = self._text(self.kind)
        plain = field(name, self.source, *self.entries[self.kind].span, shorten=1.0 if shortenable else 0.0)
        steps = self._steps()
        if not steps.filters:
            return [Literal(steps.before), plain, Literal(steps.after)]
        if name.casefold() in ("true", "false", "none"):
            self._fail(
                f"a function of {name!r} cannot be expressed: in Jinja that is not a field; rename the column",
                self.kind,
            )
        if not shortenable and "shortenable" in self.entries:
            problem = (
                "a processed field that is never cut cannot be expressed: leave out shortenable or post_processing"
            )
            self._fail(problem, "shortenable")
        return [Literal(steps.before), Expression(expression(name, steps.filters)), Literal(steps.after)]

    def _steps(self) -> Steps:
        if self._constant("post_processing") is None:
            return Steps()
        function = self.entries["post_processing"].value
        steps = None if function is None else read_function(function)
        if steps is None:
            advice = "process the column beforehand, or write {{ … }} into the imported template"
            self._fail(f"this function cannot be expressed, known are {KNOWN}: {advice}", "post_processing")
        return steps

    def _soft(self) -> list[Node]:
        soft_id = self._number("soft_id")
        if soft_id in self.reader.named:
            return self.reader.named[soft_id]
        name = None if soft_id is None else f"soft_{soft_id}"
        slots: list[Node] = [Soft(self._number("duplicate"), self._words(), name)]
        match slots:
            case [Soft(int(), str())]:
                self._fail(
                    "OpenPrompt ignores duplicate beside words, which have a token each: leave it out", "duplicate"
                )
            case [Soft(int(count), None)] if self._truth("same", default=False):
                self.reader.unnamed += name is None
                slots = [Soft(name=name if name is not None else f"same_{self.reader.unnamed}")] * count
        if soft_id is not None:
            self.reader.named[soft_id] = slots if len(slots) > 1 else [Soft(name=name)]
        return slots

    def _words(self) -> str | None:
        if self._constant("soft") is None:
            return None
        words = self._text("soft")
        if not words.strip():
            self._fail('no words to start from: write {"soft"} for a vector that starts from none', "soft")
        return words

    def _special(self) -> Special:
        token = self._text("special")
        if token not in _SPECIALS:
            expected = f"expected one of {quoted_list(_SPECIALS)}{did_you_mean(token, _SPECIALS)}"
            self._fail(f"the special token {quoted(token)} cannot be expressed: {expected}", "special")
        return Special(_SPECIALS[token])

    def _space(self, space: str) -> str:
        match self._constant("add_prefix_space"):
            case None:
                return space
            case True | " ":
                return " "
            case False | "":
                return ""
        self._fail('add_prefix_space is " " or ""', "add_prefix_space")

    def _constant(self, key: str) -> object:
        return self.entries[key].constant if key in self.entries else None

    def _text(self, key: str) -> str:
        value = self.entries[key].constant
        if not isinstance(value, str):
            self._fail(f'{key} needs a text, as in {{"{key}": "{_TEXTS[key]}"}}', key)
        return value

    def _truth(self, key: str, *, default: bool) -> bool:
        if key not in self.entries:
            return default
        value = self.entries[key].constant
        if not isinstance(value, bool):
            self._fail(f"{key} is True or False", key)
        return value

    def _number(self, key: str) -> int | None:
        if key not in self.entries:
            return None
        value = self.entries[key].constant
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_COUNT:
            self._fail(f"{key} is a whole number from 1 to {MAX_COUNT}", key)
        return value

    def _fail(self, problem: str, key: str | None = None) -> NoReturn:
        """Raise at the value of `key`, or at the whole tag."""
        span = (self.start, self.end) if key is None else self.entries[key].span
        raise TemplateSyntaxError(problem, self.source, *span)
