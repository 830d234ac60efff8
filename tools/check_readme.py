"""Run the README's Python examples: the fenced blocks below a line `<!-- run this -->`, each in its own process and empty folder."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = re.compile(r"^<!-- run this -->\n+```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT = 300  # seconds


def examples(text: str) -> list[str]:
    """Source of each marked block; ValueError where a mark has no block or there is none at all."""
    blocks: list[str] = EXAMPLE.findall(text)
    marks = text.count("<!-- run this -->")
    if not blocks or len(blocks) != marks:
        raise ValueError(f"{marks} lines '<!-- run this -->', {len(blocks)} of them above a ```python block; there must be one at least")
    return blocks


def run(source: str) -> None:
    """CalledProcessError where the example fails; warnings are its own affair."""
    with tempfile.TemporaryDirectory() as folder:
        example = Path(folder) / "example.py"
        example.write_text(source, encoding="utf-8")
        subprocess.run([sys.executable, str(example)], cwd=folder, check=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readme", type=Path, nargs="?", default=Path("README.md"))
    readme: Path = parser.parse_args().readme
    try:
        sources = examples(readme.read_text(encoding="utf-8"))
        for source in sources:
            run(source)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"{readme}: {error}", file=sys.stderr)
        return 1
    print(f"{readme}: {len(sources)} example(s) ran")
    return 0


if __name__ == "__main__":
    sys.exit(main())
