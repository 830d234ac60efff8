"""Shards behind a URL: the same samples, and the cause within seconds where it does not answer."""

from __future__ import annotations

import re
import socket
import socketserver
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any

import fsspec
import pytest
from tiny_pairs import make, parts
from torch.utils.data import DataLoader

from xkd import remote
from xkd.data.manifest import Manifest
from xkd.data.pack import pack
from xkd.data.redraw import with_boxes

SHARD = 60_000  # bytes: several shards


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    remote.part_of.cache_clear()


def packed(root: Path, out: Path, base: str) -> dict[str, bytes]:
    """The shards by name, which are no longer where they were written."""
    pack(Manifest.load(root), out, shard=SHARD, base=base)
    shards = {path.name: path.read_bytes() for path in out.glob("shard_*.bin")}
    for name in shards:
        (out / name).unlink()
    return shards


class Server(BaseHTTPRequestHandler):
    """Serves ranges, as the server of the standard library does not."""

    def __init__(self, shards: dict[str, bytes], ranges: bool, request: Any, client: Any, server: socketserver.BaseServer) -> None:
        self.shards, self.ranges = shards, ranges
        super().__init__(request, client, server)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        data = self.shards.get(self.path.rpartition("/")[2])
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if self.ranges else None
        if asked and data:
            data = data[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(404 if data is None else 206 if asked else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, bytes]]]:
    pytest.importorskip("aiohttp", reason="the extra 'remote' is not installed")
    shards: dict[str, bytes] = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, shards, True)) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/plants", shards
        server.shutdown()
        thread.join()


def test_shards_in_another_store_give_the_same_samples(tiny_dataset: Path, tmp_path: Path) -> None:
    base, out = "memory://xkd_pack_test", tmp_path / "packed"
    store = fsspec.filesystem("memory")
    shards = packed(tiny_dataset, out, base)
    with pytest.raises(ValueError, match=rf"row 'train-0': \S+rgb/00\.png: is in the shard {base}/shard_00000\.bin, which is missing"):
        make(out, split="train")
    for name, data in shards.items():
        store.pipe_file(f"/xkd_pack_test/{name}", data)
    loose, dataset = make(tiny_dataset, split="train"), make(out, split="train")
    assert [parts(dataset[index, 2]) for index in range(6)] == [parts(loose[index, 2]) for index in range(6)]
    assert parts(make(with_boxes(Manifest.load(out), {}, tmp_path / "boxed"))[0]) == parts(make(tiny_dataset)[0])
    store.pipe_file("/xkd_pack_test/shard_00000.bin", bytes(len(shards["shard_00000.bin"])))
    remote.part_of.cache_clear()
    with pytest.raises(ValueError, match=rf"row 'train-0': .*{base}/shard_00000\.bin, in which bytes of it have changed"):
        dataset[0]
    store.rm("/xkd_pack_test", recursive=True)
    remote.part_of.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"row 'train-0': .*which is missing"):
        dataset[0]
    with pytest.raises(ValueError, match="'s3:bucket' is no URL: write one such as"):
        pack(Manifest.load(tiny_dataset), tmp_path / "other", base="s3:bucket")


def test_a_web_server_gives_the_same_samples_to_workers_too(
    served: tuple[str, dict[str, bytes]], tiny_dataset: Path, tmp_path: Path
) -> None:
    base, shards = served
    shards.update(packed(tiny_dataset, tmp_path / "packed", base))
    loose, dataset = make(tiny_dataset), make(tmp_path / "packed")
    assert parts(dataset[0]) == parts(loose[0])
    loaded = list(DataLoader(dataset, None, sampler=[1, 2], num_workers=1))
    assert [parts(sample) for sample in loaded] == [parts(loose[1]), parts(loose[2])]
    shards.clear()
    with pytest.raises(FileNotFoundError, match=r"row 'val-5': .*shard_\d+\.bin, which is missing"):
        dataset[5]


def test_a_server_that_does_not_serve_ranges_is_named(tiny_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the extra 'remote' is not installed")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, {"a": b"abc"}, False)) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with pytest.raises(ValueError, match="sends 3 bytes where 1 were asked for: it has to serve ranges"):
            remote.part_of(f"http://127.0.0.1:{server.server_port}/a", 1, 1)
        server.shutdown()


def test_a_url_that_does_not_answer_is_named_within_seconds(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp", reason="the extra 'remote' is not installed")
    monkeypatch.setattr(remote, "READ", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call and says nothing
        base = f"http://127.0.0.1:{silent.getsockname()[1]}/plants"
        packed(tiny_dataset, tmp_path / "packed", base)
        start = perf_counter()
        with pytest.raises(ValueError, match=rf"row 'val-0': .*{base}/shard_\d+\.bin: cannot be read: \w*[Tt]imeout"):
            make(tmp_path / "packed")
        with pytest.raises(ValueError, match=rf"{base}/shard_00000\.bin: cannot be read: \w*[Tt]imeout"):
            remote.part_of(f"{base}/shard_00000.bin", 0, 9)
        assert perf_counter() - start < 10
    with pytest.raises(ValueError, match=rf"{base}/shard_00000\.bin: cannot be read: Cannot connect"):
        remote.part_of(f"{base}/shard_00000.bin", 0, 9)
