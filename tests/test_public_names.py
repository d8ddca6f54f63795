"""The public names of softcloze and its packages are those of `public_names.txt`: none comes or goes unnoticed.

After a change on purpose, `python tests/test_public_names.py` writes the list anew.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import softcloze

LIST = Path(__file__).with_name("public_names.txt")


def public_names():
    """Full names of all that stands in an `__all__`, of softcloze and of what lies directly in it."""
    modules = ["softcloze", *(f"softcloze.{module.name}" for module in iter_modules(softcloze.__path__))]
    faces = [import_module(module) for module in modules if module != "softcloze.__main__"]
    return sorted(f"{face.__name__}.{name}" for face in faces for name in getattr(face, "__all__", ()))


def test_public_names_are_those_of_the_list():
    listed, names = LIST.read_text(encoding="utf-8").split(), public_names()
    gone, new = sorted({*listed} - {*names}), sorted({*names} - {*listed})
    assert names == listed, f"gone: {gone}, new: {new}; if that is meant, run python tests/test_public_names.py"


if __name__ == "__main__":
    LIST.write_text("\n".join(public_names()) + "\n", encoding="utf-8")
