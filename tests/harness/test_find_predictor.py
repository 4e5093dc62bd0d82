"""Finding a predictor: modules and classes that cannot be read are refused by name."""

import re
import sys
from pathlib import Path

import pytest

from benchmark.util.unknown_name import unknown_name
from harness.predictors.registry import PREDICTORS
from harness.running.find_predictor import FORMS, find


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import sys; sys.exit(3)",
            "cannot be imported: SystemExit: 3 (net.py:1); it is imported, not run: put what a "
            "script does under `if __name__ == '__main__':`",
        ),
        (
            r"raise RuntimeError('\x1b[31m')",
            r"cannot be imported: RuntimeError: \x1b[31m (net.py:1)",
        ),
        (
            "\n\nimport nowhere",
            "cannot be imported: ModuleNotFoundError: No module named 'nowhere' (net.py:3)",
        ),
        (
            "def parse(text):\n    return float(text)\nlimit = parse('a')",
            "cannot be imported: ValueError: could not convert string to float: 'a' (net.py:3, "
            "net.py:2 in parse)",
        ),
        ("Net = 3", "must be a class, not 3"),
        (
            "class Meta(type):\n    def __getattribute__(self, name): raise RuntimeError(name)\n"
            "class Net(metaclass=Meta): ...",
            "cannot be read: RuntimeError: fit (net.py:2 in __getattribute__)",
        ),
        (
            "def __getattr__(name):\n    if name == 'Net': raise RuntimeError('lazy')\n"
            "    raise AttributeError(name)",
            "cannot be read: RuntimeError: lazy (net.py:2 in __getattr__)",
        ),
    ],
)
def test_a_module_that_cannot_be_read_is_refused(tmp_path: Path, code: str, message: str) -> None:
    path = tmp_path / "net.py"
    path.write_text(code)
    expected = f"predictor {f'{path}:Net'!r} {message}"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        find(f"{path}:Net")


def test_a_class_whose_name_is_no_file_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("class Größe:\n    def fit(self): ...\n    def predict(self): ...\n")
    message = (
        "`name` (='größe') must be of a-z, 0-9, '.', '_' and '-', and start with a letter or "
        "digit; rename the class or give --name"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find(f"{path}:Größe")
    assert find(f"{path}:Größe", "size").name == "size"


def test_a_predictor_whose_package_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    message = "predictor 'curve-svd' needs sklearn of the extra `predictors`; install it with: "
    with pytest.raises(ValueError, match=f"^{message}"):
        find("curve-svd")
    assert find("mean-curve").name == "mean-curve"


def test_a_module_with_the_name_of_a_package_here_is_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("from harness import my_helper\n")
    with pytest.raises(ValueError, match=r"cannot be imported: .* 'my_helper' .*[^;]$") as plain:
        find(f"{path}:Net")
    (tmp_path / "harness.py").write_text("my_helper = 3\n")
    hint = "; 'harness.py' has the name of a package of peephole-bench: rename it"
    with pytest.raises(ValueError, match=f"^{re.escape(str(plain.value) + hint)}$"):
        find(f"{path}:Net")
    (tmp_path / "harness.py").rename(tmp_path / "peephole.py")
    path.write_text("import peephole\npeephole.my_helper\n")
    hint = "'peephole.py' has the name of a package of peephole-bench: rename it"
    with pytest.raises(ValueError, match=rf" AttributeError: .* \(net\.py:2\); {hint}$"):
        find(f"{path}:Net")


NETS = """
import argparse
import sys

from harness.predictors.baselines import MeanCurve

options = argparse.ArgumentParser()
options.add_argument("--width", type=int, default=3)
width = options.parse_args().width
print("read", sys.argv)


class Wide(MeanCurve): ...


class Other: ...


def make():
    return Wide()


def narrow(width, *, depth=3): ...
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path / "nets.py"


def test_an_import_prints_to_stderr_and_sees_a_command_line_of_its_own(
    nets: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["peephole", "check", "--json"])
    for name in ("nets.py:Wide", "nets.py:make"):
        assert find(name).name == name.partition(":")[2].lower()
        assert capsys.readouterr() == ("", "read ['nets.py']\n")
    assert sys.argv == ["peephole", "check", "--json"]


def test_what_an_import_starts_prints_to_stderr(
    nets: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nets.write_text(f"import os\nos.system('echo started')\n{NETS}")
    find("nets.py:Wide")
    assert capfd.readouterr() == ("", "started\nread ['nets.py']\n")


@pytest.mark.parametrize(
    "text", ["nets.py", "nets.py::Wide", "nets.py.Wide", "nets.py/Wide", "nets.py:", "nets"]
)
def test_a_file_without_a_class_lists_its_classes(nets: Path, text: str) -> None:
    given = "nets.py" if text == "nets" else text
    message = (
        f"predictor {given!r} must be nets.py:Class; classes there: nets.py:MeanCurve, nets.py:Wide"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find(text)


def test_what_names_no_predictor_says_what_would(nets: Path) -> None:
    Path("empty.py").write_text("size = 3\n")
    Path("folder").mkdir()
    Path("nets.txt").touch()
    unknown = unknown_name("predictor", "my.nets", PREDICTORS)
    messages = {
        "empty.py": "predictor 'empty.py' must be empty.py:Class; classes there: none with `fit` "
        "and `predict`",
        "nets.py:Wild": "predictor 'nets.py:Wild': unknown class 'Wild'; did you mean 'Wide'? "
        "Known: MeanCurve, Wide",
        "folder": "folder 'folder' has no submission.yaml; template/ has one to start from",
        "nets.txt:Wide": "predictor 'nets.txt:Wide' cannot be imported: ImportError: 'nets.txt' is "
        "not a Python file",
        "nets.py:narrow": "predictor 'nets.py:narrow' needs the arguments 'width'; give them "
        "defaults, as it is made without arguments",
        **{text: f"predictor {text!r} must be {FORMS}" for text in (":Wide", "nets:", "a-b:Wide")},
        "my.nets": f"{unknown}; one of your own is file.py:Class or package.module:Class",
    }
    for text, message in messages.items():
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            find(text)


def test_a_name_is_for_predictors_outside_the_registry(nets: Path) -> None:
    assert find("nets.py:Wide", "v2").name == "v2"
    message = "--name 'v2' is for a predictor of your own, not for 'macs'"
    with pytest.raises(ValueError, match=f"^{message}$"):
        find("macs", "v2")
    message = (
        "predictor 'nets.py:Wide' has the name 'macs' of a predictor of the registry; rename its "
        "class or give another --name"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        find("nets.py:Wide", "macs")


def test_a_relative_import_in_a_file_says_how_to_name_its_package(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from .parts import Net\n")
    hint = r"relative import.*; give a file beside the package that has `from package\.module "
    hint += "import Class`$"
    with pytest.raises(ValueError, match=hint):
        find(f"{tmp_path / 'net.py'}:Net")
