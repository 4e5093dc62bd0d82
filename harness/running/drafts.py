"""What `submit` is given: a folder, a file of predictions or a predictor, as a submission."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.predictors.registry import PREDICTORS
from harness.running.submission import (
    FILE,
    PREDICTIONS,
    Submission,
    make_submission,
    read_submission,
    to_yaml,
)
from harness.running.submitted_files import (
    Files,
    files_of_module,
    require_installed,
    submitted_files,
)


@dataclass(frozen=True, slots=True)
class SubmissionFiles:
    """A submission, the text of its `submission.yaml`, and the files of its code or predictions."""

    submission: Submission
    text: str
    code: Files
    predictions: Mapping[str, Path]  # by task


def read_submission_files(folder: Path) -> SubmissionFiles:
    """Return the submission in a folder that was made from `template/`.

    The folder holds `submission.yaml` and the files of `harness.running.submitted_files`, or
    `predictions/<task>.parquet` for each task.

    Raises:
        ValueError: If a rule is broken; the message starts with a path.
        OSError: If a file cannot be read.
    """
    submission = read_submission(folder)
    text = (folder / FILE).read_text(encoding="utf-8")
    if submission.predictor is not None:
        require_installed(submission.predictor)
        return SubmissionFiles(submission, text, submitted_files(folder), {})
    files = {task: folder / PREDICTIONS / f"{task}.parquet" for task in submission.tasks}
    return SubmissionFiles(submission, text, {}, files)


def taken_files(predictor: str) -> tuple[Path, Files, Submission | None]:
    """Return the folder of a predictor's code, the files that `submit` would take, and its draft.

    A predictor that is not in files, as `harness.running.find_predictor.find` takes it, has none; a
    draft is the submission of a folder with one.

    Raises:
        ValueError: If a rule of submissions or of their files is broken.
        OSError: If a file cannot be read.
    """
    folder, (source, _, _) = Path(predictor), predictor.rpartition(":")
    if (folder / FILE).is_file():
        draft = read_submission_files(folder)
        return folder, draft.code if draft.submission.file else {}, draft.submission
    if source.endswith(".py") and Path(source).is_file():
        return Path(source).parent, files_of_module(Path(source)), None
    require_installed(predictor)
    return folder, {}, None


def make_submission_files(what: str, fields: Mapping[str, object]) -> SubmissionFiles:
    """Return the submission of a file of predictions, or of a predictor, without a folder.

    `what` is a Parquet file with the predictions of one task, whatever its ending, or a predictor
    as `harness.running.find_predictor.find` takes it. `fields` are those of `submission.yaml`
    except `kind` and `predictor`, which follow from `what`.

    Raises:
        ValueError: If a field is missing or a rule is broken.
        FileNotFoundError: If there is no such file.
    """
    source, _, attribute = what.rpartition(":")
    path = Path(what)
    if path.is_dir() and what not in PREDICTORS:
        raise FileNotFoundError(
            f"folder {what!r} has no {FILE}; template/ of the repository has one to copy"
        )
    alone = path.suffix == ".parquet" or (path.is_file() and path.suffix != ".py")
    missing = [name for name in ("name", "title", "authors", "tasks") if name not in fields]
    if missing:
        options = ", ".join(f"--{name}" for name in missing).replace("--tasks", "--task")
        raise ValueError(f"{what}: give {options}, or a folder with {FILE} as in template/")
    plain = {n: list(v) if isinstance(v, tuple) else v for n, v in fields.items()}
    plain.setdefault("date", datetime.now(UTC).date().isoformat())
    if alone:
        submission = make_submission(plain | {"kind": "predictions"})
        if len(submission.tasks) > 1:
            raise ValueError(
                f"{what}: a file holds the predictions of one task, not {len(submission.tasks)}; "
                f"for more, make a folder with {FILE} as in template/"
            )
        predictions = {submission.tasks[0]: path}
        return SubmissionFiles(submission, to_yaml(submission), {}, predictions)
    is_file = source.endswith(".py")
    if is_file and not Path(source).is_file():
        raise FileNotFoundError(f"no file {source!r} for the predictor {what!r}")
    predictor = f"{Path(source).name}:{attribute}" if is_file else what
    require_installed(what)
    submission = make_submission(plain | {"kind": "code", "predictor": predictor})
    code = files_of_module(Path(source)) if is_file else {}
    return SubmissionFiles(submission, to_yaml(submission), code, {})
