"""A submission: a folder `submissions/<name>` beside the folder of results.

It holds `submission.yaml`, which describes the submission, and the files of the submitted code, if
any (`harness.running.submitted_files`); `submission.yaml` names their class as
`predictor.py:Class`. The predictions and scores are stored only with all other results, as
`results/<task>/<name>.json` with Parquet files.
"""

import datetime
import re
from collections.abc import Hashable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import yaml

from benchmark.util.strict_json import NESTED, decode, refuse
from benchmark.util.text import check_line
from benchmark.util.unknown_name import text_of
from harness.predictors.registry import PREDICTORS
from harness.results.contents import DESCRIPTION, MOST_BYTES
from harness.results.names import check_name
from harness.results.result import MOST_SEEDS
from harness.running.submitted_files import submitted_files

Kind = Literal["predictions", "code"]
FILE = DESCRIPTION
PREDICTIONS = "predictions"  # folder of the files <task>.parquet, in a draft
LONGEST_AUTHORS = 1_000  # characters
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_PLAIN = {  # how numbers are written, by YAML's tag; it reads others to bases 2, 8, 16 and 60
    "int": re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    "float": re.compile(r"[-+.0-9einfaEINFA]+"),
}
_LINES = ("title", "predictor", "requirement", "hardware", "contact", "url")


@dataclass(frozen=True, slots=True)
class Submission:
    """The content of `submission.yaml`; fields with a default are optional.

    Attributes:
        name: Name of the folder and of the results, of a-z, 0-9 and '-'.
        title: What the predictor does, in one line.
        authors: Names of the authors, in any form.
        kind: `predictions`, which are scored without executing anything, or `code`.
        tasks: Names of the tasks, all different.
        predictor: For code: `predictor.py:Class`, `package.module:Class`, or the name of an entry
            point of the group `peephole.predictors`.
        requirement: For code in a package: the requirement that pip installs.
        seeds: Number of seeds; 1 if the predictions do not depend on the seed.
        fit_seconds: For predictions: measured time to fit, in seconds, mean over seeds.
        predict_seconds: For predictions: measured time to predict all networks of a task, in
            seconds, mean over seeds.
        hardware: The hardware on which these times were measured.
        contact: How to reach the authors, in any form.
        url: Address of a paper, page or repository.
        date: When it was submitted, as YYYY-MM-DD.
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
    date: str | None = None

    def __post_init__(self) -> None:
        """Check each field, and fields against each other."""
        if not _NAME.fullmatch(self.name):
            refuse("name", self.name, "1 to 60 of a-z, 0-9 and '-', not starting with '-'")
        check_name("name", self.name)
        if self.name in PREDICTORS:
            refuse("name", self.name, "different from the names of reference predictors")
        for field in _LINES:
            check_line(field, getattr(self, field))
        check_line("authors", self.authors, LONGEST_AUTHORS)
        for number, task in enumerate(self.tasks):
            check_line(f"tasks[{number}]", task)
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            refuse("tasks", self.tasks, "at least one, all different")
        if not 1 <= self.seeds <= MOST_SEEDS:
            refuse("seeds", self.seeds, f"in 1..{MOST_SEEDS}")
        if self.url is not None and not self.url.startswith(("https://", "http://")):
            refuse("url", self.url, "a URL that starts with https:// or http://")
        if self.date is not None and not _is_date(self.date):
            refuse("date", self.date, "a day as YYYY-MM-DD")
        self._check_kind()

    def _check_kind(self) -> None:
        """Check the fields that only code or only predictions have."""
        if (self.predictor is not None) != (self.kind == "code"):
            refuse("predictor", self.predictor, "given for code and only for code")
        if self.requirement is not None and self.kind != "code":
            refuse("requirement", self.requirement, "given only for code")
        costs = {"fit_seconds": self.fit_seconds, "predict_seconds": self.predict_seconds}
        for field, seconds in costs.items():
            if seconds is not None and (self.kind == "code" or seconds < 0):
                refuse(field, seconds, "at least 0 and given only for predictions; code is timed")
        if (self.fit_seconds is None) != (self.predict_seconds is None):
            raise ValueError("`fit_seconds` and `predict_seconds` must be given together")
        if self.file is not None and ("/" in self.file or not self.file.endswith(".py")):
            refuse("predictor", self.predictor, "a class in a .py file of the submission's folder")

    @property
    def file(self) -> str | None:
        """Name of the file of the predictor's class; None for predictions and code in a package."""
        source, colon, _ = (self.predictor or "").rpartition(":")
        return source if colon and (source.endswith(".py") or "/" in source) else None


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


class _Loader(yaml.SafeLoader):
    """Loads YAML without tags, duplicate keys, merged keys, aliases and numbers of other bases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases, which can expand to gigabytes, tags, and `1:30`, which would be 90."""
        if self.check_event(yaml.AliasEvent):
            raise ValueError("aliases (`*name`) are not allowed")
        tag = getattr(self.peek_event(), "tag", None)  # type: ignore[no-untyped-call]
        if tag is not None:
            raise ValueError(f"tags are not allowed, as {tag!r:.100}")
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and tag is None and node.style is None:
            plain = _PLAIN.get(node.tag.rpartition(":")[2])
            if plain and not plain.fullmatch(node.value):
                rule = "must be written in decimal digits; if it is text, put it in quotes"
                raise ValueError(f"number {node.value:.100} {rule}")
        return node

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        """Refuse duplicate keys, of which YAML would keep the last."""
        names: set[str] = set()
        for name in (str(key.value) for key, _ in node.value):
            if name in names:
                raise ValueError(f"field `{name:.100}` must be given once, not twice")
            if name == "<<":
                raise ValueError("merged keys (`<<`) are not allowed")
            names.add(name)
        return super().construct_mapping(node, deep)


def read_submission(folder: Path) -> Submission:
    """Return the submission of a folder, after checking it and the names of its files.

    Raises:
        ValueError: If the file is not YAML or breaks a rule; the message starts with its path.
        OSError: If it cannot be read.
    """
    path = folder / FILE
    content = path.read_bytes()
    try:
        if len(content) > MOST_BYTES:
            raise ValueError(f"{len(content):,} bytes must be at most {MOST_BYTES:,}")
        text_of(content)  # YAML also reads UTF-16
        fields = yaml.load(content, Loader=_Loader)
        if fields is None:
            raise ValueError("it is empty; template/submission.yaml has the fields")
        if isinstance(fields, dict) and isinstance(fields.get("date"), datetime.date):
            fields["date"] = str(fields["date"])  # YAML reads a day as a date
        submission = make_submission(fields)
    except RecursionError as error:
        raise ValueError(f"{path}: {NESTED}") from error
    except (ValueError, OverflowError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {'; '.join(str(error).splitlines())}") from error
    if submission.file is not None and not (folder / submission.file).is_file():
        raise ValueError(f"{path}: `predictor` (={submission.predictor!r}) must be in the folder")
    predictions = submission.kind == "predictions"
    code = submitted_files(folder, but=PREDICTIONS if predictions else "")
    if code and predictions:
        first = next(iter(code.values()))
        raise ValueError(f"{first}: a submission of predictions must not contain code or its data")
    return submission


def make_submission(fields: object) -> Submission:
    """Return the submission of the fields of a YAML file.

    Raises:
        ValueError: If a field is missing, unknown, of a wrong type or breaks a rule.
    """
    submission = decode(Submission, fields, "")
    assert isinstance(submission, Submission)
    return submission


def find_submission(folder: Path, name: str) -> Submission:
    """Return the submission of a name from a folder of submissions.

    Raises:
        ValueError: As for `read_submission`, or if its name differs from that of its folder.
        FileNotFoundError: If it does not exist.
    """
    submission = read_submission(folder / name)
    if submission.name != name:
        path = folder / name / FILE
        raise ValueError(f"{path}: `name` (={submission.name!r}) must be the name of the folder")
    return submission


def submissions_folder(results: Path) -> Path:
    """Return the folder of submissions, beside the folder of results."""
    return results.resolve().parent / "submissions"


def submission_names(folder: Path) -> list[str]:
    """Return the names of all submissions of a folder, which need not exist."""
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))


def to_yaml(submission: Submission) -> str:
    """Return the text of a `submission.yaml`, without fields that are None.

    >>> print(to_yaml(Submission("a", "A title", "Ann", "predictions", ("digits-k0-v3",))))
    name: a
    title: A title
    authors: Ann
    kind: predictions
    tasks:
    - digits-k0-v3
    seeds: 1
    <BLANKLINE>
    """
    given = {name: value for name, value in asdict(submission).items() if value is not None}
    text: str = yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=100)
    return text
