"""Give a release its addresses: project URLs in pyproject.toml, and absolute links in the README.

Usage: python .ci/stamp_release.py https://HOST/OWNER/NAME TAG

The package index shows the README outside the repository, where relative links lead nowhere. The release
workflow runs this before it builds; the repository itself keeps relative links.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINK = re.compile(r"(!?)(\[(?:[^\[\]]|\[[^\]]*\]\([^)]*\))*\])\(([^)#\s]+)((?:#[^)]*)?)\)")
PAGES = {
    "Documentation": "blob/{tag}/docs/index.md",
    "Changelog": "blob/{tag}/CHANGELOG.md",
    "Issues": "issues",
}


def absolute_links(text: str, url: str, tag: str) -> str:
    """The text with relative links made absolute: pictures to their bytes, files to their pages."""

    def replace(match: re.Match[str]) -> str:
        mark, label, target, anchor = match.groups()
        label = LINK.sub(replace, label[1:-1])
        if "://" not in target:
            target = f"{url}/{'raw' if mark else 'blob'}/{tag}/{target}"
        return f"{mark}[{label}]({target}{anchor})"

    return LINK.sub(replace, text)


def with_urls(project: str, url: str, tag: str) -> str:
    """The content of pyproject.toml with a table of project URLs."""
    urls = {"Source": url, **{name: f"{url}/{path.format(tag=tag)}" for name, path in PAGES.items()}}
    lines = "\n".join(f'{name} = "{address}"' for name, address in urls.items())
    return project.replace("[project.scripts]", f"[project.urls]\n{lines}\n\n[project.scripts]", 1)


def main(url: str, tag: str) -> None:
    """Change both files of the working directory."""
    for name, change in (("README.md", absolute_links), ("pyproject.toml", with_urls)):
        file = Path(name)
        file.write_text(change(file.read_text(encoding="utf-8"), url.rstrip("/"), tag), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
