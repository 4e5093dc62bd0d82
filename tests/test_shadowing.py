"""Other packages with the names of ours: the command and `import peephole` say whose they are."""

import subprocess
import sys
from pathlib import Path

import pytest

import peephole

ROOT = Path(str(peephole.__file__)).parent
PACKAGES = ("benchmark", "generators", "harness", "leaderboard")
COMMAND = ("-m", "peephole", "sample", "-n", "1")
SCRIPT = ("-c", "import peephole; print(peephole.__version__); peephole.load_runs")
ADVICE = "install peephole-bench into an environment of its own"


def python(path: list[Path], *words: str, flags: str = "-P") -> tuple[int, str, str]:
    """Return exit code, output and errors of Python, which looks for modules in `path` first."""
    code = f"import sys; sys.path[:0] = {[str(p) for p in path]!r}\n"
    if words[0] == "-m":
        code += f"sys.argv = {list(words[1:])!r}\nimport peephole; peephole.main()"
    else:
        code += words[1]
    done = subprocess.run(
        [sys.executable, flags, "-c", code], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def hidden_by(name: str, found: Path) -> str:
    return (
        f"package {name!r} of peephole-bench is hidden by {str(found)!r}; rename that, run from "
        f"another folder, or {ADVICE}"
    )


def own_copy(folder: Path) -> Path:
    """Return a folder with the front door and empty packages, as an installation that may break."""
    folder.mkdir()
    (folder / "peephole.py").write_bytes(Path(peephole.__file__).read_bytes())
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    return folder


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("form", ["{}/__init__.py", "{}.py"])
def test_a_package_found_before_ours_is_named(tmp_path: Path, name: str, form: str) -> None:
    theirs = tmp_path / form.format(name)
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("raise RuntimeError('imported')\n")
    message = hidden_by(name, theirs)
    assert python([tmp_path, ROOT], *COMMAND) == (2, "", f"peephole: error: {message}\n")
    code, out, errors = python([tmp_path, ROOT], *SCRIPT)
    assert out == f"{peephole.__version__}\n"
    if name in ("benchmark", "harness"):
        assert code == 1
        assert errors.endswith(f"\nImportError: {message}\n")
    else:  # which a script does not load
        assert (code, errors) == (0, "")


def test_a_package_that_was_imported_before_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "harness.py").write_text("")
    first = f"sys.path.insert(0, {str(tmp_path)!r}); import harness; del sys.path[0]; "
    code, _, errors = python([ROOT], "-c", f"{first}import peephole; peephole.METRICS")
    assert code == 1
    assert errors.endswith(f"\nImportError: {hidden_by('harness', tmp_path / 'harness.py')}\n")


@pytest.mark.parametrize("content", [b"import strict_functions\n", None])
def test_a_package_that_another_one_changed_is_named(tmp_path: Path, content: bytes | None) -> None:
    folder = own_copy(tmp_path / "site")
    init = folder / "generators" / "__init__.py"
    init.unlink() if content is None else init.write_bytes(content)
    message = (
        f"package 'generators' of peephole-bench was changed by another package: {str(init)!r} "
        "must be an empty file; install peephole-bench again, into an environment of its own"
    )
    assert python([folder], *COMMAND, flags="-IS") == (2, "", f"peephole: error: {message}\n")


def test_the_package_that_changed_ours_is_named(tmp_path: Path) -> None:
    folder = own_copy(tmp_path / "site")
    (folder / "generators" / "__init__.py").write_text("import strict_functions\n")
    for name in ("generators", "peephole-bench"):
        record = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (record / "top_level.txt").write_text("generators\n")
    errors = python([folder], *COMMAND, flags="-IS")[2]
    start = "peephole: error: package 'generators' of peephole-bench was changed by generators: "
    assert errors.startswith(start)


def test_what_hides_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "benchmark").mkdir()  # without __init__.py, ours is found
    (tmp_path / "benchmark" / "results.csv").write_text("")
    assert python([tmp_path, ROOT], *SCRIPT) == (0, f"{peephole.__version__}\n", "")


def test_packages_of_a_checkout_are_ours_though_the_front_door_was_copied(tmp_path: Path) -> None:
    copied = own_copy(tmp_path / "site")
    for name in PACKAGES:
        (copied / name / "__init__.py").unlink()
        (copied / name).rmdir()
    assert python([copied, ROOT], *SCRIPT) == (0, f"{peephole.__version__}\n", "")
