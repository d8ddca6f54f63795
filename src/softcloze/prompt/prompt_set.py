"""PromptSet: several prompts of one backbone, on the same texts or each on rows of its own, in shared batches."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from softcloze.backbone import Backbone
from softcloze.data import Example, as_examples
from softcloze.errors import DataError
from softcloze.formatting import did_you_mean, quoted
from softcloze.parameters import instance_of, integer, validate_parameters
from softcloze.prompt.bound import BoundPrompt
from softcloze.prompt.kept_prefixes import KeptPrefixes
from softcloze.prompt.mixed_rows import (
    EncodedRow,
    PromptKey,
    RowPrediction,
    encode_rows,
    predict_encoded_rows,
    rows_by_prompt,
)
from softcloze.prompt.prompt import Prompt
from softcloze.prompt.together import bind_prompts, compute_features, encode_for_prompts, score_encoded
from softcloze.verbalizer.labels import is_collection

_PROMPT, _BACKBONE = instance_of("a Prompt", Prompt), instance_of("a Backbone, as of load_backbone", Backbone)
_MEMORY = integer(at_least=0)


class PromptSet:
    """Several prompts on one backbone, scored together with the same results as separately.

    Either all prompts score the same examples (`label_scores`, `predict_proba`), or each row names its prompt
    (`predict_rows`). Sequences of different prompts share batches whatever their templates, label words, heads,
    calibrations and demonstrations.

    A causal model computes common prefixes once: the text if templates begin with it, and the words or vectors that a
    template has before every text. Prefixes are compared as token ids, so that templates may differ. Text after
    different words or soft vectors is not shared, because its states in a causal model depend on them. A masked model
    shares nothing, because its states depend on the whole sequence.

    With `prefix_memory` a causal model keeps what each prompt has before every text from call to call, instead of
    computing it in each. The scores of a row then differ in the last digits from those of the prompt alone.

    A set does not change: `with_prompts` and `without` return another one, which takes over compiled prompts and kept
    prefixes. Threads may share sets.

    Attributes:
        prompts: by name, or by index from 0 if they were given without names.
        backbone: the model of all of them.
        prefix_memory: bytes that kept prefixes may take; the least recently used one makes way for another.

    Example:
        >>> from softcloze import Template, Verbalizer, load_backbone
        >>> backbone = load_backbone("starter:bert-tiny")
        >>> words = Verbalizer({"positive": "good", "negative": "bad"})
        >>> review, film = (
        ...     Prompt(Template(template), words, backbone.name, backbone.fingerprint)
        ...     for template in ("<text> It was <mask>.", "In all, a <mask> film: <text>")
        ... )
        >>> first, second = PromptSet([review, film], backbone).predict_proba(["A delight.", "A bore.", "Dull."])
        >>> first.shape
        (3, 2)
        >>> prompts = PromptSet({"review": review, "film": film}, backbone)
        >>> rows = [("film", "A delight."), ("review", "A bore."), ("film", None)]
        >>> [prediction.label is not None for prediction in prompts.predict_rows(rows)]
        [True, True, False]
    """

    def __init__(self, prompts: Mapping[str, Prompt] | Iterable[Prompt], backbone: Backbone, *, prefix_memory: int = 0):
        """Compile the prompts for `backbone`.

        Args:
            prompts: one or more, trained where they have soft slots; their labels may differ. A mapping gives them
                names; two names of the same object share all.
            backbone: the model of all of them.
            prefix_memory: bytes that kept prefixes may take; 0 for none.

        Raises:
            DataError: no prompts.
            ArtifactError: a prompt belongs to another model.
            ParameterError: no prompts or no backbone, `prefix_memory` is not an integer of at least 0, or a prompt
                lacks the vectors of a soft slot.
            SoftclozeError: a prompt does not fit the model, as for `BoundPrompt`.
        """
        named: dict[Any, Prompt]
        if isinstance(prompts, Mapping):
            named = dict(prompts)
        else:
            named = dict(enumerate(prompts if is_collection(prompts) else [prompts]))  # type: ignore[list-item]
        validate_parameters(
            {"backbone": backbone, "prefix_memory": prefix_memory},
            {"backbone": _BACKBONE, "prefix_memory": _MEMORY},
        )
        self._fill(named, backbone, KeptPrefixes(int(prefix_memory)))

    def _fill(
        self,
        prompts: Mapping[PromptKey, Prompt],
        backbone: Backbone,
        kept: KeptPrefixes,
        known: Iterable[BoundPrompt] = (),
    ) -> None:
        if not prompts:
            raise DataError("a PromptSet takes at least one prompt")
        for key in prompts:
            if not isinstance(key, str | int):
                raise DataError(f"prompts has the key {quoted(key, 60)}; expected the name of a prompt")
        values = {f"prompts[{key!r}]": prompt for key, prompt in prompts.items()}
        validate_parameters(values, dict.fromkeys(values, _PROMPT))
        self.prompts: Mapping[PromptKey, Prompt] = MappingProxyType({**prompts})
        self.backbone = backbone
        self.prefix_memory = kept.memory
        self._kept = kept
        self._bound = dict(zip(prompts, bind_prompts(prompts.values(), backbone, known), strict=True))
        _ = backbone.can_pack  # tried now, so that later encoding does not run the model

    def __reduce__(self) -> tuple[Any, ...]:
        """Send prompts and backbone to another process, which compiles them there and keeps prefixes of its own."""
        return partial(type(self), prefix_memory=self.prefix_memory), ({**self.prompts}, self.backbone)

    def with_prompts(self, prompts: Mapping[str, Prompt] | Mapping[int, Prompt]) -> Self:
        """A set with these prompts in place of those of the same names, or beside them.

        All others stay compiled and keep their prefixes. Rows that are encoded already are scored by the prompts that
        they were encoded for.

        Args:
            prompts: by name, or by index in a set without names.

        Raises:
            SoftclozeError: as the constructor.
        """
        return self._changed(dict[Any, Prompt](self.prompts) | dict[Any, Prompt](prompts))

    def without(self, *names: PromptKey) -> Self:
        """A set without the prompts of these names, whose prefixes are freed with the last set that has them.

        Raises:
            DataError: there is no such prompt, or none would be left.
        """
        for name in names:
            if name not in self.prompts:
                raise self._no_prompt(name)
        return self._changed({name: prompt for name, prompt in self.prompts.items() if name not in names})

    def _changed(self, prompts: Mapping[PromptKey, Prompt]) -> Self:
        changed = type(self).__new__(type(self))
        changed._fill(prompts, self.backbone, self._kept, self._bound.values())
        return changed

    def label_scores(self, X: Iterable[Example]) -> list[NDArray[np.float64]]:
        """Label log-scores by each prompt, its calibration applied.

        Args:
            X: examples as for `PromptClassifier.predict`; mappings have the fields of all templates.

        Returns:
            For each prompt, in the order of `prompts`, an array of nats up to a constant per example, shape (batch,
            labels) in the order of its verbalizer's labels; log-odds if an example may have several labels.

        Raises:
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded.
        """
        bound = [*self._bound.values()]
        return score_encoded(bound, encode_for_prompts(bound, as_examples(X, bound[0].fields)), self._kept)

    def predict_proba(self, X: Iterable[Example]) -> list[NDArray[np.float64]]:
        """Probabilities of the labels by each prompt, as `label_scores` in arguments, shapes and errors."""
        pairs = zip(self._bound.values(), self.label_scores(X), strict=True)
        return [bound.probabilities(scores) for bound, scores in pairs]

    def predict_rows(self, rows: Iterable[tuple[PromptKey, Example]]) -> list[RowPrediction]:
        """Predict rows, each by the prompt that it names, all in shared batches.

        Args:
            rows: pairs of the name or index of a prompt and an example, which has the fields of its template.

        Returns:
            One prediction for each row, in order. A row that names no prompt of the set or cannot be encoded, and one
            without finite scores, has its error there, and all others are predicted.

        Raises:
            DataError: a row is no such pair.
        """
        return self.score_rows(self.encode_rows(rows))

    def encode_rows(self, rows: Iterable[tuple[PromptKey, Example]]) -> list[EncodedRow]:
        """Encode rows for `score_rows`, so that the cost of each is known before it is scored.

        The model does not run, except for prompts with `Prompt.encodes_with_model`: a service encodes those rows in
        the thread that scores.

        Args:
            rows: as for `predict_rows`.

        Raises:
            DataError: a row is no such pair.
        """
        given = [*rows]
        for i, row in enumerate(given):
            if not isinstance(row, tuple | list) or len(row) != 2 or not isinstance(row[0], Hashable):
                raise DataError(f"rows[{i}] is {quoted(row, 60)}; expected a prompt's name and an example, as a pair")
        encoded = iter(encode_rows(self._bound, [(key, x) for key, x in given if key in self._bound], self._kept))
        return [next(encoded) if key in self._bound else EncodedRow(key, self._no_prompt(key)) for key, _ in given]

    def score_rows(self, rows: Sequence[EncodedRow], *, keep_features: bool = False) -> list[RowPrediction]:
        """Predict rows that `encode_rows` returned, also those of another set of the same backbone.

        Args:
            rows: encoded rows of any prompts, in any order; those with an error keep it.
            keep_features: whether predictions keep the input of the head, for `softcloze.analysis.explain_row`.

        Raises:
            DataError: a row was encoded for another backbone.
        """
        by_prompt = rows_by_prompt(rows)
        for bound in by_prompt:
            if bound.backbone is not self.backbone:
                raise DataError(f"a row was encoded for {bound.backbone.name!r}, and this set is for another backbone")
        features = compute_features([*by_prompt.items()], self._kept)
        return predict_encoded_rows(rows, dict(zip(by_prompt, features, strict=True)), keep_features=keep_features)

    @property
    def kept_bytes(self) -> int:
        """Bytes that kept prefixes take now, those of other sets that share them included."""
        return self._kept.bytes

    def _no_prompt(self, name: PromptKey) -> DataError:
        names = [key for key in self.prompts if isinstance(key, str)]
        hint = did_you_mean(name, names) if isinstance(name, str) else ""
        return DataError(f"there is no prompt {quoted(name, 60)} in this set{hint}")
