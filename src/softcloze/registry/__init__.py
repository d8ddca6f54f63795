"""A registry of prompts: a folder of versions that never change, aliases that move between them, and a history."""

from softcloze.registry.checking import Fault
from softcloze.registry.history import Change
from softcloze.registry.references import LIVE
from softcloze.registry.registry import Registry
from softcloze.registry.state import State, changed_aliases
from softcloze.registry.versions import Version

__all__ = ["LIVE", "Change", "Fault", "Registry", "State", "Version", "changed_aliases"]
