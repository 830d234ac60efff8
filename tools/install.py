"""Install xkd into a virtual environment with the tested versions and show how far it is; `make` calls this.

Only the standard library: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICK = 0.5  # seconds between two looks at pip's log
LINE_EVERY = 20.0  # seconds between two lines where there is no terminal to redraw


def tested_pythons() -> list[tuple[int, int]]:
    """(3, 11), ...: those that pyproject.toml's classifiers name, the newest last."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    matches = (re.fullmatch(r"Programming Language :: Python :: (\d+)\.(\d+)", line) for line in named)
    return sorted((int(match[1]), int(match[2])) for match in matches if match)


def untested(version: tuple[int, int]) -> str:
    """A warning about a Python that is newer than the tested ones, or ""."""
    *_, newest = tested_pythons()
    if version <= newest:
        return ""
    newer, name = (".".join(map(str, each)) for each in (version, newest))
    return (
        f"Python {newer} is newer than the tested ones, up to {name}: what is built for each Python, such as torch, may not be there"
        f" for it yet; with another one: make PYTHON=python{name} ..."
    )


def make_environment(folder: Path) -> Path:
    """Path of the environment's python; it is made if the folder is not there. RuntimeError if it cannot be used."""
    python = folder / "bin" / "python"
    if not folder.exists():
        print(f"making {folder} with Python {sys.version_info.major}.{sys.version_info.minor}", flush=True)
        venv.create(folder, with_pip=True, symlinks=True)
    if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        raise RuntimeError(f"{folder} has no working pip, perhaps its making was interrupted: remove the folder and run this again")
    return python


def progress(log: str, num_installed: int) -> str:
    """One short phrase: how far pip is, from what it has written and the number of packages that are in place."""
    _, installing, names = log.partition("Installing collected packages: ")
    if installing:
        return f"installing, {num_installed} of {len(names.split(chr(10))[0].split(', '))}"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    downloads = [line for line in lines if line.startswith("Downloading ")]
    # pip is silent while it fetches a large file, so its size is worth a place
    if lines and downloads and lines[-1] == downloads[-1]:
        return re.sub(r"Downloading \S*?([^/\s]+?)-\d\S*", r"downloading \1", lines[-1])
    return f"collecting, {sum(line.startswith('Collecting ') for line in lines)} packages so far"


def pip_install(python: Path, log: Path) -> None:
    """Editable install of the checkout, all output into `log`; RuntimeError with its end if pip fails."""
    site = next(python.parent.parent.glob("lib/python*/site-packages"))
    before = len(list(site.glob("*.dist-info")))
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--editable",
        f"{ROOT}[dev]",
        "--constraint",
        str(ROOT / "constraints.txt"),
    ]
    with log.open("w", encoding="utf-8") as file:
        started = last_line = time.monotonic()
        pip = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=os.environ | {"NO_COLOR": "1"})
        while pip.poll() is None:
            time.sleep(TICK)
            now = time.monotonic()
            phrase = progress(log.read_text("utf-8", errors="replace"), len(list(site.glob("*.dist-info"))) - before)
            if sys.stdout.isatty():
                print(f"\r\033[K  {now - started:4.0f} s  {phrase[:60]}", end="", flush=True)
            elif now - last_line > LINE_EVERY:
                last_line = now
                print(f"  {now - started:4.0f} s  {phrase}", flush=True)
    print("\r\033[K" if sys.stdout.isatty() else "", end="")
    if pip.returncode:
        end = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])
        raise RuntimeError(f"{end}\npip failed; all it said is in {log}")
    print(f"  {time.monotonic() - started:4.0f} s  installed", flush=True)


def advice(error: str) -> str:
    """What to do about a failed import of OpenCV: the system's packages that pip cannot bring."""
    if re.search(r"lib(GL|gthread|glib)[-\w.]*so", error):
        return "OpenCV lacks a library of the system: apt install libgl1 libglib2.0-0"
    return "OpenCV cannot be imported"


def check_opencv(python: Path) -> None:
    """RuntimeError naming the missing packages where OpenCV does not import."""
    tried = subprocess.run([python, "-c", "import cv2"], capture_output=True, text=True, check=False)
    if tried.returncode:
        reason = (tried.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{advice(reason)}\n  {reason}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Install xkd and its tools into a virtual environment.")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / ".venv")
    folder: Path = parser.parse_args().folder
    warning = untested(sys.version_info[:2])
    if warning:
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    try:
        python = make_environment(folder)
        print(f"installing xkd and the tested versions of what it needs into {folder}: about two minutes, about 6 GB", flush=True)
        pip_install(python, folder / "install.log")
        check_opencv(python)
        print(f"for the command xkd in this shell: source {os.path.relpath(folder)}/bin/activate", flush=True)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"install: {error}", file=sys.stderr)
        if warning:
            print(f"install: {warning}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninstall: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
