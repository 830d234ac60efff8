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

STARTS = f"""{WITHOUT}
for command in cli.COMMANDS:
    try:
        cli.run(command, ["--help"])
    except SystemExit as end:
        assert not end.code, command
        print("started", command)
"""

TRAINS = f"""{WITHOUT}
import platform

import xkd.engine.train

platform.system = lambda: "Windows"  # mmengine asks this before it imports `resource`
sys.exit(cli.run("train", sys.argv[1:]))
"""


def test_every_command_starts(data_root: Path, tmp_path: Path) -> None:
    done = runs.run_python([str(runs.write(tmp_path, starts=STARTS))], data_root)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("started ")] == list(COMMANDS)


@pytest.mark.parametrize("smoke", [True, False])
def test_a_run_trains(smoke: bool, data_root: Path, tmp_path: Path) -> None:
    config, script = runs.write(tmp_path, config=runs.GRAPH), runs.write(tmp_path, trains=TRAINS)
    arguments = [str(config), "--work-dir", str(tmp_path / "run"), *(["--smoke"] if smoke else ["--cfg-options", "train_cfg.max_epochs=1"])]
    done = runs.run_python([str(script), *arguments], data_root)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "result.json").is_file()
