"""What ships and what guards it: pinned versions, import contracts, the wheel's content, the README's example, the two commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools import check_readme, check_wheel, install
from xkd.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRACTS: list[dict[str, Any]] = PROJECT["tool"]["importlinter"]["contracts"]
EXTRAS = PROJECT["project"]["optional-dependencies"].values()
LINES = [*PROJECT["project"]["dependencies"], *(line for lines in EXTRAS for line in lines if not line.startswith("xkd["))]
DECLARED = [Requirement(line) for line in LINES]
COMES_WITH_TORCH = ("nvidia-", "cuda-")


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9.]*(\.post\d+)?", line) for line in lines), (
        "a pin is NAME==VERSION, no place, no marker"
    )
    assert lines == sorted(lines, key=str.lower)
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}


def needed() -> set[str]:
    """Names of all that an install brings here, found by walking what the installed packages declare."""
    names: set[str] = set()
    todo = [(requirement, frozenset(requirement.extras)) for requirement in DECLARED]
    while todo:
        requirement, extras = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in names:
            continue
        names.add(name)
        for line in distribution(name).requires or []:
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                todo.append((inner, frozenset(inner.extras)))
    return names


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda requirement: requirement.name)
def test_the_tested_version_is_in_the_declared_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(Version(pins()[canonicalize_name(requirement.name)]))


def test_every_package_that_an_install_brings_is_pinned() -> None:
    try:
        unpinned = {name for name in needed() - pins().keys() if not name.startswith(COMES_WITH_TORCH)}
    except PackageNotFoundError as error:
        pytest.skip(f"not installed with its dev extra: {error}")
    assert not unpinned, "run `make install` in a new folder and write what pip took into constraints.txt"


def test_the_tested_versions_are_the_installed_ones() -> None:
    torch = distribution("torch").version.split("+")[0]  # +cpu and the like are the same release
    assert torch == pins()["torch"]


def modules() -> set[str]:
    return {f"xkd.{path.stem}" for path in (ROOT / "xkd").iterdir() if path.stem not in ("__init__", "__main__", "__pycache__", "py")}


@pytest.mark.parametrize(
    ("contracts", "exceptions"),
    [
        (
            ["mmengine lives in the engine, and evidence stands on it", "the commands reach mmengine through the engine"],
            {"xkd.engine", "xkd.evidence"},
        ),
        (["OpenCV only where pixels are read or drawn"], {"xkd.data", "xkd.modalities", "xkd.visualise", "xkd.report"}),
    ],
)
def test_a_new_module_must_take_its_place_in_the_contracts(contracts: list[str], exceptions: set[str]) -> None:
    named = {module for contract in CONTRACTS if contract["name"] in contracts for module in contract["source_modules"]}
    assert named | exceptions == modules()


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract["name"])
def test_every_import_contract_breaks_when_its_first_source_imports_the_last_forbidden(contract: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "xkd", tmp_path / "xkd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    source = tmp_path / contract["source_modules"][0].replace(".", "/")
    file = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
    file.write_text(f"{file.read_text('utf-8')}\nimport {contract['forbidden_modules'][-1]}\n", "utf-8")
    program = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", program, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{contract['name']} BROKEN" in " ".join(done.stdout.split())


def test_the_wheel_may_hold_the_package_and_nothing_else() -> None:
    wanted = check_wheel.sources(ROOT)
    assert {"xkd/__init__.py", "xkd/py.typed"} <= wanted
    licence = "xkd-0.1.0.dist-info/licenses/LICENSE"
    check_wheel.check_content([*wanted, licence], wanted)
    with pytest.raises(ValueError, match=r"holds \['tests/test_batch.py'\]"):
        check_wheel.check_content([*wanted, licence, "tests/test_batch.py"], wanted)
    with pytest.raises(ValueError, match=r"lacks \['xkd/py.typed'\]"):
        check_wheel.check_content([*wanted - {"xkd/py.typed"}, licence], wanted)
    with pytest.raises(ValueError, match="no licence"):
        check_wheel.check_content(wanted, wanted)


def test_the_readme_example_is_found_and_a_mark_without_a_block_is_an_error() -> None:
    text = "# xkd\n```python\nother\n```\n<!-- run this -->\n```python\nx = 1\ny = 2\n```\nend\n"
    assert check_readme.examples(text) == ["x = 1\ny = 2\n"]
    for wrong in ("# xkd\n", text + "<!-- run this -->\nwords\n"):
        with pytest.raises(ValueError, match="at least"):
            check_readme.examples(wrong)


def test_an_example_that_fails_is_seen() -> None:
    check_readme.run("from pathlib import Path\nassert list(Path().iterdir()) == [Path('example.py')]\n")
    with pytest.raises(subprocess.CalledProcessError):
        check_readme.run("raise SystemExit(3)\n")


def test_progress_says_what_pip_is_at() -> None:
    log = "Collecting torch\n  Downloading torch.metadata (3 kB)\nCollecting numpy\n"
    assert install.progress("", 0) == "collecting, 0 packages so far"
    assert install.progress(log, 0) == "collecting, 2 packages so far"
    assert install.progress(f"{log}  Downloading torch-2.15.0-cp312-x86_64.whl (800.1 MB)\n", 0) == "downloading torch (800.1 MB)"
    assert install.progress(f"{log}Installing collected packages: numpy, torch, xkd\n", 2) == "installing, 2 of 3"


@pytest.mark.parametrize("library", ["libGL.so.1", "libgthread-2.0.so.0", "libglib-2.0.so.0"])
def test_what_pip_cannot_bring_is_named(library: str) -> None:
    message = f"ImportError: {library}: cannot open shared object file: No such file or directory"
    assert install.advice(message).endswith("apt install libgl1 libglib2.0-0")
    assert "apt" not in install.advice("ModuleNotFoundError: No module named 'cv2'")


def test_every_place_names_the_same_pythons() -> None:
    tested = [".".join(map(str, version)) for version in install.tested_pythons()]
    oldest, newest = tested[0], tested[-1]
    (listed,) = re.findall(r"^TESTED := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert listed.split() == [f"python{version}" for version in reversed(tested)]
    assert PROJECT["project"]["requires-python"] == f">={oldest}"
    for name in ("README.md", "CONTRIBUTING.md", "constraints.txt"):
        assert f"ython {oldest} to {newest}" in (ROOT / name).read_text("utf-8"), name
    (nightly,) = re.findall(r"^for version in (.*); do$", (ROOT / ".ci" / "nightly").read_text("utf-8"), re.MULTILINE)
    assert nightly.split() == tested
    assert f"({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text("utf-8")


def test_a_python_newer_than_the_tested_ones_is_tried_with_a_warning() -> None:
    *_, (major, minor) = install.tested_pythons()
    assert install.untested((major, minor)) == install.untested((3, 11)) == ""
    warning = install.untested((major, minor + 1))
    assert warning.startswith(f"Python {major}.{minor + 1} is newer than the tested ones, up to {major}.{minor}: ")
    assert f"make PYTHON=python{major}.{minor}" in warning


def test_a_half_made_environment_is_an_error_and_stays(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(RuntimeError, match="remove the folder"):
        install.make_environment(tmp_path)
    assert python.exists()


def make(*arguments: str, environment: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


def test_without_a_usable_python_make_names_the_package_to_install(tmp_path: Path) -> None:
    done = make("install", f"VENV={tmp_path / 'venv'}", "PYTHON=no-such-python false")
    assert done.returncode == 2
    assert "apt install python3-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("name", ["python3.14", "python3", "python3.99"])
def test_make_takes_a_tested_python_the_systems_or_any_newer_one(name: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("make", "sh", "touch"):
        (programs / program).symlink_to(str(shutil.which(program)))
    (programs / name).write_text(f'#!{shutil.which("sh")}\ntest "$1" = -c || echo "{name} $*"\n')
    (programs / name).chmod(0o755)
    (tmp_path / "venv").mkdir()
    done = make("install", f"VENV={tmp_path / 'venv'}", environment={"PATH": str(programs)})
    assert f"{name} tools/install.py {tmp_path / 'venv'}" in done.stdout, done.stderr


def test_clean_leaves_data_and_results() -> None:
    removed = make("--dry-run", "clean").stdout
    assert ".venv" in removed
    assert not re.search(r"\b(data|work_dirs)\b", removed)


EVERYTHING = """
import importlib, pkgutil, sys

def offline(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError(f"{event}: {arguments[1:]}")

sys.addaudithook(offline)
import xkd, xkd.builder, xkd.losses, xkd.projectors, xkd.tasks
xkd.Distiller, xkd.Term, xkd.KD
print([name for name in sys.modules if name.startswith(("mmengine", "cv2", "xkd.engine"))])
for module in pkgutil.walk_packages(xkd.__path__, "xkd."):
    importlib.import_module(module.name)
print(sum(name.startswith("xkd.") for name in sys.modules))
"""


def test_the_core_needs_no_engine_and_no_import_reaches_for_the_network_or_says_anything() -> None:
    done = subprocess.run([sys.executable, "-c", EVERYTHING], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    of_the_engine, number = done.stdout.splitlines()
    assert of_the_engine == "[]"
    assert int(number) > 150


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_tool(name: str) -> None:
    tool = (ROOT / "tools" / f"{name.replace('-', '_')}.py").read_text("utf-8")
    assert tool.splitlines()[-1] == f'    sys.exit(run("{name}", sys.argv[1:]))'


@pytest.mark.parametrize("name", ["run", "nightly"])
def test_the_ci_scripts_stand_on_their_own(name: str) -> None:
    script = ROOT / ".ci" / name
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    targets = re.findall(r"^step \w+ .*?make (\S+)", script.read_text("utf-8"), re.MULTILINE)
    assert "install" in targets
    assert make("--dry-run", *targets).returncode == 0


def night(folder: Path, breaks: str) -> subprocess.CompletedProcess[str]:
    """The script with a `make` that only says what it was asked for, and a Python 3.12 alone."""
    (folder / ".ci").mkdir()
    script = Path(shutil.copy(ROOT / ".ci" / "nightly", folder / ".ci"))
    programs = folder / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "env", "rm"):
        (programs / name).symlink_to(str(shutil.which(name)))
    for name, code in {"make": 'echo "made $*"\ntest "$*" != "$BREAKS"', "python3.12": "exit 0", "python3.13": "exit 1"}.items():
        (programs / name).write_text(f"#!{shutil.which('sh')}\n{code}\n")
        (programs / name).chmod(0o755)
    environment = {"PATH": str(programs), "BREAKS": breaks}
    return subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("breaks", "code"), [("", 0), ("test-full", 1), ("audit", 1)])
def test_a_night_tries_every_step_and_fails_if_one_does(breaks: str, code: int, tmp_path: Path) -> None:
    done = night(tmp_path, breaks)
    assert done.returncode == code, done.stderr
    assert re.findall(r"^made (.*)$", done.stdout, re.MULTILINE) == [
        "install",
        "test-full",
        "test VENV=build/python3.12 PYTHON=python3.12",
        "test",
        "test THREADS=2",
        "test THREADS=4",
        "test-minimum",
        "audit",
    ]
    assert re.findall(r"== (python\S+): not on this machine", done.stdout) == ["python3.11", "python3.13", "python3.14"]
    assert ("all steps passed" in done.stdout) == (not breaks)


def test_the_hooks_stand_on_their_own() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert re.findall(r"repo: (.*)", hooks) == ["local"]
