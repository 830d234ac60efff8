"""The pages: links that work in the repository and in the site, every public name and every command in the reference."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import xkd
from tools import docs_site
from xkd.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
README_LINES = 150


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A repository with a README, a page, a data set and a script."""
    for name in ("README.md", "docs/start/plants.md", "docs/demo.jpg", "datasets/leaves/README.md", "tools/try.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("place", "source", "link", "expected"),
    [
        ("index.md", "README.md", "![picture](docs/demo.jpg)", "![picture](demo.jpg)"),
        ("index.md", "README.md", "[plants](docs/start/plants.md#light)", "[plants](start/plants.md#light)"),
        ("start/plants.md", "docs/start/plants.md", "[leaves](../../datasets/leaves)", "[leaves](../datasets/leaves.md)"),
        ("datasets/leaves.md", "datasets/leaves/README.md", "[plants](../../docs/start/plants.md)", "[plants](../start/plants.md)"),
        ("start/plants.md", "docs/start/plants.md", "[`try.py`](../../tools/try.py)", "`try.py`"),
        ("index.md", "README.md", "[gone](docs/gone.md), [out](https://example.org/a) and [here](#more)", None),
        ("index.md", "README.md", "[out of the house](../secret.md)", None),
    ],
)
def test_a_link_leads_to_the_same_thing_in_the_site(place: str, source: str, link: str, expected: str | None, house: Path) -> None:
    pages = {house / file: page for page, file in docs_site.outside(house).items()}
    pages |= {house / "docs" / name: name for name in ("start/plants.md", "demo.jpg")}
    (house.parent / "secret.md").touch()
    assert docs_site.moved(f"See {link}.", house / source, place, pages, house) == f"See {expected or link}."


@pytest.mark.parametrize(
    "element",
    [
        '<script src="https://example.org/a.js">',
        "<script src=//example.org/a.js>",
        '<link rel="stylesheet" href="https://example.org/a.css">',
    ],
)
def test_a_page_that_loads_from_elsewhere_is_refused(element: str) -> None:
    errors = pytest.importorskip("mkdocs.exceptions")
    page = SimpleNamespace(file=SimpleNamespace(src_uri="index.md"))
    fine = '<a href="https://example.org">x</a><link rel="stylesheet" href="assets/main.css">'
    assert docs_site.on_post_page(fine, page, None) == fine
    with pytest.raises(errors.PluginError, match=r"index\.md loads from a foreign host"):
        docs_site.on_post_page(fine + element, page, None)


def test_every_name_that_a_person_types_is_in_the_reference_once() -> None:
    text = "\n".join(page.read_text("utf-8") for page in sorted(REFERENCE.glob("*.md")))
    assert sorted(re.findall(r"^::: xkd\.(\w+)$", text, re.MULTILINE)) == sorted(xkd.__all__)


def test_every_command_is_in_the_reference() -> None:
    named = re.findall(r"^\| `xkd ([a-z-]+)", (REFERENCE / "commands.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(COMMANDS)


def test_the_readme_is_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= README_LINES


def test_every_data_set_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    missing = [page for page in docs_site.outside(ROOT) if page.startswith("datasets/") and f": {page}\n" not in menu]
    assert not missing
