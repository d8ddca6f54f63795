"""Changes of a prompt's aliases and versions, each with a line in its history.

A process may be killed between any two steps, and another may write at the same time. The history is written before an
alias, so that no move is without a line; a line without a move does no harm.
"""

from softcloze.errors import ParameterError, RegistryError, SoftclozeError
from softcloze.registry.history import Action, Change, append_change, read_history
from softcloze.registry.store import Store
from softcloze.registry.versions import Version


def record(store: Store, action: Action, alias: str | None, before: int | None, after: int | None, note: str) -> None:
    """Append a change to the history of a prompt."""
    append_change(store.history_file, Change.now(action, alias, before, after, note))


def changes_of(store: Store) -> list[Change]:
    """The changes of a prompt, in order, without lines that are damaged."""
    return [change for change in read_history(store.history_file) if isinstance(change, Change)]


def move_alias(store: Store, action: Action, alias: str, version: Version, note: str) -> None:
    """Let an alias name a version.

    Raises:
        RegistryError: another process removes the version; the alias names what it named before.
    """
    before = store.read_alias(alias)
    if before == version.number:
        return
    record(store, action, alias, before, version.number, note)
    store.write_alias(alias, version.number)
    try:
        store.version(version.number)
    except RegistryError:  # removed in between
        store.write_alias(alias, before)
        raise


def remove_alias(store: Store, alias: str, note: str) -> None:
    """Remove an alias, also one that names no version; raises RegistryError if there is none."""
    if (number := store.read_alias(alias)) is None:
        store.resolve(alias)  # raises
    record(store, "remove", alias, number, None, note)
    store.write_alias(alias, None)


def remove_version(store: Store, version: Version, note: str) -> None:
    """Remove a version.

    Raises:
        ParameterError: an alias names the version.
    """
    _validate_unnamed(store, version)
    store.mark_removed(version.number, Change.now("remove", None, version.number, None, note).to_line())
    try:
        _validate_unnamed(store, version)  # an alias may have moved in between
    except SoftclozeError:
        store.unmark(version.number)
        raise
    store.clear(version.number)
    record(store, "remove", None, version.number, None, note)


def _validate_unnamed(store: Store, version: Version) -> None:
    """Raise ParameterError if an alias names a version."""
    aliases = [alias for alias, number in store.aliases().items() if number == version.number]
    if aliases:
        raise ParameterError(
            f"{version} is what {' and '.join(aliases)} names; promote another version or remove the alias first"
        )
