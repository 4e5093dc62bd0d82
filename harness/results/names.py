"""The names that tasks and predictors may have, as those of files on every system."""

import re

from benchmark.util.strict_json import refuse
from harness.results.contents import RESERVED

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def check_name(where: str, name: str, hint: str = "") -> None:
    """Check that the name of a task or a predictor can be that of a file on every system.

    Args:
        where: The field of the name, for the message.
        name: The name.
        hint: What to do, at the end of the message.

    Raises:
        ValueError: If it cannot.
    """
    if not _NAME.fullmatch(name):
        rule = "of a-z, 0-9, '.', '_' and '-', and start with a letter or digit"
        refuse(where, name, rule + hint)
    if RESERVED.fullmatch(name):
        refuse(where, name, f"another name: this is a device of Windows, not a file{hint}")
