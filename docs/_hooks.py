"""Hook of mkdocs: shows docs/notebook.ipynb, with the outputs that it was saved with, as a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import File, Files

NOTEBOOK, PAGE = "notebook.ipynb", "notebook.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of the notebook."""
    from mkdocs.structure.files import File

    source = (Path(config.docs_dir) / NOTEBOOK).read_text(encoding="utf-8")
    page: File = File.generated(config, PAGE, content=as_markdown(json.loads(source)))
    files.append(page)
    return files


def as_markdown(notebook: dict[str, Any]) -> str:
    """A notebook as Markdown: texts as they are, code in fences, and outputs behind it."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [text for output in cell["outputs"] if (text := show(output))]
    return "\n\n".join(parts) + "\n"


def show(output: dict[str, Any]) -> str:
    """An output as Markdown: a picture, else HTML, else text; nothing for messages on standard error."""
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```" if output["name"] == "stdout" else ""
    data = output.get("data", {})
    if "image/png" in data:
        content = join(data["image/png"]).strip()
        return f'<img alt="output of the code above" src="data:image/png;base64,{content}">'
    if "text/html" in data:
        lines = re.sub(r"\n\s*\n", "\n", join(data["text/html"]))  # a blank line would end the HTML
        return f'<div class="output">\n{lines}\n</div>'
    return f"```text\n{join(data.get('text/plain', ''))}\n```"


def join(text: str | list[str]) -> str:
    """Text that a notebook may hold in lines."""
    return text if isinstance(text, str) else "".join(text)
