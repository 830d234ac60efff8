"""No test reaches beyond this machine, in its own process or in one that it starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import engine_runs as runs
import pytest

REFUSED = "a test reaches for the network: "
CONNECT = "import socket; socket.create_connection(({!r}, {}))"


def started(code: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_test_that_reaches_for_the_network_fails() -> None:
    with pytest.raises(RuntimeError, match=rf"{REFUSED}example\.org"):
        socket.create_connection(("example.org", 80))


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1"])
def test_a_process_that_a_test_starts_fails_too(host: str, tmp_path: Path) -> None:
    code = CONNECT.format(host, 80)
    for environment in (None, runs.environment_of(tmp_path)):
        done = started(code, environment)
        assert done.returncode == 1
        assert f"RuntimeError: {REFUSED}{host}" in done.stderr
    grandchild = started(f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {code!r}]).returncode)")
    assert f"RuntimeError: {REFUSED}{host}" in grandchild.stderr


def test_processes_of_this_machine_may_talk() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = started(CONNECT.format("localhost", server.getsockname()[1]))
    assert done.returncode == 0, done.stderr


def test_another_module_that_python_starts_with_is_run_as_well(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.started_with = 7\n", "utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((os.environ["PYTHONPATH"], str(tmp_path)))}
    done = started(f"print(started_with)\n{CONNECT.format('example.org', 80)}", environment)
    assert done.stdout == "7\n"
    assert f"{REFUSED}example.org" in done.stderr
