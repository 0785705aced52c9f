"""The served venue as a process: it says where it listens, ends when told or when its parent ends, explains itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.venue import BASE
from trading_core.advanced_trade.keys import KeyKind, KeyRegistry, generate_key
from trading_core.advanced_trade.server_config import ServeConfig
from trading_core.clock import NS, SystemClock, pause, wall_now_ns
from trading_core.errors import ConfigurationError
from trading_core.local_exchange.config import ExchangeConfig

WITHIN_S = 30.0


def wait_for(condition: Callable[[], bool]) -> bool:
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(WITHIN_S * NS)
    while clock.stopwatch_ns() < deadline_ns:
        if condition():
            return True
        pause(0.05)
    return False


class Launcher:
    """Starts servers from configuration files and leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        registry = KeyRegistry()
        registry.register(generate_key(KeyKind.ES256))
        registry.save(folder / "keys.json")
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, **changes: Any) -> subprocess.Popen[str]:
        """Start a server; its ready line comes on stdout unless a ready file is named."""
        return self.run(self.configure(**changes))

    def configure(self, **changes: Any) -> Path:
        """Write a configuration file and return its path."""
        config = ServeConfig(
            exchange=ExchangeConfig(start_ns=wall_now_ns()), keys_file=self.folder / "keys.json", **changes
        )
        path = self.folder / "serve.json"
        path.write_text(config.model_dump_json())
        return path

    def run(self, path: Path) -> subprocess.Popen[str]:
        """Start a server with this configuration file."""
        command = [sys.executable, "-m", "trading_core.advanced_trade.server", str(path)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.processes.append(process)
        return process


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait(WITHIN_S)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_says_where_it_is_and_ends_cleanly_on_a_signal(launcher: Launcher, number: signal.Signals) -> None:
    process = launcher.start()
    line = ready(process)
    assert set(line) == {"port", "rest_host", "ws_url", "ws_user_url", "pid"}
    assert line["pid"] == process.pid
    assert requests.get(f"http://{line['rest_host']}{BASE}/time", timeout=30).status_code == 200
    process.send_signal(number)
    assert process.wait(WITHIN_S) == 0


def test_ready_file_appears_whole(launcher: Launcher, tmp_path: Path) -> None:
    launcher.start(ready_file=tmp_path / "ready.json")
    assert wait_for((tmp_path / "ready.json").exists)
    assert json.loads((tmp_path / "ready.json").read_text())["port"] > 0


def test_server_ends_when_its_pipe_ends(launcher: Launcher) -> None:
    process = launcher.start(ends_with_stdin=True)
    ready(process)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(WITHIN_S) == 0


def test_an_orphan_stays_for_the_session_that_still_needs_it(launcher: Launcher) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lasting = launcher.start(parent_pid=parent.pid, linger_s=3_600)
    address = ready(lasting)["rest_host"]
    brief = launcher.start(parent_pid=parent.pid, linger_s=0.1)
    ready(brief)
    parent.kill()
    parent.communicate()
    assert brief.wait(WITHIN_S) == 0
    assert requests.get(f"http://{address}{BASE}/time", timeout=30).status_code == 200
    lasting.terminate()
    assert lasting.wait(WITHIN_S) == 0


def test_server_ends_when_its_parent_ends(launcher: Launcher) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = launcher.start(parent_pid=parent.pid)
    ready(process)
    parent.kill()
    parent.communicate()
    assert process.wait(WITHIN_S) == 0


def test_server_ends_when_the_process_that_started_it_is_killed(launcher: Launcher, tmp_path: Path) -> None:
    launch = (
        "import os, subprocess, sys; path = sys.argv[1]; text = open(path).read();"
        "open(path, 'w').write(text.replace('\"parent_pid\":0', f'\"parent_pid\":{os.getpid()}'));"
        "subprocess.Popen([sys.executable, '-m', 'trading_core.advanced_trade.server', path]); input()"
    )
    path = launcher.configure(ready_file=tmp_path / "ready.json")
    starter = subprocess.Popen([sys.executable, "-c", launch, str(path)], stdin=subprocess.PIPE)
    assert wait_for((tmp_path / "ready.json").exists)
    pid = json.loads((tmp_path / "ready.json").read_text())["pid"]
    starter.kill()
    assert wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in stat_of(pid))
    starter.communicate()


def stat_of(pid: int) -> str:
    """Return the state letter of a process; it may vanish while we look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def test_busy_port_is_a_sentence_and_exit_code_2(launcher: Launcher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = launcher.start(port=port)
        _, words = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 2
    assert words == f"port {port} on 127.0.0.1 is busy: choose another one, or 0 for any\n"


@pytest.mark.parametrize("text", ["", "{}", '{"exchange":{"start_ns":0},"surprise":1}', '{"exchange":{"start_ns":-1}}'])
def test_broken_configuration_is_a_sentence_and_exit_code_2(launcher: Launcher, tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    process = launcher.run(path)
    _, words = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 2
    assert "broken.json" in words
    assert "Traceback" not in words


def test_missing_keys_are_a_sentence_and_exit_code_2(launcher: Launcher, tmp_path: Path) -> None:
    os.remove(tmp_path / "keys.json")
    process = launcher.start()
    _, words = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 2
    assert "keys.json" in words


def test_address_beyond_loopback_must_be_asked_for() -> None:
    exchange = ExchangeConfig(start_ns=0)
    with pytest.raises(ValueError, match="not loopback"):
        ServeConfig(exchange=exchange, host="0.0.0.0")
    with pytest.raises(ValueError, match="control route"):
        ServeConfig(exchange=exchange, host="0.0.0.0", is_public=True, has_control=True)
    assert ServeConfig(exchange=exchange, host="::1").host == "::1"


def test_unreadable_configuration_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        ServeConfig.load(tmp_path / "nowhere.json")
