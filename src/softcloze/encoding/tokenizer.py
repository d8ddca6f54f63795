"""PromptTokenizer: a tokenizer in which no user text can produce a special token."""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Self, TypeAlias, get_args

from tokenizers import AddedToken, Encoding, Tokenizer

from softcloze.errors import TokenizerError
from softcloze.formatting import quoted
from softcloze.template.nodes import SpecialKind

PretrainedTokenizer: TypeAlias = Any  # any tokenizer class of transformers
# for models and tokenizers without a limit of their own (ALiBi, relative positions)
NO_LIMIT = 1_000_000
_SURROGATE = re.compile("[\ud800-\udfff]")  # tokenizers reject them
_CONTROL = re.compile(r"<[|｜].*[|｜]>")  # the spelling of control tokens, which nobody writes in a text
_SENTINEL = re.compile(r"▁?<extra_id_(\d+)>")  # T5's, and mT5's, whose vocabulary has them as ordinary pieces


class PromptTokenizer:
    """A private copy of a tokenizer in which special tokens have random names.

    Special tokens such as `[MASK]` and `</s>` are renamed to random markers, in the copy's list of added tokens and
    in its vocabulary. Their ids stay. The whole rendered prompt is tokenized in one call, exactly as by the original.
    Special tokens appear only where the renderer writes a marker: in every tokenizer model, user text that contains
    `[MASK]` is six ordinary characters.

    Attributes:
        slot_marker: marker of a soft slot; `slot_marker_id` is its id.
        mask_marker: marker of the answer position; `mask_marker_id` is its id. It renames the model's own mask token
            or first sentinel, which absorbs white space as in the original; causal models get an extra token.
        unknown_id: id of the unknown token, or None.
        mask_id: id of the mask token or first sentinel; None for a causal model.
        sentinels: ids of T5's `<extra_id_0>`, `<extra_id_1>` and so on, one for each masked span; empty for a model
            without decoder or sentinels.
        decoder: whether the model is a seq2seq model, whose decoder writes the answer.
        prefix_markers: markers of the special tokens that the tokenizer puts before every text.
        suffix_markers: markers of those that it puts after every text; empty for a causal model.
        has_token_types: whether the tokenizer gives the two texts of a pair different token types.
        space_after: kinds of special tokens that need a space between them and following text, so that the text is
            tokenized as word-initial: all kinds if the original does so itself, or <sep> before a second text.
        byte_level: whether it writes tokens as bytes, as in "å¥½" for 好.
        fingerprint: SHA-256 of the original tokenizer's definition, in hexadecimal.
        original: the original tokenizer, which renders chat turns.
    """

    def __init__(self, tokenizer: PretrainedTokenizer, *, masked: bool, decoder: bool = False):
        """Copy `tokenizer`, which is not changed.

        Args:
            tokenizer: a transformers tokenizer backed by the tokenizers library.
            masked: whether the answer replaces the tokenizer's mask token or first sentinel.
            decoder: whether the model is a seq2seq model, which may have sentinels.

        Raises:
            TokenizerError: the tokenizer has no fast backend, or lacks the mask token that `masked` needs.
        """
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS

            kind = type(tokenizer).__name__
            raise TokenizerError(
                f"{kind} is not backed by the tokenizers library, which softcloze needs for character positions; "
                + (
                    "load the fast version of this tokenizer"
                    if kind in SLOW_TO_FAST_CONVERTERS
                    else "there is no fast version of this kind: take a model with another tokenizer"
                )
            )
        sentinels = sentinels_of(tokenizer) if decoder else []
        mask = next(iter(sentinels), tokenizer.mask_token) if masked else None
        if masked and mask is None:
            raise TokenizerError(f"{type(tokenizer).__name__} has no mask token, which a masked model needs")
        if mask is not None and backend.token_to_id(mask) is None:
            raise TokenizerError(
                f"the mask token {mask!r} is not in the vocabulary of {type(tokenizer).__name__}; set "
                "tokenizer.mask_token to the token that the model was trained with"
            )
        definition = json.loads(backend.to_str())
        # settings left by the last call of other code
        definition["truncation"] = definition["padding"] = None
        self.fingerprint = sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
        nonce = secrets.token_hex(16)
        special = {token["content"] for token in definition["added_tokens"] if token["special"]}
        named = (token for token in tokenizer.all_special_tokens if backend.token_to_id(token) is not None)
        special.update(named, sentinels, _control_tokens(tokenizer, definition))
        markers = {content: f"\x02{nonce}:{i}\x03" for i, content in enumerate(sorted(special))}
        everywhere = not masked and _prepend_once(definition)
        first = any(part.get("prepend_scheme") == "first" for part in _steps(definition, "pre_tokenizer"))
        self.space_after: tuple[SpecialKind, ...] = get_args(SpecialKind) if everywhere else ("sep",) if first else ()
        self.byte_level = '"type": "ByteLevel"' in json.dumps(definition["decoder"])
        self._copy = Tokenizer.from_str(json.dumps(_renamed(definition, markers)))
        self.slot_marker = f"\x02{nonce}:slot\x03"
        spare_mask = f"\x02{nonce}:mask\x03"
        # the ids of the first two are beyond the vocabulary and never reach the model
        added = [self.slot_marker, spare_mask, *(markers[sentinel] for sentinel in sentinels[:1])]
        self._copy.add_special_tokens([AddedToken(marker, special=True, normalized=False) for marker in added])
        self.mask_marker = markers[mask] if mask is not None else spare_mask
        (self.slot_marker_id,), (self.mask_marker_id,) = self.ids(self.slot_marker), self.ids(self.mask_marker)
        self.mask_id = self.mask_marker_id if masked else None
        self.sentinels: tuple[int, ...] = tuple(tokenizer.convert_tokens_to_ids(sentinels))
        self.decoder = decoder
        self.unknown_id: int | None = tokenizer.unk_token_id
        self._names: dict[str, str] = {marker: content for content, marker in markers.items()}
        kinds = {kind: getattr(tokenizer, f"{kind}_token") for kind in get_args(SpecialKind)}
        self._markers = markers
        self.original = tokenizer
        self._everywhere = everywhere
        self._special = {kind: markers[token] for kind, token in kinds.items() if token in markers}
        # by id, since the post-processor still has the original names
        with_specials = [str(self._copy.id_to_token(i)) for i in self._copy.encode(self.slot_marker).ids]
        at = with_specials.index(self.slot_marker)
        self.prefix_markers, self.suffix_markers = (
            tuple(with_specials[:at]),
            tuple(with_specials[at + 1 :]) if masked else (),
        )
        pair = self._copy.encode(self.slot_marker, self.slot_marker)
        self.has_token_types = "token_type_ids" in tokenizer.model_input_names and 1 in pair.type_ids

    @classmethod
    def guessed(cls, tokenizer: PretrainedTokenizer) -> Self:
        """Copy a tokenizer whose model is unknown, and guess the model's family.

        A tokenizer with sentinels is taken to be a seq2seq model's, one with a mask token a masked model's, and any
        other a causal model's.

        Raises:
            TokenizerError: the tokenizer has no fast backend.
        """
        decoder = bool(sentinels_of(tokenizer))
        return cls(tokenizer, masked=decoder or tokenizer.mask_token_id is not None, decoder=decoder)

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[Encoding]:
        """Tokenize each text in one call; by default with the special tokens that the tokenizer adds itself."""
        return self._copy.encode_batch(
            [_SURROGATE.sub("\ufffd", text) for text in texts], add_special_tokens=add_special_tokens
        )

    def ids(self, text: str) -> list[int]:
        """Token ids of `text` without added special tokens."""
        return self._copy.encode(_SURROGATE.sub("\ufffd", text), add_special_tokens=False).ids

    def with_specials(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Token ids of a text with the special tokens that the tokenizer adds to it."""
        around = self._copy.encode(self.slot_marker).ids
        at = around.index(self.slot_marker_id)
        return (*around[:at], *ids, *around[at + 1 :])

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The special tokens under their original names."""
        return tuple(self._names.values())

    def special(self, kind: SpecialKind) -> str:
        """Marker of the tokenizer's special token of this kind.

        Raises:
            TokenizerError: the tokenizer has none.
        """
        if kind not in self._special:
            has = ", ".join(self._special) or "none of the others either"
            raise TokenizerError(
                f"the tokenizer has no {kind} token for <{kind}> in the template (it has {has}); take <{kind}> out"
            )
        return self._special[kind]

    def with_markers(self, text: str) -> str:
        """Replace the names of special tokens by their markers, in text of the chat template and never of an example.

        A space goes between a marker and text where the original tokenizes such text as word-initial.
        """
        names = sorted(self._markers, key=len, reverse=True)  # the longest first, as tokenizers match them
        marked = re.sub("|".join(map(re.escape, names)), lambda match: self._markers[match[0]], text) if names else text
        return re.sub("\x03(?=[^ ▁\x02])", "\x03 ", marked) if self._everywhere else marked

    def kind_of(self, marker: str) -> SpecialKind | None:
        """The kind of special token with this marker, if a tag names it."""
        return next((kind for kind, known in self._special.items() if known == marker), None)

    def without_markers(self, text: str) -> str:
        """Replace the markers of special tokens by their original names; those of slots and a causal mask stay."""
        markers = sorted(self._names, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, markers)), lambda match: self._names[match[0]], text) if markers else text

    def ends_in_special(self, text: str) -> bool:
        """Return True if text after this needs a space, to be tokenized as the original does after a special token."""
        return self._everywhere and text.endswith("\x03")

    def split_at_special(self, text: str) -> tuple[str, str]:
        """The text before the first marker, and this marker; an empty one if there is none."""
        match = re.search("|".join(map(re.escape, self._names)), text) if self._names else None
        return (text, "") if match is None else (text[: match.start()], match[0])

    def without_ending(self, encoding: Encoding) -> list[int]:
        """The token ids of a text without the special tokens that the tokenizer adds after it."""
        ids: list[int] = encoding.ids
        origins = encoding.sequence_ids
        count = len(ids)
        while count and origins[count - 1] is None:
            count -= 1
        return ids[:count]

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Id of the token that ends a text: the one that the tokenizer puts after it, or its eos; empty for none."""
        marker = next(iter(self.suffix_markers), self._special.get("eos"))
        return tuple(self.ids(marker)) if marker is not None else ()

    @property
    def chat_fingerprint(self) -> str:
        """SHA-256 of the chat template, or of none, in hexadecimal."""
        template = getattr(self.original, "chat_template", None)
        return sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()

    def token(self, token_id: int) -> str:
        """The token with this id as the original tokenizer writes it."""
        token = str(self._copy.id_to_token(token_id))
        name: str = self._names.get(token, token)
        return name

    def texts(self) -> list[str]:
        """The text of every single token, indexed by id; "" for an id without a token."""
        count = 1 + max(self._copy.get_vocab().values())
        texts: list[str] = self._copy.decode_batch([[i] for i in range(count)], skip_special_tokens=False)
        return texts

    def decode(self, ids: Sequence[int]) -> str:
        """Decode token ids to text."""
        return self._copy.decode(list(ids), skip_special_tokens=False)


def validate_tokenizer(tokenizer: object) -> None:
    """Raise TokenizerError for anything but a tokenizer of transformers."""
    if not hasattr(tokenizer, "get_vocab") or not hasattr(tokenizer, "model_max_length"):
        raise TokenizerError(
            f"tokenizer={quoted(tokenizer)}: expected one of transformers, as AutoTokenizer.from_pretrained returns"
        )


def sentinels_of(tokenizer: PretrainedTokenizer) -> list[str]:
    """The tokens `<extra_id_0>`, `<extra_id_1>` and so on of a T5-like tokenizer, in order, as it writes them."""
    names = {int(match[1]): name for name in tokenizer.get_vocab() if (match := _SENTINEL.fullmatch(name))}
    return [names[number] for number in sorted(names)]


def _control_tokens(tokenizer: PretrainedTokenizer, definition: dict[str, Any]) -> Iterator[str]:
    """Added tokens that are not special, and yet control tokens: those of the chat template, and <|…|>."""
    ordinary = [token["content"] for token in definition["added_tokens"] if not token["special"]]
    templates = json.dumps(getattr(tokenizer, "chat_template", None), ensure_ascii=False)
    for token in ordinary:
        in_template = json.dumps(token, ensure_ascii=False)[1:-1] in templates and not token.isspace()
        if (in_template and not token.isalnum()) or _CONTROL.fullmatch(token):
            yield token


def _prepend_once(definition: dict[str, Any]) -> bool:
    """Make the tokenizer prepend the word-initial marker ("▁", or a space) once per text, not after each special token.

    Some tokenizers prepend it after every special token, in the pre-tokenizer or in the normaliser (Llama 2). The slots
    of a causal model are not tokens, and the text continues after them. Return True if the definition was changed.
    """
    steps = _steps(definition, "pre_tokenizer")
    first: list[dict[str, Any]] = []
    for step in _steps(definition, "normalizer"):
        if step["type"] == "Prepend":
            first += [_metaspace(" ", "first"), _metaspace(step["prepend"], "never")]
            step["prepend"] = ""
    if steps and steps[0]["type"] == "ByteLevel" and steps[0]["add_prefix_space"]:
        first.append(_metaspace(" ", "first"))
        steps[0]["add_prefix_space"] = False
    always = [step for step in steps if step.get("prepend_scheme") == "always"]
    for step in always:
        step["prepend_scheme"] = "first"
    if first:
        definition["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": first + steps}
    return bool(first or always)


def _metaspace(replacement: str, prepend_scheme: str) -> dict[str, Any]:
    """A pre-tokenizer that replaces spaces, and prepends the replacement to a text without one."""
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": prepend_scheme, "split": False}


def _steps(definition: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """The steps of the normaliser or the pre-tokenizer."""
    step = definition[part]
    if step is None:
        return []
    steps: list[dict[str, Any]] = step.get("pretokenizers", step.get("normalizers", [step]))
    return steps


def _renamed(definition: dict[str, Any], markers: dict[str, str]) -> dict[str, Any]:
    """Rename the special tokens of `definition` wherever they are looked up by name."""
    for token in definition["added_tokens"]:
        if token["content"] in markers:
            # markers are matched before normalisation, which may lower-case them
            token.update(content=markers[token["content"]], normalized=False, special=True)
    model = definition["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {markers.get(token, token): token_id for token, token_id in model["vocab"].items()}
    else:  # Unigram: a list of [token, score], where "</s>" in user text would match as a piece
        model["vocab"] = [[markers.get(token, token), score] for token, score in model["vocab"]]
    if model.get("unk_token") in markers:
        model["unk_token"] = markers[model["unk_token"]]
    return definition
