"""What Windows lacks is not needed: each command starts, and one trains, without the modules and functions of POSIX alone."""

from __future__ import annotations

from pathlib import Path

import engine_runs as runs
import pytest

from xkd.cli import COMMANDS

WITHOUT = """
import os, signal, sys

for name in ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline", "crypt"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "sched_getaffinity", "sched_setaffinity", "killpg", "nice"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "alarm", "setitimer"):
    if hasattr(signal, name):
        delattr(signal, name)

from xkd import cli
"""

# one process for all: what it imports takes longer than what it does
ALL = f"""{WITHOUT}
for command in cli.COMMANDS:
    try:
        cli.run(command, ["--help"])
    except SystemExit as end:
        assert not end.code, command
        print("started", command)

import platform

import xkd.engine.train

platform.system = lambda: "Windows"  # mmengine asks this before it imports `resource`
config, folder = sys.argv[1:]
for name, options in {{"smoke": ["--smoke"], "whole": ["--cfg-options", "train_cfg.max_epochs=1"]}}.items():
    print("trained", name, cli.run("train", [config, "--work-dir", os.path.join(folder, name), *options]))
"""


@pytest.fixture(scope="module")
def done(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which it has worked, and what it printed."""
    folder = tmp_path_factory.mktemp("other")
    config, script = runs.write(folder, config=runs.GRAPH), runs.write(folder, script=ALL)
    process = runs.run_python([str(script), str(config), str(folder)], data_root)
    assert process.returncode == 0, process.stderr
    return folder, process.stdout.splitlines()


def test_every_command_starts(done: tuple[Path, list[str]]) -> None:
    assert [line.split()[1] for line in done[1] if line.startswith("started ")] == list(COMMANDS)


@pytest.mark.parametrize("name", ["smoke", "whole"])
def test_a_run_trains(name: str, done: tuple[Path, list[str]]) -> None:
    folder, lines = done
    assert f"trained {name} 0" in lines
    assert (folder / name / "result.json").is_file()
