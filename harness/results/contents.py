"""What may lie in the folders of results and submissions, which pull requests fill.

Every file is a plain file of a known name and a bounded size, in a plain folder of a known name.
This is checked before anything in them is read. It takes the standard library alone, so that CI can
check a change before it installs or runs anything.
"""

import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

DESCRIPTION = "submission.yaml"  # of a submission
MOST_BYTES = 65_536  # of submission.yaml and of each Python file of a submission
DATA = ("csv", "json", "npy", "npz", "safetensors")  # kinds of data beside submitted code
MOST_DATA_BYTES = 10_000_000  # of each file of it
MOST_SUBMITTED_FILES, MOST_SUBMITTED_BYTES = 100, 20_000_000  # of all files of a submission
FILES = {  # every file that may lie there, and its largest size in bytes
    "results/ceiling-<images>.json": 1_000_000,
    "results/references.json": 10_000_000,
    "results/reruns.json": 10_000_000,
    "results/.lock": 0,
    "results/<task>/<predictor>.json": 1_000_000,
    "results/<task>/<predictor>.<digest>.parquet": 20_000_000,
    "results/search/<images>/<predictor>.json": 5_000_000,
    "results/search/open/<images>/<predictor>.json": 5_000_000,
    f"submissions/<name>/{DESCRIPTION}": MOST_BYTES,
    "submissions/<name>/<folders>/<module>.py": MOST_BYTES,
    f"submissions/<name>/<folders>/<data>.<{'|'.join(DATA)}>": MOST_DATA_BYTES,
}
FOLDERS = (
    "results", "results/<task>", "results/search/<images>",
    "results/search/open/<images>", "submissions", "submissions/<name>",
    "submissions/<name>/<folders>",
)  # fmt: skip
PARTS = {
    "<images>": r"[a-z0-9-]+",
    "<task>": r"[a-z0-9][a-z0-9._-]*",
    "<predictor>": r"[a-z0-9][a-z0-9._-]*",
    "<digest>": r"[0-9a-f]{16}",
    "<name>": r"[a-z0-9][a-z0-9-]*",
    "/<folders>": r"(?:/[A-Za-z_][A-Za-z0-9_-]*){0,3}",
    "<module>": r"[A-Za-z_][A-Za-z0-9_]*",
    "<data>": r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}",
    f"<{'|'.join(DATA)}>": f"(?:{'|'.join(DATA)})",
}
PICKLES = ("ckpt", "joblib", "pickle", "pkl", "pt", "pth")  # endings of files that can run code
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")  # devices of Windows
REASONS = {  # names that are refused although the table has them, or with a better reason
    "conftest.py": "pytest runs it without being asked",
    "sitecustomize.py": "Python runs it without being asked",
    "usercustomize.py": "Python runs it without being asked",
    "__init__.py": "Python runs it when it looks for modules; only folders of the submission may "
    "have one",
    "__pycache__": "it is compiled code, which may differ from the code beside it; delete it",
}
MOST_ENTRIES = 50_000  # files and folders below each of the two
DRAFT = re.compile(r"(.+)\.[0-9a-f]{16}\.part")  # as benchmark.util.atomic names them
DRAFT_SECONDS = 600.0  # a running command moves its drafts long before they are this old


def _compile(path: str) -> re.Pattern[str]:
    """Return the expression of a path with named parts."""
    text = re.escape(path)
    for part, expression in PARTS.items():
        text = text.replace(re.escape(part), expression)
    return re.compile(text)


_FILES = {path: _compile(path) for path in FILES}
_FOLDERS = [_compile(path) for path in FOLDERS]


def require_contents(results: Path, submissions: Path) -> None:
    """Check both folders as `check_contents` does.

    Raises:
        ValueError: If there is a problem; the message has the first one and how many others.
        OSError: If a folder cannot be read.
    """
    problems = check_contents(results, submissions)
    if problems:
        others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ValueError(problems[0] + others)


def check_contents(results: Path, submissions: Path) -> list[str]:
    """Return a message, path first, for everything that may not lie in both folders.

    A folder that does not exist is empty. No link is followed and no file is opened.

    Raises:
        OSError: If a folder cannot be read.
    """
    problems = []
    sizes: dict[str, list[int]] = {}  # of the files of each submission
    for folder, kind in ((results, "results"), (submissions, "submissions")):
        for count, (path, known, state) in enumerate(_walk(folder, kind)):
            if count > MOST_ENTRIES:
                most = f"at most {MOST_ENTRIES:,} files and folders"
                problems.append(f"{shown(folder)}: there must be {most}")
                break
            problem = _find_problem(known, state)
            if problem:
                problems.append(f"{shown(path)}: {problem}")
            elif kind == "submissions" and stat.S_ISREG(state.st_mode):
                sizes.setdefault(known.split("/")[1], []).append(state.st_size)
    for name, of in sizes.items():
        if problem := total_problem(of):
            problems.append(f"{shown(submissions / name)}: {problem}")
    return problems


def total_problem(sizes: Sequence[int]) -> str:
    """Return what is wrong with the number or the sum of the sizes of a submission's files.

    >>> total_problem([20_000_000, 1])
    'all files together have 20,000,001 bytes and may have at most 20,000,000'
    """
    if len(sizes) > MOST_SUBMITTED_FILES:
        return f"there are {len(sizes):,} files and there may be at most {MOST_SUBMITTED_FILES}"
    most = f"may have at most {MOST_SUBMITTED_BYTES:,}"
    whole = sum(sizes)
    return (
        f"all files together have {whole:,} bytes and {most}"
        if whole > MOST_SUBMITTED_BYTES
        else ""
    )


def _walk(path: Path, known: str) -> Iterator[tuple[Path, str, os.stat_result]]:
    """Yield everything from a path on: its path, its path in the table, and its state.

    Folders that are not in the table are not entered.
    """
    try:
        state = path.lstat()
    except FileNotFoundError:  # a draft that was moved just now
        return
    yield path, known, state
    if stat.S_ISDIR(state.st_mode) and _is_folder(known):
        for name in sorted(os.listdir(path)):
            yield from _walk(path / name, f"{known}/{name}")


def _is_folder(known: str) -> bool:
    return not _reason(known) and any(pattern.fullmatch(known) for pattern in _FOLDERS)


def _find_problem(known: str, state: os.stat_result) -> str:
    """Return what is wrong with a file or folder; an empty string if nothing is."""
    if stat.S_ISDIR(state.st_mode):
        return "" if _is_folder(known) else _refusal("folder", FOLDERS, known)
    if not stat.S_ISREG(state.st_mode):
        what = "a link" if stat.S_ISLNK(state.st_mode) else "a device, pipe or socket"
        return f"only plain files and folders may lie here, not {what}"
    draft = DRAFT.fullmatch(known)
    if draft and not file_problem(draft[1]):
        young = time.time() - state.st_mtime < DRAFT_SECONDS
        return "" if young else "this draft is of a command that was killed; delete it"
    return file_problem(known, state.st_size)


def file_problem(known: str, size: int = 0) -> str:
    """Return what is wrong with a plain file; an empty string if nothing is.

    Args:
        known: Its path as in the table, as `results/digits-k0-v3/gru.json`.
        size: Its size in bytes.

    >>> file_problem("submissions/mine/parts/weights.npz")
    ''
    >>> file_problem("results/digits-k0-v3/gru/notes.txt")
    'no file may lie here'
    """
    for path, pattern in _FILES.items():
        if pattern.fullmatch(known) and not _reason(known):
            most = FILES[path]
            return "" if size <= most else f"{size:,} bytes must be at most {most:,}"
    return _refusal("file", FILES, known)


def _reason(known: str) -> str:
    """Return why a name is refused, whatever the table has; an empty string if it is not."""
    name, inner = known.rpartition("/")[2], known.count("/") > 2
    if name.lower() in REASONS and not (inner and name == "__init__.py"):
        return f"{name} must not lie here: {REASONS[name.lower()]}"
    if any(map(RESERVED.fullmatch, known.split("/"))):
        return "this is the name of a device on Windows; rename it"
    if name.startswith("._"):
        return "macOS adds such a file to copies; delete it"
    if known.startswith("submissions/") and name.rpartition(".")[2].lower() in PICKLES:
        return "a pickle can run code that no review sees; store numbers as npy, npz or safetensors"
    return ""


def _refusal(what: str, table: Iterable[str], known: str) -> str:
    """Return why a name is refused, or which names of a table may lie in its folder."""
    folder = known.rpartition("/")[0]
    names = [path for path in table if _compile(path.rpartition("/")[0]).fullmatch(folder)]
    module = known.rpartition("/")[2].removesuffix(".py")
    if names and what == "file" and known.startswith("submissions/") and known.endswith(".py"):
        better = f"{re.sub(r'(?a)^(?=[0-9])|[^A-Za-z0-9_]', '_', module)}.py"
        rule = "a Python file must have a name that can be imported, of A-Z, a-z, 0-9 and '_'; "
        rule += f"rename it, for example {better}"
    elif names:
        rule = f"a {what} here must be {' or '.join(names)}"
    elif known.count("/") > 1 and known.startswith("submissions/"):
        rule = f"no {what} may lie here: folders have names of letters, digits, '_' and '-', and "
        rule += "are at most 3 deep"
    else:
        rule = f"no {what} may lie here"
    return _reason(known) or rule


def shown(path: Path) -> str:
    """Return a path as text, escaped if it would change the display."""
    return str(path) if str(path).isprintable() else ascii(str(path))
