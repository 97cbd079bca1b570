"""Pages of the service: /docs, which runs no script and loads nothing, and the policy of other pages."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from html import escape, unescape
from typing import Any

from quintet.files.json_types import JsonObject

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}"
    "pre{overflow:auto;padding:.75rem;border:1px solid #8884;border-radius:.4rem}"
    "table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}"
    "section{border-top:1px solid #8884;margin-top:2rem}"
)
POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page."""
EXAMPLES = {
    "/predict": "curl -F file=@song.mp3 'http://127.0.0.1:8000/predict?confidence=0.9'",
    "/explain": "curl -F file=@song.mp3 http://127.0.0.1:8000/explain -o song.html",
    "/health": "curl http://127.0.0.1:8000/health",
}


def page_policy(page: str) -> str:
    """The Content-Security-Policy that a page states in its head.

    Args:
        page: the page, as HTML.

    Raises:
        ValueError: it states none.

    Example:
        >>> page_policy('<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;">')
        "default-src 'none'"
    """
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    if found is None:
        raise ValueError("A page must state its policy. This one states none.")
    return unescape(found[1])


def docs_page(description: JsonObject) -> str:
    """The page.

    Args:
        description: the OpenAPI description.

    Example:
        >>> "<script" in docs_page({"info": {"title": "<script>"}, "paths": {}})
        False
    """
    info = description["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style>",
        f"<h1>{escape(info['title'])}</h1><p>{escape(info.get('description', ''))}</p>",
        "<p>The same for programs: <a href=/openapi.json>/openapi.json</a></p>",
    ]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parts.append(_section(path, method.upper(), operation))
    return "\n".join(parts) + "\n"


def _section(path: str, method: str, operation: Mapping[str, Any]) -> str:
    """One path: what it does, its parameters, its responses, an example."""
    lines = [f"<section><h2>{escape(method)} {escape(path)}</h2>"]
    lines.append(f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>")
    if path in EXAMPLES:
        lines.append(f"<pre>{escape(EXAMPLES[path])}</pre>")
    parameters = [(entry["name"], entry.get("description", "")) for entry in operation.get("parameters", ())]
    responses = [(code, entry["description"]) for code, entry in operation["responses"].items()]
    for heading, rows in (("parameter", parameters), ("status", responses)):
        if rows:
            lines.append(f"<table><tr><th>{heading}<th>meaning")
            lines += [f"<tr><td><code>{escape(name)}</code><td>{escape(text)}" for name, text in rows]
            lines.append("</table>")
    return "\n".join([*lines, "</section>"])
