"""The routes of the page.

This module has no `from __future__ import annotations`: FastAPI reads the annotations of functions inside a
function, and could not find their names if they were texts.
"""

import asyncio
import json
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

from quintet.errors import ArtefactError, ConfigError, MissingExtraError, QuintetError
from quintet.files.json_text import json_value
from quintet.library.tags.plan import PlanOptions
from quintet.serving.browser.shelf import Shelf
from quintet.serving.browser.song_sound import converted, media_type, waveform
from quintet.serving.faults import Refusal, refusal
from quintet.serving.pages import page_policy

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: everything comes from this server."""
ASSETS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
MOST_BODY_BYTES = 4 << 20
NOT_FOUND = 404


def make_page_app(shelf: Shelf) -> "FastAPI":
    """The application, without the gates.

    Args:
        shelf: what answers.

    Raises:
        MissingExtraError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI
        from starlette.exceptions import HTTPException
    except ImportError as error:
        raise MissingExtraError("The page of a library", "library") from error

    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, exception_handlers={HTTPException: _refuse_path}
    )
    _add_assets(app)
    _add_songs(app, shelf)
    _add_sound(app, shelf)
    _add_changes(app, shelf)
    return app


def _add_assets(app: "FastAPI") -> None:
    """The page and what it loads."""
    from starlette.responses import Response

    folder = files("quintet.serving.browser").joinpath("page")
    assets = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}

    async def page() -> Response:
        return Response(
            assets["index.html"], media_type=ASSETS[".html"], headers={"Content-Security-Policy": POLICY}
        )

    async def asset(name: str) -> Response:
        suffix = name[name.rfind(".") :]
        if name not in assets or suffix not in ASSETS:
            return _respond({"detail": "There is no such file."}, NOT_FOUND)
        return Response(assets[name], media_type=ASSETS[suffix])

    app.add_api_route("/", page)
    app.add_api_route("/page/{name}", asset)


def _add_songs(app: "FastAPI", shelf: Shelf) -> None:
    """Routes that only read."""
    from fastapi import Query
    from starlette.responses import Response

    async def state() -> Response:
        return await _answer(
            lambda: {**shelf.state(), "genres": shelf.genres(), "journals": shelf.journals()}
        )

    async def songs() -> Response:
        return await _answer(shelf.songs)

    async def points(wait: bool = False) -> Response:
        if wait:
            await asyncio.to_thread(shelf.view.draw_map)
        return await _answer(shelf.view.map_json)

    async def details(id: str) -> Response:
        return await _answer(lambda: shelf.details(id))

    async def similar(
        id: str, n: Annotated[int, Query(ge=1, le=50)] = 12, per_artist: Annotated[int, Query(ge=1)] = 2
    ) -> Response:
        return await _answer(lambda: {"similar": shelf.similar(id, n, per_artist)})

    async def where(condition: str) -> Response:
        return await _answer(lambda: {"rows": shelf.where(condition)})

    async def playlists() -> Response:
        return await _answer(shelf.playlists)

    for path, route in (
        ("/api/state", state),
        ("/api/songs", songs),
        ("/api/map", points),
        ("/api/where", where),
        ("/api/playlists", playlists),
        ("/api/songs/{id}", details),
        ("/api/songs/{id}/similar", similar),
    ):
        app.add_api_route(path, route)


def _add_sound(app: "FastAPI", shelf: Shelf) -> None:
    """Routes that read the file of a song."""
    from starlette.responses import FileResponse, Response

    async def sound(id: str) -> Response:
        try:
            path = await asyncio.to_thread(shelf.sound_path, id)
            kind = media_type(path)
            if kind is not None:
                return FileResponse(path, media_type=kind)
            data = await asyncio.to_thread(converted, path, path.stat().st_mtime_ns)
            return Response(data, media_type="audio/ogg")
        except Exception as error:  # noqa: BLE001  every error is a response
            return _refuse(error)

    async def peaks(id: str) -> Response:
        def compute() -> object:
            path = shelf.sound_path(id)
            return {"peaks": waveform(path, path.stat().st_mtime_ns)}

        return await _answer(compute)

    async def why(id: str) -> Response:
        try:
            future = await asyncio.to_thread(shelf.explain, id)
            page = await asyncio.wrap_future(future)
        except Exception as error:  # noqa: BLE001  every error is a response
            return _refuse(error)
        policy = f"{page_policy(page)}; frame-ancestors 'none'"
        return Response(page, media_type=ASSETS[".html"], headers={"Content-Security-Policy": policy})

    for name, route in (("sound", sound), ("waveform", peaks), ("why", why)):
        app.add_api_route(f"/api/songs/{{id}}/{name}", route)


def _add_changes(app: "FastAPI", shelf: Shelf) -> None:
    """Routes that write something: into the library, or tags into songs."""
    from fastapi import Request
    from starlette.responses import Response

    async def plan(request: Request) -> Response:
        content = await _body(request)
        return await _answer(lambda: shelf.plan(_options(content)))

    async def apply(request: Request) -> Response:
        content = await _body(request)
        return await _answer(lambda: shelf.apply(_numbers(content)))

    async def undo(request: Request) -> Response:
        content = await _body(request)
        return await _answer(lambda: shelf.undo(str(content.get("journal"))))

    async def correct(request: Request) -> Response:
        content = await _body(request)
        return await _answer(lambda: shelf.correct(str(content.get("id")), str(content.get("label", ""))))

    async def keep(request: Request) -> Response:
        content = await _body(request)
        return await _answer(lambda: shelf.keep_playlists(content))

    async def export(request: Request) -> Response:
        content = await _body(request)
        ids = [str(id) for id in content.get("ids", ())]
        data = await asyncio.to_thread(shelf.export, str(content.get("name", "")), ids)
        return Response(data, media_type="audio/x-mpegurl")

    for path, route in (
        ("/api/plan", plan),
        ("/api/plan/apply", apply),
        ("/api/undo", undo),
        ("/api/corrections", correct),
        ("/api/playlists", keep),
        ("/api/playlists/export", export),
    ):
        app.add_api_route(path, route, methods=["POST"])


async def _body(request: Any) -> dict[str, Any]:
    """The JSON object of a request; an empty one if there is none.

    Raises:
        HTTPException: the body is too large or no JSON object.
    """
    from starlette.exceptions import HTTPException

    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY_BYTES:
            raise HTTPException(413, "The body is too large")
    try:
        content = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise HTTPException(400, "The body must be a JSON object")
    return content


def _options(content: dict[str, Any]) -> PlanOptions:
    try:
        fields = tuple(str(name) for name in content.get("fields", ["genre"]))
        return PlanOptions(fields, str(content.get("mode", "fill")), float(content.get("confidence", 0.5)))
    except (TypeError, ValueError) as error:
        if isinstance(error, QuintetError):
            raise
        raise ConfigError("A plan must have fields, a mode and a confidence. Reload the page.") from error


def _numbers(content: dict[str, Any]) -> list[int]:
    numbers = content.get("rows", [])
    if not (isinstance(numbers, list) and all(type(number) is int for number in numbers)):
        raise ConfigError("Rows must be whole numbers. Reload the page.")
    return numbers


async def _answer(work: Callable[[], object]) -> "Response":
    """The response of a request, computed in a thread, or its refusal."""
    try:
        return _respond(await asyncio.to_thread(work))
    except Exception as error:  # noqa: BLE001  every error is a response
        return _refuse(error)


def _respond(content: object, status: int = 200) -> "Response":
    from starlette.responses import Response

    text = json.dumps(
        json_value(content) if status != 200 else content, allow_nan=False, separators=(",", ":")
    )
    return Response(text, status_code=status, media_type="application/json")


def _refuse(error: Exception) -> "Response":
    is_absent = isinstance(error, ArtefactError)
    refused = Refusal(NOT_FOUND, str(error)) if is_absent else refusal(error)
    return _respond({"detail": refused.reason}, refused.status)


async def _refuse_path(_request: object, error: Exception) -> "Response":
    """The response to a path or a method that there is not, or to a wrong body."""
    status, detail = getattr(error, "status_code", NOT_FOUND), getattr(error, "detail", "Not Found")
    return _respond({"detail": f"{detail}."}, status)
