"""Code in files with its data: what `check` accepts, `submit` lays out and a rerun finds."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmark.release import Release
from harness.results.store import read_result, result_path
from harness.running.drafts import make_submission_files, read_submission_files
from harness.running.evaluate_many import Setting
from harness.running.submission import FILE, submissions_folder
from harness.running.submitted_files import files_of_module, submitted_files
from harness.verification.audit import Request, rerun_all, verify
from harness.verification.submit import check_code, submit_files
from tests.toys.data import toy_release
from tests.toys.submissions import TASK

YAML = f"""name: loaded
title: T
authors: A
kind: code
predictor: main_part.py:Net
tasks: [{TASK}]
"""
CODE = """
from pathlib import Path
import sizes_part
from inner_parts.deep import SCALE, load
class Net:
    def __init__(self):
        self.weight = load(Path(__file__).parent / "stored" / "weights.npz")
    def fit(self, train, validation, *, observed, seed): ...
    def predict(self, queries):
        return sizes_part.predict(queries, self.weight * SCALE)
"""
SIZES = """
import numpy as np
from peephole import Prediction
def predict(queries, weight):
    sizes = np.array([float(len(rows)) for rows in queries.layer_rows])
    return Prediction(sizes[:, None] * weight, (queries.recipe.epochs,))
"""
DEEP = """
import numpy as np
SCALE = 0.005
def load(path):
    with np.load(path) as stored:
        return float(stored["weight"])
"""
ALL = ["inner_parts/__init__.py", "inner_parts/deep.py", "main_part.py", "sizes_part.py",
       "stored/weights.npz"]  # fmt: skip


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(toy_release(tmp_path_factory.mktemp("release"), (0, 1)))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return a folder with a predictor of four modules that loads a weight."""
    folder = tmp_path / "mine"
    files = {"main_part.py": CODE, "sizes_part.py": SIZES, "inner_parts/deep.py": DEEP,
             "inner_parts/__init__.py": "", FILE: YAML}  # fmt: skip
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "stored").mkdir()
    np.savez(folder / "stored" / "weights.npz", weight=0.75)
    return folder


def test_what_check_accepts_is_submitted_and_run_again(
    mine: Path, release: Release, tmp_path: Path
) -> None:
    first, *rules = check_code(str(mine), release)
    assert (first.rule, first.passed) == ("files", True)
    assert re.fullmatch(rf"{re.escape(', '.join(ALL))}; [\d,]+ bytes", first.seen)
    assert all(finding.passed for finding in rules)
    results = tmp_path / "results"
    submit_files(read_submission_files(mine), Setting(results, release))
    submitted = submissions_folder(results) / "loaded"
    assert list(submitted_files(submitted)) == ALL
    path = result_path(results, TASK, "loaded")
    request = Request(results, release=release, processes=1)
    rerun_all(request, [path], minutes=5)
    assert read_result(path).verification == "rerun"
    assert verify(request).problems == ()
    np.savez(submitted / "stored" / "weights.npz", weight=0.5)
    (problem,) = verify(request).problems
    assert problem.endswith("must be 'rescored' at most: the code has changed since")


def test_a_file_is_taken_with_what_it_imports_and_names(mine: Path, release: Release) -> None:
    for name in ("other.py", "stored/other.npz", "notes.txt", "numpy.py", "peephole.py"):
        (mine / name).touch()
    main = mine / "main_part.py"
    assert list(files_of_module(main)) == ALL
    first, *rules = check_code(f"{main}:Net", release)
    assert first.seen.startswith(", ".join(ALL))
    assert all(finding.passed for finding in rules)
    fields = {"name": "one", "title": "T", "authors": "A", "tasks": (TASK,)}
    assert list(make_submission_files(f"{main}:Net", fields).code) == ALL


def test_relative_imports_are_followed_and_faulty_modules_end(tmp_path: Path) -> None:
    texts = {
        "main.py": "def f():\n    from pack.a import x\n",
        "pack/__init__.py": "from .b import y",
        "pack/a.py": "from . import c\nfrom ..main import f\nimport pack.none",
        "pack/b.py": "not python",
        "pack/c.py": "'../../outside.npz'",
        "pack/d.py": "",
    }
    (tmp_path / "pack").mkdir()
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path.parent / "outside.npz").touch()
    found = list(files_of_module(tmp_path / "main.py"))
    assert found == ["main.py", "pack/__init__.py", "pack/a.py", "pack/b.py", "pack/c.py"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("stored/net.pth", "a pickle can run code that no review sees; store numbers as npy, npz "
         "or safetensors"),
        ("notes.txt", "a file here must be submission.yaml or <folders>/<module>.py or "
         "<folders>/<data>.<csv|json|npy|npz|safetensors>"),
        ("größe.py", "a Python file must have a name that can be imported, of A-Z, a-z, 0-9 and "
         "'_'; rename it, for example gr__e.py"),
        ("my code/net.py", "no file may lie here: folders have names of letters, digits, '_' and "
         "'-', and are at most 3 deep"),
        ("__init__.py", "__init__.py must not lie here: Python runs it when it looks for modules; "
         "only folders of the submission may have one"),
    ],
)  # fmt: skip
def test_what_submit_refuses_check_refuses_first(
    mine: Path, release: Release, name: str, rule: str
) -> None:
    (mine / name).parent.mkdir(exist_ok=True)
    (mine / name).touch()
    message = f"^{re.escape(f'{mine / name}: {rule}')}$"
    with pytest.raises(ValueError, match=message):
        check_code(str(mine), release)
    with pytest.raises(ValueError, match=message):
        read_submission_files(mine)


def test_a_pickle_that_a_file_names_is_refused_and_not_left_out(mine: Path) -> None:
    main = mine / "main_part.py"
    main.write_text(f"{CODE}\nNAME = 'net.pt'\n")
    (mine / "net.pt").touch()
    with pytest.raises(ValueError, match=rf"^{re.escape(str(mine))}/net\.pt: a pickle can run"):
        files_of_module(main)


def test_an_unknown_task_is_refused_before_a_rule_is_tried(mine: Path, release: Release) -> None:
    (mine / FILE).write_text(YAML.replace(TASK, "digits-k1-v0"))
    with pytest.raises(ValueError, match=r"^unknown task 'digits-k1-v0'; did you mean"):
        check_code(str(mine), release)


def test_a_folder_and_a_module_that_submit_would_refuse_are_refused(
    tmp_path: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "net.py").touch()
    message = f"folder 'bare' has no {FILE}; template/ has one to start from"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_code("bare", release)
    with pytest.raises(
        ValueError, match=r"^module 'bare\.net' lies in this folder and is not inst"
    ):
        check_code("bare.net:Net", release)


def test_findings_and_errors_name_the_original_and_not_the_copy(
    mine: Path, release: Release
) -> None:
    (mine / "stored" / "weights.npz").unlink()
    findings = check_code(str(mine), release)
    weights = f"'{mine}/stored/weights.npz'"
    seen = findings[1].seen
    assert seen.startswith(f"FileNotFoundError: [Errno 2] No such file or directory: {weights}")
    assert "peephole-check" not in seen
    (mine / "main_part.py").write_text("class Net: ...")
    message = f"predictor '{mine}/main_part.py:Net' must have a method `fit`"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_code(str(mine), release)


def test_texts_and_hidden_names_are_left_out(mine: Path) -> None:
    for name in ("README.md", ".hidden.py", ".git/config", "__pycache__/a.pyc"):
        (mine / name).parent.mkdir(exist_ok=True)
        (mine / name).touch()
    assert list(submitted_files(mine)) == ALL


def test_an_earlier_file_goes_when_a_submission_is_replaced(
    mine: Path, release: Release, tmp_path: Path
) -> None:
    setting = Setting(tmp_path / "results", release)
    submit_files(read_submission_files(mine), setting)
    (mine / "main_part.py").write_text(
        SIZES
        + CODE.split("SCALE, load\n")[1]
        .replace('load(Path(__file__).parent / "stored" / "weights.npz")', "0.7")
        .replace(
            "sizes_part.predict(queries, self.weight * SCALE)",
            "predict(queries, self.weight / 200)",
        )
    )
    for name in ("sizes_part.py", "inner_parts/deep.py", "inner_parts/__init__.py",
                 "stored/weights.npz"):  # fmt: skip
        (mine / name).unlink()
    submit_files(read_submission_files(mine), setting, replace_existing=True)
    left = sorted(path.name for path in (tmp_path / "submissions" / "loaded").rglob("*"))
    assert left == ["main_part.py", FILE]
