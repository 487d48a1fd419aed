"""User functions by name."""

import sys

import pytest

from autoprune.errors import UsageError, UserCodeError
from autoprune.foundation import user_code as factories


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("net.py:build", True),
        ("/a b/net.py:build", True),
        ("package.module:build", True),
        ("resnet20", False),
        ("net.py", False),
        ("C:\\data", False),
        ("a/b:c", False),
        ("net.py:", False),
    ],
)
def test_form(spec, expected):
    assert factories.is_factory(spec) is expected


def test_a_file_runs_once_and_again_when_it_changes(write):
    file = write("calls = []\ndef build(): calls.append(1); return calls")
    function, factory = factories.load(f"{file}:build")
    assert factory.name == f"{file}:build" and factory.path == str(file)
    assert factories.load(f"{file}:build")[0] is function
    write("def build(): return 'new'")
    changed, other = factories.load(f"{file}:build")
    assert changed() == "new" and other.sha256 != factory.sha256


def test_a_file_finds_its_neighbors(write):
    write("WIDTH = 5", "neighbor_of_mine.py")
    file = write("from neighbor_of_mine import WIDTH\ndef build(): return WIDTH")
    before = list(sys.path)
    assert factories.load(f"{file}:build")[0]() == 5
    assert sys.path == before


def test_only_wanted_options_are_passed(write):
    file = write("def build(classes, depth=2): return classes, depth")
    function, factory = factories.load(f"{file}:build")
    assert factories.call(factory.name, function, classes=7, channels=3) == (7, 2)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("1 / 0", "build", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def build(:", "build", "cannot be imported: SyntaxError"),
        ("raise SystemExit(3)", "build", "cannot be imported: SystemExit: 3"),
        ("def build(): pass", "bild", "did you mean build"),
        ("build = 3", "build", "not a python function"),
        ("from os import system as build", "build", "not a python function"),
    ],
)
def test_errors_are_one_line(write, text, name, message):
    with pytest.raises(UsageError, match=message) as caught:
        factories.load(f"{write(text)}:{name}")
    assert "\n" not in str(caught.value)


def test_missing_places():
    with pytest.raises(UsageError, match="no such file"):
        factories.load("/nowhere/mine.py:build")
    with pytest.raises(UsageError, match="'no_such_package' cannot be imported"):
        factories.load("no_such_package:build")
    with pytest.raises(UsageError, match="not a python function"):
        factories.load("os:system")


def test_errors_of_the_function_are_one_line(write):
    function, factory = factories.load(f"{write('def build(): raise KeyError(1)')}:build")
    with pytest.raises(UserCodeError, match="build fails: KeyError: 1"):
        factories.call(factory.name, function)


def test_the_origin_of_an_error_is_the_innermost_line_of_the_users(write):
    outer = write("import json, helper\ndef build(text):\n    return helper.read(text)\n")
    (outer.parent / "helper.py").write_text(
        "import json\ndef read(text): return json.loads(text)\n"
    )
    function, factory = factories.load(f"{outer}:build")
    with pytest.raises(UserCodeError, match="JSONDecodeError") as caught:
        factories.call(factory.name, function, text="{")
    assert factories.origin(caught.value.__cause__) == f"{outer.parent / 'helper.py'}:2"
    # Nothing of the user's ran: the request is wrong, not the code.
    with pytest.raises(UsageError, match="missing 1 required") as caught:
        factories.call(factory.name, function)
    assert type(caught.value) is UsageError


def test_the_origin_follows_causes(write):
    file = write("def build():\n    raise StopIteration(1)\n")
    function, _ = factories.load(f"{file}:build")
    with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
        list(map(next, [(function() for _ in range(1))]))
    error = caught.value.with_traceback(None)
    assert factories.origin(error) == f"{file}:2"


def test_locate_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "quiet_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "nets.py").write_text("raise RuntimeError('imported')")
    assert factories.locate("quiet_package.nets:build") == package / "nets.py"
    assert factories.locate("quiet_package.gone:build") is None
    assert factories.locate("no_such_package.nets:build") is None
    assert "quiet_package" not in sys.modules


def test_files_of_another_process_that_are_gone_or_fail_by_now_are_left_out(tmp_path):
    (tmp_path / "fails.py").write_text("raise ValueError('no')\n")
    (tmp_path / "works.py").write_text("WORD = 'here'\n")
    before = set(factories.imported_files())
    factories.import_files([tmp_path / name for name in ("gone.py", "fails.py", "works.py")])
    assert set(factories.imported_files()) - before == {tmp_path / "works.py"}
