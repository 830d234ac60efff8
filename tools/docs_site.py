"""What mkdocs does not do by itself: pages that stand outside docs/, links to them, and nothing that is loaded from a foreign host.

A link is written as it works in the repository (`../../datasets/leafsim`). In the site it leads to the page that is made of that file, or,
where a file is no page (a script, a config), its text stays without a link. A link to nothing is left alone, and mkdocs refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from posixpath import dirname, relpath
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
LINK: Final = re.compile(r"(?P<text>\[(?:[^\[\]]|\[[^\[\]]*\])*\])\((?P<target>[^()\s#:]+)(?P<anchor>#[^()\s]*)?\)")
FOREIGN: Final = re.compile(
    r"<(?:script|img|iframe)\b[^>]*\bsrc=\"?(?:https?:)?//|<link\b[^>]*\brel=\"?(?:stylesheet|icon|preload|preconnect)\b[^>]*//"
)


def outside(root: Path) -> dict[str, Path]:
    """Pages by their place in the site, and the files that they are made of."""
    pages = {"index.md": root / "README.md", "contributing.md": root / "CONTRIBUTING.md", "changelog.md": root / "CHANGELOG.md"}
    return pages | {f"datasets/{readme.parent.name}.md": readme for readme in sorted((root / "datasets").glob("*/README.md"))}


def moved(markdown: str, source: Path, place: str, pages: Mapping[Path, str], root: Path = ROOT) -> str:
    """The links of the file `source` as they must be at `place` in the site; `pages` has the places of files, by path."""

    def link(match: re.Match[str]) -> str:
        target = (source.parent / match["target"]).resolve()
        file = target / "README.md" if (target / "README.md").is_file() else target
        if file in pages:
            return f"{match['text']}({relpath(pages[file], dirname(place))}{match['anchor'] or ''})"
        is_ours = target.exists() and target.is_relative_to(root)
        return match["text"][1:-1] if is_ours else match[0]

    return LINK.sub(link, markdown)


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for place, source in outside(ROOT).items():
        files.append(File.generated(config, place, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    pages = {Path(file.abs_src_path).resolve(): file.src_uri for file in files if file.abs_src_path}
    return moved(markdown, Path(page.file.abs_src_path).resolve(), page.file.src_uri, pages)


def on_post_page(output: str, page: Any, config: Any) -> str:
    from mkdocs.exceptions import PluginError

    if foreign := FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri} loads from a foreign host: {output[foreign.start() : foreign.start() + 160]}")
    return output
