"""Hides packages from a new process, as if they were not installed."""

CODE = """\
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.split(".")[0] in {names!r}
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""


def hiding(*names: str) -> str:
    """Return code after which packages can neither be imported nor found."""
    return CODE.replace("{names!r}", repr(names))
