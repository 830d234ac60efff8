"""Build the wheel, compare its content with the sources, install it elsewhere and import every module from there."""

from __future__ import annotations

import argparse
import os
import site
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Collection
from pathlib import Path

PACKAGE = "xkd"
# Runs in the other environment, outside the checkout: what is imported must come from the wheel.
IMPORT_ALL = f"""
import importlib, pkgutil, sys, {PACKAGE}
assert {PACKAGE}.__file__.startswith(sys.prefix), {PACKAGE}.__file__
modules = [module.name for module in pkgutil.walk_packages({PACKAGE}.__path__, "{PACKAGE}.")]
for name in modules:
    importlib.import_module(name)
print(len(modules), "modules imported from", {PACKAGE}.__file__)
from {PACKAGE}.cli import COMMANDS
print("commands:", *COMMANDS)
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Standard output of a command that must succeed; RuntimeError with all it said otherwise."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}exit code {done.returncode}")
    return done.stdout


def build_wheel(source: Path, out: Path) -> Path:
    """The wheel by way of the source distribution, so that both are complete and no old build folder gets in."""
    run(sys.executable, "-m", "build", "--outdir", out, source)
    (wheel,) = out.glob("*.whl")
    return wheel


def sources(root: Path) -> set[str]:
    """Names of the package's files as they must stand in the wheel."""
    files = (path for path in (root / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix() for path in files}


def check_content(names: Collection[str], wanted: Collection[str]) -> None:
    """ValueError naming what is in the wheel but should not be, or is not but should."""
    held = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    surplus, missing = sorted(held - set(wanted)), sorted(set(wanted) - held)
    if surplus or missing:
        raise ValueError(f"the wheel holds {surplus or 'nothing'} beside the package and lacks {missing or 'nothing'} of it")
    if not any(name.endswith("licenses/LICENSE") for name in names):
        raise ValueError("the wheel has no licence")


def install_elsewhere(wheel: Path, folder: Path) -> Path:
    """Path of the bin folder of a new environment that holds the wheel and sees this one's packages, its xkd excepted."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth file lends the packages; .pth files in there are not read, so neither is an editable install of xkd.
    (packages / "lent.pth").write_text("\n".join(site.getsitepackages()) + "\n", encoding="utf-8")
    run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    return folder / "bin"


def check(root: Path) -> None:
    """Print what was checked; ValueError or RuntimeError where the wheel is not as it should be."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build_wheel(root, folder / "dist")
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
        print(*sorted(names), sep="\n")
        check_content(names, sources(root))
        programs = install_elsewhere(wheel, folder / "elsewhere")
        output = run(programs / "python", "-W", "error::SyntaxWarning", "-c", IMPORT_ALL, cwd=folder)
        print(output, end="")
        run(programs / PACKAGE, "--help", cwd=folder)
        for command in output.split("commands:")[1].split():
            run(programs / PACKAGE, command, "--help", cwd=folder)
        print(f"{wheel.name}: {len(names)} files, `{PACKAGE} --help` and that of every command answer")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=Path("."), help="the checkout")
    root: Path = parser.parse_args().root.resolve()
    try:
        check(root)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"check_wheel: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
