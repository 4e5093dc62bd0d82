"""What others submit is never run, never shipped, and never vouched for in the same change."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="only in a source tree")
CODE = '''"""Evil.

>>> 1
1
"""
open({marker!r}, "a").write(__file__)
'''
RESULTS, SUBMISSIONS = "leaderboard/results", "leaderboard/submissions"
RERUNS, REFERENCES = f"{RESULTS}/reruns.json", f"{RESULTS}/references.json"


def load(name: str) -> ModuleType:
    """Return a module of CI, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree with our settings and with code where only submissions and results lie."""
    tree = tmp_path / "tree"
    for folder in (f"{SUBMISSIONS}/evil", f"{RESULTS}/digits-k0-v3"):
        (tree / folder).mkdir(parents=True)
        for place in (tree / folder, (tree / folder).parent):
            for name in ("conftest.py", "test_evil.py", "evil.py"):
                (place / name).write_text(CODE.format(marker=str(tmp_path / "marker")))
    (tree / "leaderboard" / "__init__.py").touch()
    (tree / "leaderboard" / "good.py").write_text('"""Good.\n\n>>> 1\n1\n"""\n')
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    return tree


def run_pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the errors of pytest in a folder."""
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider"]
    command += ["-p", "xdist.plugin", "-n", "0", *arguments]
    kept = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST")}
    kept |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # plugins take seconds to load
    done = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize(
    ("folder", "arguments"), [(".", ["leaderboard"]), (".", ["."]), ("leaderboard", [])]
)
def test_pytest_does_not_find_what_is_submitted(
    tree: Path, folder: str, arguments: list[str]
) -> None:
    assert run_pytest(tree / folder, *arguments) == (0, "")
    assert not (tree.parent / "marker").exists()


@pytest.mark.parametrize(
    ("folder", "arguments", "named"),
    [
        (".", [SUBMISSIONS, "leaderboard/good.py"], SUBMISSIONS),
        (".", [f"{SUBMISSIONS}/evil/evil.py::evil"], f"{SUBMISSIONS}/evil/evil.py"),
        (".", [f"{RESULTS}/digits-k0-v3"], f"{RESULTS}/digits-k0-v3"),
        (SUBMISSIONS, [], SUBMISSIONS),
        (f"{SUBMISSIONS}/evil", ["evil.py"], f"{SUBMISSIONS}/evil"),
        (".", ["link"], f"{SUBMISSIONS}/evil"),
        (".", ["-o", f"testpaths={SUBMISSIONS}/evil"], f"{SUBMISSIONS}/evil"),
        (".", ["--pyargs", "leaderboard.submissions.evil"], f"{SUBMISSIONS}/evil"),
    ],
)
def test_pytest_does_not_run_what_is_submitted_even_if_it_is_named(
    tree: Path, folder: str, arguments: list[str], named: str
) -> None:
    (tree / "link").symlink_to(f"{SUBMISSIONS}/evil")
    message = f"ERROR: {tree / named}: what others submit is no test and must not be run"
    assert run_pytest(tree / folder, *arguments) == (4, message)
    assert not (tree.parent / "marker").exists()


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ([RERUNS], []),
        ([RERUNS, f"{RESULTS}/digits-k0-v3/gru.json", "README.md"], []),
        ([f"{SUBMISSIONS}/mine/mine.py", f"{RESULTS}/digits-k0-v3/mine.json"], []),
        ([RERUNS, f"{SUBMISSIONS}/mine/mine.py"], [f"{SUBMISSIONS}/mine/mine.py"]),
        (
            [REFERENCES, f"{SUBMISSIONS}/new/submission.yaml"],
            [f"{SUBMISSIONS}/new/submission.yaml"],
        ),
        (
            [RERUNS, f"{RESULTS}/t/mine.json", f"{RESULTS}/t/mine.0123456789abcdef.parquet"],
            [f"{RESULTS}/t/mine.0123456789abcdef.parquet", f"{RESULTS}/t/mine.json"],
        ),
    ],
)
def test_a_record_does_not_change_together_with_what_it_vouches_for(
    changed: list[str], refused: list[str]
) -> None:
    rule = f"must not change together with {changed[0]}, which lands in a change of its own"
    found = load("check_diff").find_mixture(changed, ["mine"])
    assert found == [f"{path!r}: {rule}" for path in refused]


@pytest.mark.parametrize(
    ("mode", "path", "problem"),
    [
        ("100644", f"{SUBMISSIONS}/mine/mine.py", ""),
        ("100644", RERUNS, ""),
        ("100755", f"{SUBMISSIONS}/mine/mine.py", "not 100755"),
        ("120000", f"{RESULTS}/t/mine.json", "not 120000"),
        ("120000", SUBMISSIONS, "not 120000"),
        ("160000", f"{SUBMISSIONS}/mine", "not 160000"),
        ("100644", f"{SUBMISSIONS}/mine/conftest.py", "pytest runs it without being asked"),
        ("100644", f"{RESULTS}/t/deep/er/mine.json", "no file may lie here"),
        ("100644", f"{RESULTS}/t/mine.json.0123456789abcdef.part", "results/<task>/"),
    ],
)
def test_git_holds_plain_files_of_known_names_alone(mode: str, path: str, problem: str) -> None:
    found = load("check_diff").find_strays([(mode, path)])
    assert len(found) == bool(problem)
    assert all(text.startswith(f"{path!r}: ") and problem in text for text in found)


def test_the_change_is_checked_against_its_base(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    def check(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-I", ".ci/check_diff.py", *arguments]
        kept = {n: v for n, v in os.environ.items() if n != "CI_BASE"}
        done = subprocess.run(
            command, cwd=tmp_path, env=kept, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr.strip()

    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "harness" / "results").mkdir(parents=True)
    shutil.copy(ROOT / "harness" / "results" / "contents.py", tmp_path / "harness" / "results")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    assert check() == (0, "")
    for path in (f"{SUBMISSIONS}/mine/mine.py", f"{RESULTS}/t/mine.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    git("add", ".")
    git("commit", "-qm", "a submission")
    assert check() == (0, "")
    (tmp_path / RERUNS).touch()
    git("add", ".")
    git("commit", "-qm", "a record")
    assert check() == (0, "")
    rule = f"must not change together with {RERUNS}, which lands in a change of its own"
    wrong = [f"'{RESULTS}/t/mine.json': {rule}", f"'{SUBMISSIONS}/mine/mine.py': {rule}"]
    assert check("HEAD~2") == (1, "\n".join(wrong))
    (tmp_path / SUBMISSIONS / "mine" / "link.py").symlink_to("mine.py")
    git("add", ".")
    git("commit", "-qm", "a link")
    code, errors = check()
    assert code == 1
    assert errors.splitlines()[0] == (
        f"'{SUBMISSIONS}/mine/link.py': the mode must be 100644, that of a plain file, not 120000"
    )
    assert check("nothing") == (1, "no commit 'nothing'")


def test_a_wheel_with_submitted_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    find_problems = load("check_wheel").find_problems
    names = subprocess.run(
        ["git", "ls-files", "benchmark/data", "leaderboard/page/web"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    whole = [*names, *load("check_wheel").ALSO, f"{RESULTS}/t/gru.json"]
    assert find_problems(whole, ["peephole-1/README.md"]) == []
    stray = [f"{RESULTS}/t/gru.parquet", f"{RESULTS}/t/evil.py", f"{SUBMISSIONS}/mine/mine.py"]
    assert find_problems([*whole, *stray], [f"peephole-1/{SUBMISSIONS}/mine/mine.py"]) == [
        *(f"the wheel must not hold {name}" for name in stray),
        f"the source distribution must not hold peephole-1/{SUBMISSIONS}/mine/mine.py",
    ]
    assert find_problems(whole[1:], []) == [f"the wheel lacks {whole[0]}"]
