"""Hooks of the documentation site: links that lead out of ``docs``, and roles in docstrings.

The pages are read on GitHub, too, where ``../SECURITY.md`` leads somewhere; the site holds pages of
``docs`` only, and names the rest by its address.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
_OUTSIDE = re.compile(r"(!?\[[^\]]*\]\()\.\./([^)\s#]+)")
_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):(?=<code>)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pictures that pages take from the results of benchmarks."""
    for page in ROOT.joinpath("docs").glob("*.md"):
        for link, path in _OUTSIDE.findall(page.read_text(encoding="utf-8")):
            if link.startswith("!") and files.get_file_from_path(_place(path)) is None:
                files.append(File.generated(config, _place(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Give links that lead out of the pages their place on the site, or their address."""

    def there(match: re.Match[str]) -> str:
        link, path = match.groups()
        inside = _place(path) if link.startswith("!") else f"{config.repo_url}/blob/main/{path}"
        return f"{link}{inside}"

    return _OUTSIDE.sub(there, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Drop the roles of docstrings, which are for other tools: what they name stays as code."""
    return _ROLE.sub("", html)


def _place(path: str) -> str:
    return f"pictures/{Path(path).name}"
