"""`check` tries a predictor as a rerun runs it: from its files alone, in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmark.release import Release
from harness.cli import check
from harness.results.store import read_result, result_path
from harness.running.drafts import make_submission_files
from harness.running.evaluate_many import Setting
from harness.verification.audit import Request, rerun_all
from harness.verification.isolation.other_files import ADVICE, OPEN, REFUSED
from harness.verification.predictor_rules import RULES
from harness.verification.submit import HIDDEN, check_code, submit_files
from peephole_command import Root
from tests.toys.data import toy_release
from tests.toys.submissions import TASK

ROOT = Root("peephole", commands={"check": check})
NETS = """
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from peephole import Prediction


class Half:
    def fit(self, train, validation, *, observed, seed): ...

    def predict(self, queries):
        return Prediction(np.full((len(queries), 1), 0.5), (queries.recipe.epochs,))


class Ends(Half):
    def fit(self, *_, **__):
        os._exit(0)


class Crashes(Half):
    def fit(self, *_, **__):
        import ctypes

        ctypes.string_at(0)


class Talks(Half):
    def fit(self, *_, **__):
        subprocess.run(["echo", "started"])
        print("fitted")


class Raises(Half):
    def fit(self, *_, **__):
        raise KeyError("no luck")


class GRU(Half): ...


class Near(Half):
    def fit(self, *_, **__):
        np.load("weights.npz"), np.load(Path(__file__).parent / "weights.npz")


class Far(Half):
    def fit(self, *_, **__):
        np.load(PLACE)


class Computes(Half):
    def fit(self, *_, **__):
        np.load(f"weights_{3}.npz")


class Borrows(Half):
    def fit(self, *_, **__):
        sys.path.insert(0, PLACE)
        import far_helper


class Copes(Half):
    def fit(self, *_, **__):
        sys.path.insert(0, PLACE)
        try:
            import far_helper
        except ImportError:
            Path("note.txt").write_text("written here, and read again")
        Path("note.txt").read_text()
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(toy_release(tmp_path_factory.mktemp("release"), (0, 1)))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with predictors and weights; more of both is in a folder beside it."""
    far = tmp_path / "far"
    for folder in (tmp_path / "here", far):
        folder.mkdir()
        np.savez(folder / "weights.npz", weight=0.5)
        np.savez(folder / "weights_3.npz", weight=0.5)
    (far / "far_helper.py").write_text("SCALE = 1\n")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def at(code: str) -> str:
    """Return the place of a line of `NETS` as messages have it."""
    lines = [line.strip() for line in NETS.splitlines()]
    return f"(nets.py:{lines.index(code) + 1} in fit)"


def seen(release: Release, name: str, place: Path = Path()) -> set[str]:
    """Return what was seen where `check_code` finds that a class of `NETS` breaks a rule."""
    Path("nets.py").write_text(NETS.replace("PLACE", repr(str(place))))
    return {f.seen for f in check_code(f"nets.py:{name}", release) if not f.passed}


def run(release: Release, *words: str) -> Result:
    Path("nets.py").write_text(NETS)
    words = ("check", *words, "--data", str(release.folder))
    return CliRunner().invoke(ROOT, words, prog_name="peephole")


def test_options_of_the_other_kind_are_refused(here: Path, release: Release) -> None:
    done = run(release, "nets.py:Near", "--track", "open")
    message = "--track is for search algorithms, and this is a predictor"
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, f"Error: {message}")
    Path("own.py").write_text("class Own:\n    def search(self, session, *, seed): ...\n")
    done = run(release, "own.py:Own", "--name", "mine")
    message = "--name is for predictors, and this is a search algorithm"
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, f"Error: {message}")


def test_data_beside_the_code_is_found_from_any_folder(
    here: Path, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen(release, "Near") == set()
    monkeypatch.chdir(tmp_path)
    fields = {"name": "near", "title": "T", "authors": "A", "tasks": (TASK,)}
    files = make_submission_files("here/nets.py:Near", fields)
    relative = Release(Path(os.path.relpath(release.folder)))
    (result,) = submit_files(files, Setting(Path("results"), relative))
    assert result.status == "scored"
    path = result_path(Path("results"), TASK, "near")
    rerun_all(Request(Path("results"), release=release, processes=1), [path], minutes=5)
    assert read_result(path).verification == "rerun"


@pytest.mark.parametrize("folder", ["far", "here"])
def test_data_at_another_place_is_refused_though_it_exists(
    here: Path, release: Release, folder: str
) -> None:
    place = here.parent / folder / "weights.npz"
    where = f"{str(place)!r} {at('np.load(PLACE)')}"
    error = f"FileNotFoundError: [Errno 2] {REFUSED}: {where}"
    assert seen(release, "Far", place) == {f"{error}{ADVICE}{OPEN}"}
    Path("nets.py").write_text(NETS.replace("PLACE", repr(str(place))))
    fields = {"name": "far", "title": "T", "authors": "A", "tasks": (TASK,)}
    message = f"nets.py:Far breaks the rule 'works with 0 epochs observed': {error}{ADVICE}{OPEN}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        submit_files(make_submission_files("nets.py:Far", fields), Setting(here / "out", release))


def test_data_whose_name_is_nowhere_in_the_code_is_missed(here: Path, release: Release) -> None:
    where = at('np.load(f"weights_{3}.npz")')
    missing = f"[Errno 2] No such file or directory: 'weights_3.npz' {where}"
    assert seen(release, "Computes") == {f"FileNotFoundError: {missing}{ADVICE}{OPEN}"}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_module_of_another_folder_is_refused(
    here: Path, release: Release, compiled: bool
) -> None:
    far = here.parent / "far"
    if compiled:
        subprocess.run([sys.executable, "-m", "compileall", "-q", far], check=True)
    path = str(far / "far_helper.py")
    message = f"ModuleNotFoundError: {path!r} is {REFUSED} {at('import far_helper')}{ADVICE}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        seen(release, "Borrows", far)
    assert seen(release, "Copes", far) == set()


def test_a_predictor_that_ends_its_process_breaks_a_rule(here: Path, release: Release) -> None:
    for name, how in (("Ends", "exit code 0"), ("Crashes", signal.strsignal(signal.SIGSEGV))):
        line = f"the process ended early: {how}; a predictor must not end it"
        done = run(release, f"nets.py:{name}")
        assert done.exit_code == 1
        assert done.stdout.splitlines()[1:] == [f"BROKEN  process: {line}"]
    Path("nets.py").write_text("import os\nos._exit(0)\n")
    (found,) = check_code("nets.py:Net", release)[1:]
    assert found.seen == "the process ended early: exit code 0; a predictor must not end it"


def test_modules_are_those_of_the_copy_though_the_folder_is_on_the_path(
    here: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `python -m peephole` in the folder, or with PYTHONPATH."""
    (here / "beside.py").write_text("from nets import Half as Whole\n")
    (here / "main.py").write_text("from beside import Whole\nclass Net(Whole): ...\n")
    (here / "late.py").write_text("__import__('be' + 'side')\n")
    monkeypatch.syspath_prepend(str(here))
    Path("nets.py").write_text(NETS)
    assert [f.seen for f in check_code("main.py:Net", release) if not f.passed] == []
    beside = str(here / "beside.py")
    reason = f"ModuleNotFoundError: {beside!r} is {REFUSED} (late.py:1){ADVICE}"
    message = f"predictor 'late.py:Net' cannot be imported: {reason}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_code("late.py:Net", release)


def test_what_a_predictor_starts_prints_to_stderr(
    here: Path, release: Release, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run(release, "nets.py:Talks", "--json")
    assert done.exit_code == 0
    rules = [json.loads(line)["rule"] for line in done.stdout.splitlines()]
    assert rules == ["files", *RULES]
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("started\nfitted\nstarted\nfitted\n")


def test_a_cause_is_printed_once_for_all_rules(
    here: Path, release: Release, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run(release, "nets.py:Raises", "--traceback")
    where = at('raise KeyError("no luck")')
    line = f"KeyError: 'no luck' {where}"
    assert done.stdout.splitlines()[1:] == [
        f"BROKEN  works with 0 epochs observed (and {len(RULES) - 1} more rules): {line}"
    ]
    assert capfd.readouterr().err.count("KeyError: 'no luck'") == 1


def test_the_name_that_check_asks_for_can_be_given(here: Path, release: Release) -> None:
    done = run(release, "nets.py:GRU")
    assert done.exit_code == 2
    assert done.stderr.endswith("; rename its class or give another --name\n")
    assert run(release, "nets.py:GRU", "--name", "mine").exit_code == 0


def test_a_module_that_another_one_hides_is_named(here: Path, release: Release) -> None:
    for name in ("harness.py", "statistics.py", "random.py"):
        (here / name).write_text("own = 3\n")
    (here / "weights.npz").unlink()
    code = f"import statistics\n{NETS}\nfrom harness import own\n"
    (here / "other.py").write_text(code)
    (here / "plain.py").write_text(code.replace("import own", "import protocol"))
    first = check_code("plain.py:Half", release)[0]
    hidden = f"; harness.py {HIDDEN}; statistics.py {HIDDEN}"
    assert re.fullmatch(rf"plain\.py; [\d,]+ bytes{re.escape(hidden)}", first.seen)
    with pytest.raises(ValueError, match=rf" ImportError: .*{re.escape(hidden)}$"):
        check_code("other.py:Half", release)


READS = """
import os, sys, sysconfig
from pathlib import Path
from harness.verification.isolation.other_files import refuse_other_files
from benchmark.release import INSTALLED
allowed, other = map(Path, sys.argv[1:])
refuse_other_files(allowed)
(other / "new").write_text("new")
numpy = Path(sysconfig.get_path("purelib"), "numpy", "version.py")
for path in (allowed / "old", other / "new", Path("/etc/passwd"), Path(os.__file__), numpy,
             INSTALLED.folder / "manifest.json", other, other / "none", other / "old"):
    for given in (path, str(path), os.fsencode(path)):
        try:
            os.close(os.open(given, os.O_RDONLY))
            print(path.name)
        except OSError as error:
            print(error.errno, error.strerror, error.filename)
with (other / "old").open("a"), (other / "old").open("wb"):
    print("written")
"""


def test_only_files_of_the_user_that_were_there_before_are_refused(tmp_path: Path) -> None:
    for name in ("allowed", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").touch()
    words = [sys.executable, "-c", READS, str(tmp_path / "allowed"), str(tmp_path / "other")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert done.stderr == ""
    read = ("old", "new", "passwd", "os.py", "version.py", "manifest.json", "other")
    assert done.stdout.splitlines()[: 3 * len(read)] == [name for name in read for _ in range(3)]
    none, old = tmp_path / "other" / "none", tmp_path / "other" / "old"
    assert done.stdout.splitlines()[3 * len(read) :] == [
        f"2 No such file or directory {none}",
        f"2 No such file or directory {none}",
        f"2 No such file or directory {os.fsencode(none)!r}",
        *[f"2 {REFUSED} {old}"] * 3,
        "written",
    ]
