"""A toy release and one of its tasks, for the tests that do not make their own."""

from pathlib import Path

import pytest

from benchmark.release import Release
from benchmark.tasks import Task
from harness.task_data import TaskData, load_task_data
from tests.toys.data import toy_release

OBSERVED = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def task(folder: Path) -> Task:
    return Release(folder).task(f"digits-k{OBSERVED}-v1")


@pytest.fixture(scope="module")
def parts(task: Task, folder: Path) -> TaskData:
    return load_task_data(task, Release(folder))
