"""Keeps pytest from running what lies in the folders of results and submissions.

`norecursedirs` keeps it from finding them; this refuses them where they are named. Tests run in as
many processes as there are cores, so each has one thread.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
BOARD = Path(__file__).parent / "leaderboard"
SUBMITTED = (BOARD / "results", BOARD / "submissions")


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Refuse to start in one of the folders, or with a part of one as an argument.

    This is called before the `conftest.py` of the arguments would be loaded.
    """
    config = pluginmanager.get_plugin("pytestconfig")
    assert isinstance(config, pytest.Config)
    arguments = [*config.known_args_namespace.file_or_dir, *config.getini("testpaths")]
    names = ["", *(argument.split("::")[0] for argument in arguments)]
    for name in (*names, *(name.replace(".", "/") for name in names)):  # paths, or --pyargs
        path = (config.invocation_params.dir / name).resolve()
        if any(path.is_relative_to(folder) for folder in SUBMITTED):
            raise pytest.UsageError(f"{path}: what others submit is no test and must not be run")
