import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("autoprune", "envs", "agents")


def tree() -> set[str]:
    """Every source file by the place it installs to."""
    found = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            place = path.relative_to(ROOT)
            found.add((place if folder == "autoprune" else "autoprune" / place).as_posix())
    shipped = {f"autoprune/agents/shipped/policy.{kind}" for kind in ("json", "safetensors")}
    return found | shipped | {"autoprune/py.typed", "autoprune/foundation/page.html"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel built from a copy of this checkout."""
    source = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*pip, "--wheel-dir", str(source / "dist"), str(source)],
        check=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    (built,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_exactly_the_tree(wheel):
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == tree()


def test_the_shipped_policy_is_small_and_in_the_wheel_as_it_is_here(wheel):
    for kind in ("json", "safetensors"):
        here = (ROOT / "agents" / "shipped" / f"policy.{kind}").read_bytes()
        assert wheel.read(f"autoprune/agents/shipped/policy.{kind}") == here
        assert len(here) < 100_000


def test_the_wheel_works_where_the_repository_is_not(wheel, tmp_path):
    """In an environment of its own, which sees the packages that are here but not this checkout."""
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    wheel.extractall(site)  # what pip does with a pure wheel
    code = f"""
import sys
sys.path += [{sysconfig.get_paths()["purelib"]!r}]
import autoprune, autoprune.envs, gymnasium
from importlib.metadata import entry_points
assert autoprune.__file__.startswith({str(site)!r}), autoprune.__file__
missing = [name for name in autoprune.__all__ if not hasattr(autoprune, name)]
assert not missing, missing
(command,) = entry_points(group="console_scripts", name="autoprune")
assert command.load().__module__ == "autoprune.cli.main"
assert "autoprune/LayerPruning-v0" in gymnasium.registry
print(autoprune.__version__)
"""
    python = tmp_path / "venv" / "bin" / "python"
    ran = subprocess.run(
        [str(python), "-I", "-c", code], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == PROJECT["project"]["version"]


def test_the_wheel_claims_no_name_but_its_own(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    version = PROJECT["project"]["version"]
    assert tops == {"autoprune", f"autoprune-{version}.dist-info"}


def test_the_wheel_carries_license_command_and_requirements(wheel):
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    entries = wheel.read(f"{info}/entry_points.txt").decode()
    assert re.search(r"^autoprune = autoprune\.cli\.main:main$", entries, re.MULTILINE)
    metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    required = {Requirement(text).name for text in metadata.get_all("Requires-Dist")}
    assert required == {
        Requirement(text).name for text in [*PROJECT["project"]["dependencies"], *extras()]
    }


def extras() -> list[str]:
    return [t for group in PROJECT["project"]["optional-dependencies"].values() for t in group]


def test_every_dependency_is_pinned_inside_its_range():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {
        name.lower().replace("_", "-"): Version(version)
        for name, _, version in (line.partition("==") for line in lines if line[0] != "#")
    }
    data = PROJECT["project"]["optional-dependencies"]["data"]  # what `make` installs
    wanted = [*PROJECT["project"]["dependencies"], *data, *PROJECT["dependency-groups"]["dev"]]
    for requirement in map(Requirement, wanted):
        if requirement.name != "autoprune":
            assert pins[requirement.name] in requirement.specifier, requirement
    assert all(version.local is None for version in pins.values()), "a pin for one index only"


def test_links_let_the_checkout_import_what_installs():
    for name in ("envs", "agents"):
        assert (ROOT / "autoprune" / name).is_symlink()
        assert os.readlink(ROOT / "autoprune" / name) == f"../{name}"
