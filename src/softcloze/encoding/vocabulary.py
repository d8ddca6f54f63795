"""A tokenizer in which no text can spell a special token."""

import json
import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from tokenizers import AddedToken, Encoding, Tokenizer

from softcloze.errors import SoftclozeError

PretrainedTokenizer: TypeAlias = Any  # any tokenizer class of transformers


_SURROGATE = re.compile("[\ud800-\udfff]")  # no tokenizer takes them


class TokenizerError(SoftclozeError, TypeError):
    """A tokenizer that softcloze cannot work with."""


class Vocabulary:
    """A private copy of a tokenizer whose special tokens go by names that no text contains.

    `[MASK]`, `</s>` and the like are renamed inside the copy, in its list of added tokens and in its
    vocabulary, to random markers; their ids stay. So the whole rendered prompt is tokenized in one run,
    exactly as the original would, special tokens appear only where a marker was written on purpose,
    and user text that spells `[MASK]` is seven characters like any others, in every tokenizer model.

    Attributes:
        slot: the marker of a soft slot.
        hole: the marker of the place where the answer goes: a masked model's own mask token, so that it
            absorbs white space as that tokenizer would, or a plain marker where there is none.
        unknown_id: the id of the unknown token, or None.
        mask_id: the id of the mask token, or None.
        fingerprint: SHA-256 of the original tokenizer's definition, in hexadecimal.
    """

    def __init__(self, tokenizer: PretrainedTokenizer, *, masked: bool):
        """Copy `tokenizer`, which stays as it is.

        Args:
            tokenizer: a transformers tokenizer backed by the tokenizers library.
            masked: whether the answer goes in the place of the tokenizer's mask token.

        Raises:
            TokenizerError: the tokenizer has no fast backend, or no mask token where one is needed.
        """
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise TokenizerError(
                f"{type(tokenizer).__name__} is not backed by the tokenizers library, which softcloze needs "
                "for character positions; load the fast version of this tokenizer"
            )
        if masked and tokenizer.mask_token_id is None:
            raise TokenizerError(f"{type(tokenizer).__name__} has no mask token, which a masked model needs")
        definition = json.loads(backend.to_str())
        # both are left over from the last call of somebody else
        definition["truncation"] = definition["padding"] = None
        self.fingerprint = sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
        nonce = secrets.token_hex(16)
        special = {token["content"] for token in definition["added_tokens"] if token["special"]}
        special.update(tokenizer.all_special_tokens)
        markers = {content: f"\x02{nonce}:{i}\x03" for i, content in enumerate(sorted(special))}
        if not masked:
            _prepend_once(definition)
        self._copy = Tokenizer.from_str(json.dumps(_renamed(definition, markers)))
        self.slot = f"\x02{nonce}:slot\x03"
        spare_hole = f"\x02{nonce}:hole\x03"
        # the ids of these two lie beyond the vocabulary and never reach the model
        self._copy.add_special_tokens(
            [AddedToken(marker, special=True, normalized=False) for marker in (self.slot, spare_hole)]
        )
        self.hole = markers[tokenizer.mask_token] if masked else spare_hole
        self.slot_id = self._copy.token_to_id(self.slot)
        self.hole_id = self._copy.token_to_id(self.hole)
        self.mask_id: int | None = tokenizer.mask_token_id if masked else None
        self.unknown_id: int | None = tokenizer.unk_token_id
        self._names: dict[str, str] = {marker: content for content, marker in markers.items()}

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenize each text in one run, framed by the special tokens that the tokenizer adds itself."""
        return self._copy.encode_batch([_SURROGATE.sub("\ufffd", text) for text in texts])

    def ids(self, text: str) -> list[int]:
        """Token ids of `text` without any frame."""
        return self._copy.encode(_SURROGATE.sub("\ufffd", text), add_special_tokens=False).ids

    def token(self, token_id: int) -> str:
        """The token with this id as its tokenizer spells it."""
        token = str(self._copy.id_to_token(token_id))
        name: str = self._names.get(token, token)
        return name

    def decode(self, ids: Sequence[int]) -> str:
        """The text that these tokens stand for."""
        return self._copy.decode(list(ids), skip_special_tokens=False)


def _prepend_once(definition: dict[str, Any]) -> None:
    """Let the marker of a word's beginning ("▁") be put in front of the whole text only, not behind each slot.

    Behind a special token some tokenizers put it again; but the slots of a causal model are no tokens, and the
    text goes on behind them.
    """
    step = definition["pre_tokenizer"] or {}
    for part in step.get("pretokenizers", [step]):
        if part.get("prepend_scheme") == "always":
            part["prepend_scheme"] = "first"


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
