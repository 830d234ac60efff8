"""Parts of files behind a URL, by fsspec: https, s3, gs and whatever else it has a driver for."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

_WEB: Final = ("http", "https")
CONNECT: Final = 10.0  # seconds until a web server has to answer
READ: Final = 10.0  # seconds in which something more has to arrive
_KEPT: Final = 4  # parts that a process holds: a photograph's header is looked at before it is read
_EXTRA: Final = "pip install 'xkd[remote]' for https, 's3fs' for s3, 'gcsfs' for gs"


def check_url(url: str) -> None:
    if not urlsplit(url).scheme or "://" not in url:
        raise ValueError(f"'{url}' is no URL: write one such as https://host/folder, s3://bucket/folder or memory://folder")


@lru_cache(maxsize=_KEPT)
def part_of(url: str, start: int, length: int) -> bytes:
    """`length` bytes from `start` on, fewer where the file ends before; `ValueError` or `FileNotFoundError` names the URL and the reason.

    The driver's connections belong to a process; it makes its own after a fork.
    """
    content: bytes = _asked(url, "cat_file", start=start, end=start + length)
    if len(content) > length:
        raise ValueError(f"{url}: its server sends {len(content)} bytes where {length} were asked for: it has to serve ranges of bytes")
    return content


def length_of(url: str) -> int:
    """Bytes of a file; raises what `part_of` does."""
    size = _asked(url, "info")["size"]
    if size is None:
        raise ValueError(f"{url}: its server does not say how long it is")
    return int(size)


def _asked(url: str, question: str, **arguments: int) -> Any:
    import fsspec

    try:
        options = _in_time() if urlsplit(url).scheme in _WEB else {}
        driver, path = fsspec.core.url_to_fs(url, **options)
        return getattr(driver, question)(path, **arguments)
    except FileNotFoundError as error:
        why = error.__cause__  # of https, "not found" is also what fsspec makes of a server that does not answer
        if urlsplit(url).scheme not in _WEB or why is None or isinstance(why, FileNotFoundError):
            raise FileNotFoundError(f"{url}: no such file") from error
        raise ValueError(f"{url}: cannot be read: {str(why) or type(why).__name__}") from error
    except ImportError as error:
        raise ValueError(f"{url}: cannot be read: {error}; {_EXTRA}") from error
    except Exception as error:  # what the drivers raise is of every kind
        raise ValueError(f"{url}: cannot be read: {str(error) or type(error).__name__}") from error


def _in_time() -> dict[str, Any]:
    """Its driver would wait for five minutes."""
    timeout = importlib.import_module("aiohttp").ClientTimeout(total=None, sock_connect=CONNECT, sock_read=READ)
    return {"client_kwargs": {"timeout": timeout}}
