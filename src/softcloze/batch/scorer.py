"""BatchScorer: a saved prompt by its names alone, which each process loads once."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from softcloze.batch.kinds import column_names_of, rows_of, with_columns
from softcloze.errors import ArtifactError, DataError, ParameterError
from softcloze.formatting import quoted_list
from softcloze.parameters import NONE, PATH, TEXT, instance_of, integer, validate_parameters
from softcloze.prompt.card import quantised_options
from softcloze.prompt.saved import SavedCards, bind_saved
from softcloze.registry import Version
from softcloze.verbalizer import FieldVerbalizer

if TYPE_CHECKING:
    from softcloze.prompt.streaming import RowPredictor

_CONSTRAINTS = {
    "prompt": PATH | instance_of("a version of a registry", Version),
    "model": TEXT | PATH | NONE,
    "encoder": TEXT | PATH | NONE,
    "threads": integer(at_least=1) | NONE,
    "column": TEXT,
}
KEPT = 8  # prompts that a process keeps loaded; those of one model share it
_LOADING = RLock()
if hasattr(os, "register_at_fork"):  # a fork while another thread loads would leave the lock taken for ever
    os.register_at_fork(before=_LOADING.acquire, after_in_parent=_LOADING.release, after_in_child=_LOADING.release)


class _Names(NamedTuple):
    """All that a process needs to load a prompt.

    Attributes:
        folder: of the prompt; of one on a hub its location with the commit.
        checksum: of its card.
        model: name of the backbone; None if there are only probes.
        encoder: name of another sentence encoder; None for that of the card.
        threads: of torch; None for torch's own number.
    """

    folder: str
    checksum: str
    model: str | None
    encoder: str | None
    threads: int | None


class BatchScorer:
    """A function that labels batches of rows with a saved prompt, probe or ensemble, in any process.

    It holds names only, so that it pickles to a few hundred bytes; each process loads prompt and model on its first
    batch and keeps them. That fits `map_batches` of Ray, `map_partitions` of Dask and pools of `multiprocessing`. All
    processes need the folder of the prompt and the model under the same names; one that has others there raises, and
    names both.

    Threads may share it. A process that was forked after the model was loaded cannot use torch, and raises: start
    processes with "spawn" or "forkserver".

    Attributes:
        labels: the labels, in the order of their columns.
        names: names of the new columns.

    Example:
        >>> import tempfile
        >>> from softcloze import PromptClassifier
        >>> folder = f"{tempfile.mkdtemp()}/reviews"
        >>> words = {"positive": "good", "negative": "bad"}
        >>> PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words).save(folder)
        >>> scorer = BatchScorer(folder)
        >>> rows = scorer([{"text": "A delight.", "id": 1}, {"id": 2}])
        >>> [*rows[0]]
        ['text', 'id', 'label', 'probability_negative', 'probability_positive', 'error']
        >>> rows[1]["label"], rows[1]["error"]
        (None, "no field 'text': the example has 'id'")
    """

    def __init__(
        self,
        prompt: "str | os.PathLike[str] | Version",
        model: "str | os.PathLike[str] | None" = None,
        threads: int | None = None,
        *,
        encoder: "str | os.PathLike[str] | None" = None,
        column: str = "label",
    ):
        """Read the cards of the prompt; no model is loaded.

        Args:
            prompt: folder of a saved prompt, probe or ensemble, a version of a registry, as of `Registry.resolve`, or
                hf://USER/NAME@REVISION, of which each process downloads the commit that is found now.
            model: name or folder of the model; None for the one that the prompt names.
            threads: threads of torch in each process that scores, by `torch.set_num_threads`; None for torch's own
                number. With a process for each core, 1.
            encoder: name or folder of the sentence encoder of probes; None for the one that each names.
            column: name of the new column of labels, for batches with a column of this name.

        Raises:
            ParameterError: a parameter has a wrong type or value.
            ArtifactError: the folder is damaged, or a prompt that writes or gives an example several labels.
        """
        values = {"prompt": prompt, "model": model, "threads": threads, "encoder": encoder, "column": column}
        validate_parameters(values, _CONSTRAINTS)
        cards = SavedCards.read(prompt.path if isinstance(prompt, Version) else prompt)
        cards.validate_exclusive()
        self.labels = cards.labels
        self.column = column
        self._fields = cards.fields
        verbalizer = getattr(cards.members[0], "verbalizer", None)
        answers_words = isinstance(verbalizer, FieldVerbalizer) and verbalizer.answers == "word"
        self._label_kind: type = str if answers_words else type(self.labels[0])
        self._names = _Names(
            folder=cards.location or str(cards.folder.absolute()),
            checksum=cards.checksum,
            model=_absolute(model if model is not None else cards.model),
            encoder=_absolute(encoder),
            threads=int(threads) if threads is not None else None,
        )
        if len({*self.names}) != len(self.names):
            raise ParameterError(
                f"column={column!r}, which is the name of another new column: {quoted_list(self.names)}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the new columns: the label, one probability for each label, the error."""
        return (self.column, *(f"probability_{label}" for label in self.labels), "error")

    def load(self) -> None:
        """Load prompt and model in this process, which the first batch does otherwise.

        Raises:
            ArtifactError: the folder holds another prompt here than where the scorer was made, or the model is another
                one than the prompt was made for; gives both.
            BackboneError: the model cannot be loaded.
            ParameterError: this process was forked after the model was loaded.
        """
        self._load()

    def _load(self) -> "RowPredictor[Any]":
        with _LOADING:
            bound, process = _load_once(self._names)
        if process != os.getpid():
            raise ParameterError(
                "this process was forked after the model was loaded, and torch may hang in it; start processes with "
                'multiprocessing.get_context("spawn")'
            )
        return bound

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401 - one of many kinds
        """Label the rows of a batch.

        Args:
            batch: a dict of arrays, a frame of pandas, a table or record batch of pyarrow, or a list of texts or
                dicts. A batch without rows loads nothing and shows the columns.

        Returns:
            The same kind with the new columns `names`, for a list dicts. A row that cannot be scored has no label
            (None, null), no probabilities (None or null, in arrays and frames nan) and the reason in `error`.

        Raises:
            DataError: another kind of batch, or it has one of the new columns.
            ArtifactError: as `load`, like the others.
        """
        rows = rows_of(batch, self._fields)
        if taken := column_names_of(batch, rows) & {*self.names}:
            raise DataError(
                f"the batch has columns {quoted_list(sorted(taken))} already, which would be overwritten; rename them, "
                'or name the new column of labels, as in BatchScorer(..., column="predicted")'
            )
        results = [*self._results(rows)] if rows else []
        added: dict[str, list[Any]] = {name: [result[i] for result in results] for i, name in enumerate(self.names)}
        kinds: Mapping[str, type] = {**dict.fromkeys(self.names, float), self.column: self._label_kind, "error": str}
        return with_columns(batch, added, kinds, self._fields[0] if len(self._fields) == 1 else "text")

    def _results(self, rows: list[Any]) -> Any:  # noqa: ANN401
        from softcloze.prompt.streaming import predict_rows

        missing = [None] * len(self.labels)
        for prediction in predict_rows(self._load(), iter(rows)):
            yield prediction.label, *(prediction.probabilities or missing), prediction.error

    def __repr__(self) -> str:
        return f"BatchScorer({self._names.folder!r}, model={self._names.model!r})"


@lru_cache(maxsize=KEPT)
def _load_once(names: _Names) -> "tuple[RowPredictor[Any], int]":
    """Load a prompt with its model, and return the id of the process that did."""
    cards = SavedCards.read(names.folder)
    if cards.checksum != names.checksum:
        raise ArtifactError(
            f"{names.folder} holds another prompt here than where the BatchScorer was made\n"
            f"  made with the checksum: {names.checksum}\n"
            f"  found here: {cards.checksum}\n"
            "copy the folder to every machine, or make the BatchScorer anew"
        )
    import torch

    from softcloze.backbone import load_backbone

    if names.threads is not None:
        torch.set_num_threads(names.threads)
    backbone = None
    if names.model is not None:
        backbone = load_backbone(names.model, **quantised_options(cards.on_backbones[0].entries["fingerprint"]))
    return bind_saved(cards.load_exclusive(), backbone, names.encoder), os.getpid()


def _absolute(name: "str | os.PathLike[str] | None") -> str | None:
    """A name, or the absolute path of a folder or file that exists here: processes may start elsewhere."""
    if name is None:
        return None
    path = Path(name)
    return str(path.absolute()) if path.exists() else str(name)
