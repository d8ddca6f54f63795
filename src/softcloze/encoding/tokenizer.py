"""A tokenizer in which no text can spell a special token."""

import json
import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Self, TypeAlias, get_args

from tokenizers import AddedToken, Encoding, Tokenizer

from softcloze.errors import TokenizerError
from softcloze.template.nodes import SpecialKind

PretrainedTokenizer: TypeAlias = Any  # any tokenizer class of transformers
# without a limit in model or tokenizer (ALiBi, relative positions) a prompt has to end somewhere
NO_LIMIT = 1_000_000
_SURROGATE = re.compile("[\ud800-\udfff]")  # no tokenizer takes them
_SENTINEL = re.compile(r"▁?<extra_id_(\d+)>")  # T5's, and mT5's, in whose vocabulary they are ordinary pieces


class PromptTokenizer:
    """A private copy of a tokenizer whose special tokens go by names that no text contains.

    `[MASK]`, `</s>` and the like are renamed inside the copy, in its list of added tokens and in its
    vocabulary, to random markers; their ids stay. So the whole rendered prompt is tokenized in one run,
    exactly as the original would, special tokens appear only where a marker was written on purpose,
    and user text that spells `[MASK]` is seven characters like any others, in every tokenizer model.

    Attributes:
        slot: the marker of a soft slot.
        hole: the marker of the place where the answer goes: the model's own mask token or first sentinel, so that it
            absorbs white space as that tokenizer would, or a plain marker where there is none.
        unknown_id: the id of the unknown token, or None.
        mask_id: the id of the mask token, or of the first sentinel; None for a causal model.
        sentinels: ids of T5's `<extra_id_0>`, `<extra_id_1>` and so on, which stand for the first span of text that is
            left out, the second and so on; empty for a model without a decoder of its own, or without sentinels.
        decoder: whether the model has a decoder of its own, which writes the answer.
        front: the markers of what the tokenizer itself puts in front of every text.
        back: the markers of what it puts behind; a causal model goes on instead, so there it is empty.
        has_types: whether the tokenizer tells the two texts of a pair apart by token types.
        fresh_behind: kinds of special tokens behind which text has to be given a space, to be tokenized as a
            beginning: all where the original does so itself, else <sep> where the second of two texts is.
        byte_level: whether it spells tokens in bytes, as in "å¥½" for 好.
        fingerprint: SHA-256 of the original tokenizer's definition, in hexadecimal.
    """

    def __init__(self, tokenizer: PretrainedTokenizer, *, masked: bool, decoder: bool = False):
        """Copy `tokenizer`, which stays as it is.

        Args:
            tokenizer: a transformers tokenizer backed by the tokenizers library.
            masked: whether the answer goes in the place of the tokenizer's mask token, or of its first sentinel.
            decoder: whether the model has a decoder of its own (seq2seq), which may know sentinels.

        Raises:
            TokenizerError: the tokenizer has no fast backend, or no mask token where one is needed.
        """
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise TokenizerError(
                f"{type(tokenizer).__name__} is not backed by the tokenizers library, which softcloze needs "
                "for character positions; load the fast version of this tokenizer"
            )
        sentinels = sentinels_of(tokenizer) if decoder else []
        mask = next(iter(sentinels), tokenizer.mask_token) if masked else None
        if masked and mask is None:
            raise TokenizerError(f"{type(tokenizer).__name__} has no mask token, which a masked model needs")
        definition = json.loads(backend.to_str())
        # both are left over from the last call of somebody else
        definition["truncation"] = definition["padding"] = None
        self.fingerprint = sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
        nonce = secrets.token_hex(16)
        special = {token["content"] for token in definition["added_tokens"] if token["special"]}
        special.update(tokenizer.all_special_tokens, sentinels)
        markers = {content: f"\x02{nonce}:{i}\x03" for i, content in enumerate(sorted(special))}
        everywhere = not masked and _prepend_once(definition)
        first = any(part.get("prepend_scheme") == "first" for part in _pre_tokenizers(definition))
        self.space_after: tuple[SpecialKind, ...] = get_args(SpecialKind) if everywhere else ("sep",) if first else ()
        self.byte_level = '"type": "ByteLevel"' in json.dumps(definition["decoder"])
        self._copy = Tokenizer.from_str(json.dumps(_renamed(definition, markers)))
        self.slot_marker = f"\x02{nonce}:slot\x03"
        spare_hole = f"\x02{nonce}:hole\x03"
        # the ids of the first two lie beyond the vocabulary and never reach the model
        added = [self.slot_marker, spare_hole, *(markers[sentinel] for sentinel in sentinels[:1])]
        self._copy.add_special_tokens([AddedToken(marker, special=True, normalized=False) for marker in added])
        self.mask_marker = markers[mask] if mask is not None else spare_hole
        (self.slot_marker_id,), (self.mask_marker_id,) = self.ids(self.slot_marker), self.ids(self.mask_marker)
        self.mask_id = self.mask_marker_id if masked else None
        self.sentinels: tuple[int, ...] = tuple(tokenizer.convert_tokens_to_ids(sentinels))
        self.decoder = decoder
        self.unknown_id: int | None = tokenizer.unk_token_id
        self._names: dict[str, str] = {marker: content for content, marker in markers.items()}
        named = {kind: getattr(tokenizer, f"{kind}_token") for kind in get_args(SpecialKind)}
        self._special = {kind: markers[token] for kind, token in named.items() if token is not None}
        # by id, since the frame itself still goes by the old names
        framed = [str(self._copy.id_to_token(i)) for i in self._copy.encode(self.slot_marker).ids]
        at = framed.index(self.slot_marker)
        self.prefix_markers, self.suffix_markers = tuple(framed[:at]), tuple(framed[at + 1 :]) if masked else ()
        pair = self._copy.encode(self.slot_marker, self.slot_marker)
        self.has_token_types = "token_type_ids" in tokenizer.model_input_names and 1 in pair.type_ids

    @classmethod
    def guessed(cls, tokenizer: PretrainedTokenizer) -> Self:
        """The vocabulary of the model that a tokenizer is most likely for, where the model itself is not at hand.

        One with sentinels is taken for a seq2seq model's, one with a mask token for a masked model's, any other for a
        causal model's.

        Raises:
            TokenizerError: the tokenizer has no fast backend.
        """
        decoder = bool(sentinels_of(tokenizer))
        return cls(tokenizer, masked=decoder or tokenizer.mask_token_id is not None, decoder=decoder)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenize each text in one run, framed by the special tokens that the tokenizer adds itself."""
        return self._copy.encode_batch([_SURROGATE.sub("\ufffd", text) for text in texts])

    def ids(self, text: str) -> list[int]:
        """Token ids of `text` without any frame."""
        return self._copy.encode(_SURROGATE.sub("\ufffd", text), add_special_tokens=False).ids

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The special tokens, as their tokenizer spells them."""
        return tuple(self._names.values())

    def special(self, kind: SpecialKind) -> str:
        """The marker of the tokenizer's own special token of this kind.

        Raises:
            TokenizerError: it has none.
        """
        if kind not in self._special:
            has = ", ".join(self._special) or "none of the others either"
            raise TokenizerError(
                f"the tokenizer has no {kind} token, for which <{kind}> in the template stands (it has {has}); "
                f"take <{kind}> out"
            )
        return self._special[kind]

    def token(self, token_id: int) -> str:
        """The token with this id as its tokenizer spells it."""
        token = str(self._copy.id_to_token(token_id))
        name: str = self._names.get(token, token)
        return name

    def texts(self) -> list[str]:
        """The text of every token by itself, by id; an id that no token has gives an empty one."""
        count = 1 + max(self._copy.get_vocab().values())
        texts: list[str] = self._copy.decode_batch([[i] for i in range(count)], skip_special_tokens=False)
        return texts

    def decode(self, ids: Sequence[int]) -> str:
        """The text that these tokens stand for."""
        return self._copy.decode(list(ids), skip_special_tokens=False)


def sentinels_of(tokenizer: PretrainedTokenizer) -> list[str]:
    """The tokens `<extra_id_0>`, `<extra_id_1>` and so on of T5's kind of tokenizer, as it spells them, in order."""
    found = {int(match[1]): name for name in tokenizer.get_vocab() if (match := _SENTINEL.fullmatch(name))}
    return [found[number] for number in sorted(found)]


def _prepend_once(definition: dict[str, Any]) -> bool:
    """Let the marker of a word's beginning ("▁") be put in front of the whole text only, not behind each slot.

    Behind a special token some tokenizers put it again; but the slots of a causal model are no tokens, and the
    text goes on behind them.

    Returns:
        Whether this tokenizer is one of those.
    """
    steps = [part for part in _pre_tokenizers(definition) if part.get("prepend_scheme") == "always"]
    for part in steps:
        part["prepend_scheme"] = "first"
    return bool(steps)


def _pre_tokenizers(definition: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps before tokenization, one or several."""
    step = definition["pre_tokenizer"] or {}
    steps: list[dict[str, Any]] = step.get("pretokenizers", [step])
    return steps


def _renamed(definition: dict[str, Any], markers: dict[str, str]) -> dict[str, Any]:
    """`definition` with the special tokens renamed wherever they are found by name and not by id."""
    for token in definition["added_tokens"]:
        if token["content"] in markers:
            # a marker has to be found before normalisation, which may lower its letters
            token.update(content=markers[token["content"]], normalized=False, special=True)
    model = definition["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {markers.get(token, token): number for token, number in model["vocab"].items()}
    else:  # Unigram: a list of [token, score], in which "</s>" would be found in the text as a piece
        model["vocab"] = [[markers.get(token, token), score] for token, score in model["vocab"]]
    if model.get("unk_token") in markers:
        model["unk_token"] = markers[model["unk_token"]]
    return definition
