"""The registry: prompts by name, versions that never change, and aliases that move between them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from softcloze.errors import ArtifactError, ParameterError, RegistryError
from softcloze.formatting import did_you_mean
from softcloze.parameters import BOOLEAN, validate_parameters
from softcloze.prompt.folder import folder_of
from softcloze.prompt.saved import AnySaved, SavedCards
from softcloze.registry.adding import Saveable, as_saveable, validate_case, write_version
from softcloze.registry.checking import Fault, check_registry
from softcloze.registry.entries import is_folder
from softcloze.registry.examples import VersionExample, read_examples
from softcloze.registry.history import NOTE, Change, version_before
from softcloze.registry.moves import changes_of, move_alias, record, remove_alias, remove_version
from softcloze.registry.promotion import score_row, validate_promotion
from softcloze.registry.references import LIVE, Reference, is_name, parse_reference, validate_alias, validate_name
from softcloze.registry.state import State, list_registry, read_state
from softcloze.registry.store import Store
from softcloze.registry.versions import Loaded, Version, load_version

if TYPE_CHECKING:
    from softcloze.backbone import Backbone
    from softcloze.data import Example

T = TypeVar("T")


class Registry:
    """Versions of prompts in a plain folder, which git, rsync and object stores copy as it is.

    A version is a folder that never changes, so that it can be loaded while others are added. An alias is a file of one
    line that is replaced atomically. Any number of processes may write at once, and a process that is killed at any
    moment leaves each version whole or absent and each alias with a version. Links in the folder are not followed.

    References name a version: `reviews@3` by its number, `reviews@canary` by an alias, `reviews` by the alias `live`.

    Attributes:
        folder: the folder.

    Example:
        >>> import tempfile
        >>> from softcloze import Prompt, Template, Verbalizer, load_backbone
        >>> from softcloze.registry import Registry
        >>> backbone = load_backbone("starter:bert-tiny")
        >>> words = Verbalizer({"positive": "good", "negative": "bad"})
        >>> prompt = Prompt(Template("<text> It was <mask>."), words, backbone.name, backbone.fingerprint)
        >>> registry = Registry(tempfile.mkdtemp())
        >>> version = registry.add(prompt, "reviews", note="a first try")
        >>> print(registry.promote("reviews@1"), registry.resolve("reviews"))
        reviews@1 reviews@1
        >>> registry.load("reviews").template
        Template('<text> It was <mask>.')
    """

    def __init__(self, folder: str | PathLike[str]):
        """Take a folder, which `add` creates.

        Raises:
            ArtifactError: `folder` is not the path of a folder.
        """
        self.folder = folder_of(folder)

    def names(self) -> tuple[str, ...]:
        """The names of the prompts that have versions, in order.

        Raises:
            FileError: the folder is missing or cannot be read.
        """
        return tuple(name for name in self._folder_names() if Store(self.folder / name).numbers())

    def versions(self, name: str) -> tuple[Version, ...]:
        """The versions of a prompt that are not removed, in order of their numbers.

        Raises:
            RegistryError: there is no such prompt.
            ArtifactError: a folder is a link.
        """
        store = self._store(name)
        return tuple(Version(name, number, store.path_of(number)) for number in store.numbers())

    def aliases(self, name: str) -> dict[str, int]:
        """The number of the version that each alias of a prompt names.

        Raises:
            RegistryError: there is no such prompt.
            ArtifactError: the file of an alias is damaged; names it.
        """
        return self._store(name).aliases()

    def history(self, name: str) -> tuple[Change, ...]:
        """The changes of a prompt, in order; lines that are damaged are left out, and `check` names them.

        Raises:
            RegistryError: there is no such prompt.
            ArtifactError: the file cannot be read.
        """
        return tuple(changes_of(self._store(name)))

    def resolve(self, reference: str) -> Version:
        """The version that a reference names.

        Raises:
            RegistryError: there is no such prompt, alias or version, or the version was removed.
            ArtifactError: the file of the alias is damaged; names it.
        """
        name, alias, number = parse_reference(reference)
        store = self._store(name)
        return store.resolve(alias) if alias is not None else store.version(int(number or 0))

    def read(self, reference: str) -> SavedCards:
        """The cards of the version that a reference names, without torch.

        Raises:
            RegistryError: as `resolve`.
            ArtifactError: a card is missing, damaged or altered; names the file.
        """
        return self._loaded(reference, SavedCards.read)

    def load(self, reference: str) -> AnySaved:
        """Load the prompt, probe, ensemble or generator that a reference names.

        Raises:
            RegistryError: as `resolve`.
            ArtifactError: a file is missing, damaged or altered; names it.
        """
        return self._loaded(reference, load_version).saved

    def examples(self, reference: str) -> tuple[VersionExample, ...]:
        """The examples to try of the version that a reference names, as they were given with it.

        Raises:
            RegistryError: as `resolve`.
            ArtifactError: their file is damaged; names it.
        """
        return self._loaded(reference, read_examples)

    def add(
        self,
        prompt: Saveable | str | PathLike[str],
        name: str,
        note: str = "",
        examples: Sequence[str | Mapping[str, str | Sequence[str]]] = (),
    ) -> Version:
        """Add a version; no alias moves.

        The same content again, with the same examples, is the version that exists.

        Args:
            prompt: a `Prompt`, `Probe`, `GeneratorPrompt`, fitted classifier or generator, or the folder of one.
            name: the name of the prompt.
            note: the reason, for the history.
            examples: to try on the page of a service, which shows them to everyone: texts, or fields of the template
                by name. At most 20.

        Returns:
            The version.

        Raises:
            RegistryError: the name breaks the rules, or differs from another by case alone.
            ArtifactError: the folder is not a saved prompt, or is damaged, or has more than 256 MiB.
            ParameterError: `prompt` cannot be saved, the note has several lines, or an example lacks a field.
            FileError: the registry cannot be written.
        """
        validate_name(name)
        validate_parameters({"note": note}, {"note": NOTE})
        saved = as_saveable(prompt)
        store = Store(self.folder / name)
        validate_case(self.folder, name)
        store.remove_leftovers()
        version, is_new = write_version(store, saved, examples)
        if is_new:
            record(store, "add", None, None, version.number, note)
        return version

    def validate_promotion(
        self, reference: str, alias: str = LIVE, *, model_changed: bool = False, labels_changed: bool = False
    ) -> Version:
        """Validate that a version can be promoted, without a model; arguments and errors as `promote`."""
        return self._promotion(reference, alias, model_changed, labels_changed)[0]

    def promote(
        self,
        reference: str,
        alias: str = LIVE,
        *,
        smoke: bool = False,
        backbone: "Backbone | None" = None,
        example: "Example | None" = None,
        model_changed: bool = False,
        labels_changed: bool = False,
        note: str = "",
    ) -> Version:
        """Let an alias name another version, which has to load, with the model and the labels of the live one.

        Args:
            reference: the version, as in `reviews@3` or `reviews@canary`.
            alias: the alias that moves; a new one is created.
            smoke: whether the version has to score an example first; True if one of the next two is given.
            backbone: the model that scores it; a probe loads its encoder.
            example: the example; by default one with a text in each field.
            model_changed: whether the version may belong to another model than the live one.
            labels_changed: whether it may have other labels.
            note: the reason, for the history.

        Returns:
            The version.

        Raises:
            RegistryError: there is no such version, or the alias breaks the rules.
            ArtifactError: a file of the version is missing, damaged or altered, or it belongs to another model than
                `backbone`.
            ParameterError: the model or the labels differ from those of the live version, or the row cannot be scored.
            FileError: the registry cannot be written.
        """
        validate_parameters({"note": note}, {"note": NOTE})
        version, loaded = self._promotion(reference, alias, model_changed, labels_changed)
        validate_parameters({"smoke": smoke}, {"smoke": BOOLEAN})
        if smoke or backbone is not None or example is not None:
            score_row(version, loaded.saved, loaded.cards, backbone, example)
        store = self._store(version.name)
        store.remove_leftovers()
        move_alias(store, "promote", alias, version, note)
        return version

    def rollback(self, reference: str, note: str = "") -> Version:
        """Let an alias name the version that it named before the last promotion; again, the one before that.

        Args:
            reference: the prompt and the alias, as in `reviews` or `reviews@canary`.
            note: the reason, for the history.

        Returns:
            The version that the alias names now.

        Raises:
            RegistryError: there is no such alias, or the version before was removed.
            ParameterError: the history names no version before.
            ArtifactError: that version is damaged.
            FileError: the registry cannot be written.
        """
        validate_parameters({"note": note}, {"note": NOTE})
        name, alias, given = parse_reference(reference)
        if alias is None:
            raise ParameterError(
                f"{reference!r} names the version {given}, and rollback moves an alias; expected {name} or {name}@ALIAS"
            )
        store = self._store(name)
        current = store.resolve(alias).number
        number = version_before(changes_of(store), alias, current)
        if number is None:
            raise ParameterError(
                f"the history of {name} names no version that {alias} had before {current}; promote one by its number"
            )
        version = store.version(number)
        load_version(version.path)
        move_alias(store, "rollback", alias, version, note)
        return version

    def remove(self, reference: str, note: str = "") -> None:
        """Remove a version that no alias names, or an alias, whose version stays.

        The number of a version that was removed is never used again.

        Args:
            reference: the version, as in `reviews@3`, or the alias, as in `reviews@canary`.
            note: the reason, for the history.

        Raises:
            RegistryError: there is no such version or alias.
            ParameterError: an alias names the version, or the reference is a name alone.
            ArtifactError: the file of an alias is damaged.
            FileError: the registry cannot be written.
        """
        validate_parameters({"note": note}, {"note": NOTE})
        name, alias, number = self._explicit(reference)
        store = self._store(name)
        if alias is not None:
            remove_alias(store, alias, note)
            return
        remove_version(store, store.version(int(number or 0)), note)

    def state(self) -> State:
        """The state of the files of all aliases, to be compared with `changed_aliases`; cheap enough for each second.

        What another process is writing or removing at the moment is left out or has its earlier state.

        Raises:
            FileError: the folder is missing or cannot be read, as of a share that is gone.
        """
        return read_state(self.folder)

    def check(self) -> tuple[Fault, ...]:
        """Check every version, alias and history.

        Returns:
            All faults, each with its path; empty for a registry without any.

        Raises:
            FileError: a folder is missing or cannot be read.
        """
        list_registry(self.folder)
        return tuple(check_registry(self.folder))

    def _loaded(self, reference: str, load: Callable[[Path], T]) -> T:
        """Load the version that a reference names; again if it was another one when the files were read."""
        while True:
            version = self.resolve(reference)
            try:
                return load(version.path)
            except ArtifactError:
                if self.resolve(reference) == version:
                    raise

    def _folder_names(self) -> Iterator[str]:
        return filter(is_name, list_registry(self.folder))

    def _store(self, name: str) -> Store:
        """The folder of a prompt; raises RegistryError if there is none."""
        validate_name(name)
        store = Store(self.folder / name)
        if not is_folder(store.folder):
            known = self.names()
            names = f"; it has {', '.join(known)}" if known else ", which is empty"
            raise RegistryError(f"there is no prompt {name!r} in {self.folder}{did_you_mean(name, known)}{names}")
        return store

    def _promotion(
        self, reference: str, alias: str, model_changed: bool, labels_changed: bool
    ) -> tuple[Version, Loaded]:
        flags = {"model_changed": model_changed, "labels_changed": labels_changed}
        validate_parameters(flags, dict.fromkeys(flags, BOOLEAN))
        validate_alias(alias)
        self._explicit(reference)
        version = self.resolve(reference)
        loaded = load_version(version.path)
        validate_promotion(self._store(version.name), version, loaded.cards, alias, **flags)
        return version, loaded

    def _explicit(self, reference: str) -> Reference:
        """Parse a reference that names an alias or a number; raise ParameterError for a name alone."""
        parsed = parse_reference(reference)
        if "@" not in reference:
            numbers = self._store(parsed.name).numbers()
            newest = numbers[-1] if numbers else 1
            raise ParameterError(f"{reference!r} names no version; expected one as in {reference}@{newest}")
        return parsed
