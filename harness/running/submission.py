"""A submission: a folder `submissions/<name>` beside the folder of results.

It holds `submission.yaml`, which says who submits what, and for code of one's own the Python files;
`submission.yaml` names their class as `predictor.py:Class`. Predictions and scores lie where all
results lie, as `results/<task>/<name>.json` with its Parquet files, and nowhere else.
"""

import hashlib
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from benchmark.util.strict_json import decode, encode, refuse
from harness.predictors.registry import PREDICTORS

Kind = Literal["predictions", "code"]
FILE = "submission.yaml"
MOST_BYTES = 65_536  # of submission.yaml and of each file of code
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Submission:
    """What `submission.yaml` says; fields with a default may be left out.

    Attributes:
        name: Of the folder and of the results: a-z, 0-9 and '-'.
        title: What the predictor does, on one line.
        authors: Free text.
        kind: `predictions`, scored without running anything, or `code`.
        tasks: Answered, all different.
        predictor: For code: `predictor.py:Class`, `package.module:Class`, or the name of an entry
            point of the group `peephole.predictors`.
        requirement: What pip installs, for code in a package.
        seeds: How many the predictor is fitted with; 1 if its answer does not depend on it.
        fit_seconds: For predictions: measured time to fit, mean over seeds.
        predict_seconds: Likewise to predict, for all networks of a task.
        hardware: What these were measured on.
        contact: Free text.
        url: Of a paper, page or repository.
    """

    name: str
    title: str
    authors: str
    kind: Kind
    tasks: tuple[str, ...]
    predictor: str | None = None
    requirement: str | None = None
    seeds: int = 1
    fit_seconds: float | None = None
    predict_seconds: float | None = None
    hardware: str | None = None
    contact: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        """Check the fields, each by itself and against each other."""
        if not _NAME.fullmatch(self.name):
            refuse("name", self.name, "of a-z, 0-9 and '-', not starting with '-'")
        if self.name in PREDICTORS:
            refuse("name", self.name, "another than that of a reference predictor")
        for field in ("title", "authors"):
            text = getattr(self, field)
            if not text.strip() or len(text.splitlines()) > 1:
                refuse(field, text, "one line that is not empty")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            refuse("tasks", self.tasks, "at least one, all different")
        if self.seeds < 1:
            refuse("seeds", self.seeds, "at least 1")
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            refuse("url", self.url, "an address that starts with https:// or http://")
        self._check_kind()

    def _check_kind(self) -> None:
        """Check that code says how it is found, and predictions what they cost."""
        if (self.predictor is not None) != (self.kind == "code"):
            refuse("predictor", self.predictor, "given for code, and for code only")
        if self.requirement is not None and self.kind != "code":
            refuse("requirement", self.requirement, "given for code only")
        costs = {"fit_seconds": self.fit_seconds, "predict_seconds": self.predict_seconds}
        for field, seconds in costs.items():
            if seconds is not None and (self.kind == "code" or seconds < 0):
                refuse(field, seconds, "at least 0, and given for predictions only: code is timed")
        if (self.fit_seconds is None) != (self.predict_seconds is None):
            raise ValueError("`fit_seconds` and `predict_seconds` must be given both or neither")
        if self.file is not None and ("/" in self.file or not self.file.endswith(".py")):
            refuse("predictor", self.predictor, "a class of a .py file in the submission's folder")

    @property
    def file(self) -> str | None:
        """The file of the predictor's class; None for predictions and code in a package."""
        place, colon, _ = (self.predictor or "").rpartition(":")
        return place if colon and (place.endswith(".py") or "/" in place) else None


class _Loader(yaml.SafeLoader):
    """Plain YAML: no tag makes an object, no key stands twice, nothing is repeated by reference."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases, with which a few lines can stand for gigabytes."""
        if self.check_event(yaml.AliasEvent):
            raise ValueError("aliases (`*name`) are not used here")
        return super().compose_node(parent, index)

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        """Refuse a key that stands there twice, of which YAML would keep the last."""
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"field `{name}` must stand there once, not twice")
        found: dict[Hashable, object] = super().construct_mapping(node, deep)
        return found


def read_submission(folder: Path) -> Submission:
    """Return what the `submission.yaml` of a folder says, checked with its files of code.

    Raises:
        ValueError: If the file is no YAML, or breaks a rule; the message starts with its path.
        OSError: If it cannot be read.
    """
    path = folder / FILE
    content = path.read_bytes()
    try:
        if len(content) > MOST_BYTES:
            raise ValueError(f"{len(content):,} bytes must be at most {MOST_BYTES:,}")
        submission = make_submission(yaml.load(content, Loader=_Loader))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {'; '.join(str(error).splitlines())}") from error
    if submission.file is not None and not (folder / submission.file).is_file():
        raise ValueError(f"{path}: `predictor` (={submission.predictor!r}) must be in the folder")
    code_files(folder)
    return submission


def make_submission(fields: object) -> Submission:
    """Return the submission of fields as YAML reads them.

    Raises:
        ValueError: If one is missing, unknown, of another type, or breaks a rule.
    """
    submission = decode(Submission, fields, "")
    assert isinstance(submission, Submission)
    return submission


def code_files(folder: Path) -> list[Path]:
    """Return the Python files of a submission, by name.

    Raises:
        ValueError: If one is larger than a file of code.
    """
    files = sorted(folder.glob("*.py"))
    for path in files:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(
                f"{path}: {path.stat().st_size:,} bytes must be at most {MOST_BYTES:,}"
            )
    return files


def code_digest(folder: Path) -> str:
    """Return the SHA-256 of a submission: of its `submission.yaml` and its files of code."""
    digest = hashlib.sha256()
    for path in [folder / FILE, *code_files(folder)]:
        content = path.read_bytes()
        digest.update(f"{path.name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def find_submission(folder: Path, name: str) -> Submission:
    """Return a submission of a folder of submissions.

    Raises:
        ValueError: As `read_submission`, or if the name is not that of its folder.
        FileNotFoundError: If there is none.
    """
    submission = read_submission(folder / name)
    if submission.name != name:
        path = folder / name / FILE
        raise ValueError(f"{path}: `name` (={submission.name!r}) must be that of the folder")
    return submission


def submissions_folder(results: Path) -> Path:
    """Return where submissions lie: beside the folder of results."""
    return results.resolve().parent / "submissions"


def submission_names(folder: Path) -> list[str]:
    """Return the names of all submissions of a folder, which may be missing."""
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))


def to_yaml(submission: Submission) -> str:
    """Return the text of a `submission.yaml`, without fields that are left out.

    >>> print(to_yaml(Submission("a", "A title", "Ann", "predictions", ("digits-k0-v2",))))
    name: a
    title: A title
    authors: Ann
    kind: predictions
    tasks:
    - digits-k0-v2
    seeds: 1
    <BLANKLINE>
    """
    fields = encode(submission)
    assert isinstance(fields, dict)
    given = {name: value for name, value in fields.items() if value is not None}
    text: str = yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=100)
    return text
