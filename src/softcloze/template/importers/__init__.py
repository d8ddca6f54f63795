"""Templates of other libraries, read into nodes of our language. Nothing in them is ever evaluated."""

from softcloze.template.importers.lmbff import read_lmbff
from softcloze.template.importers.openprompt import read_openprompt
from softcloze.template.importers.ruprompts import read_ruprompts

__all__ = ["read_lmbff", "read_openprompt", "read_ruprompts"]
