"""The routes of the page. Starlette alone serves them: FastAPI takes as long to import as all else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from quintet.errors import ArtefactError, ConfigError, MissingExtraError, QuintetError
from quintet.files.json_text import json_value
from quintet.files.locks import HeldOutputError
from quintet.serving.faults import LIBRARY_PLACES, NOT_FOUND, Refusal, refusal
from quintet.serving.pages import page_policy

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from quintet.library.tags.plan import PlanOptions
    from quintet.serving.browser.shelf import Shelf

Endpoint = Callable[["Request"], Awaitable["Response"]]
ShelfSource = Callable[[], "Shelf"]
"""Gives the open library. It waits until that is read, so threads call it, and not the loop of the server."""

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


def make_page_app(shelf: ShelfSource) -> Starlette:
    """The application, without the gates.

    Args:
        shelf: gives what answers.

    Raises:
        MissingExtraError: Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
    except ImportError as error:
        raise MissingExtraError("The page of a library", "library") from error

    routes = [*_assets(), *_songs(shelf), *_sound(shelf), *_changes(shelf)]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refuse_path})


def _assets() -> list[Route]:
    """The page and what it loads."""
    from starlette.responses import Response

    folder = files("quintet.serving.browser").joinpath("page")
    assets = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}

    async def page(_: Request) -> Response:
        return Response(
            assets["index.html"], media_type=ASSETS[".html"], headers={"Content-Security-Policy": POLICY}
        )

    async def asset(request: Request) -> Response:
        name = str(request.path_params["name"])
        suffix = name[name.rfind(".") :]
        if name not in assets or suffix not in ASSETS:
            return _respond({"detail": "There is no such file."}, NOT_FOUND)
        return Response(assets[name], media_type=ASSETS[suffix])

    return _routes({"/": page, "/page/{name}": asset})


def _songs(shelf: ShelfSource) -> list[Route]:
    """Routes that only read."""

    async def state(_: Request) -> Response:
        return await _answer(
            lambda: {**shelf().state(), "genres": shelf().genres(), "journals": shelf().journals()}
        )

    async def points(request: Request) -> Response:
        if request.query_params.get("wait") == "true":
            await asyncio.to_thread(lambda: shelf().view.draw_map())
        return await _answer(lambda: shelf().view.map_bytes())

    async def details(request: Request) -> Response:
        return await _answer(lambda: shelf().details(_id(request)))

    async def similar(request: Request) -> Response:
        return await _answer(
            lambda: {
                "similar": shelf().similar(
                    _id(request), _whole(request, "n", 12), _whole(request, "per_artist", 2)
                )
            }
        )

    async def where(request: Request) -> Response:
        return await _answer(lambda: {"rows": shelf().where(request.query_params.get("condition", ""))})

    return _routes(
        {
            "/api/state": state,
            "/api/songs": lambda _: _answer(lambda: shelf().columns()),
            "/api/texts": lambda _: _answer(lambda: shelf().texts()),
            "/api/map": points,
            "/api/where": where,
            "/api/playlists": lambda _: _answer(lambda: shelf().playlists()),
            "/api/retrain": lambda _: _answer(lambda: shelf().learning.state()),
            "/api/songs/{id}": details,
            "/api/songs/{id}/similar": similar,
        }
    )


def _sound(shelf: ShelfSource) -> list[Route]:
    """Routes that read the file of a song."""
    from starlette.responses import FileResponse, Response

    async def sound(request: Request) -> Response:
        from quintet.serving.browser.song_sound import converted, media_type

        try:
            path = await asyncio.to_thread(lambda: shelf().sound_path(_id(request)))
            kind = media_type(path)
            if kind is not None:
                return FileResponse(path, media_type=kind)
            data = await asyncio.to_thread(converted, path, path.stat().st_mtime_ns)
            return Response(data, media_type="audio/ogg")
        except Exception as error:  # noqa: BLE001  every error is a response
            return _refuse(error)

    async def peaks(request: Request) -> Response:
        def compute() -> object:
            from quintet.serving.browser.song_sound import waveform

            path = shelf().sound_path(_id(request))
            return {"peaks": waveform(path, path.stat().st_mtime_ns)}

        return await _answer(compute)

    async def why(request: Request) -> Response:
        try:
            future = await asyncio.to_thread(lambda: shelf().explain(_id(request)))
            page = await asyncio.wrap_future(future)
        except Exception as error:  # noqa: BLE001  every error is a response
            return _refuse(error)
        policy = f"{page_policy(page)}; frame-ancestors 'none'"
        return Response(page, media_type=ASSETS[".html"], headers={"Content-Security-Policy": policy})

    song = "/api/songs/{id}"
    return _routes({f"{song}/sound": sound, f"{song}/waveform": peaks, f"{song}/why": why})


def _changes(shelf: ShelfSource) -> list[Route]:
    """Routes that write something: into the library, or tags into songs."""

    def change(work: Callable[[dict[str, Any]], object]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            content = await _body(request)
            return await _answer(lambda: work(content))

        return endpoint

    return _routes(
        {
            "/api/plan": change(lambda content: shelf().plan(_options(content))),
            "/api/plan/apply": change(lambda content: shelf().apply(_numbers(content))),
            "/api/undo": change(lambda content: shelf().undo(str(content.get("journal")))),
            "/api/corrections": change(
                lambda content: shelf().correct(str(content.get("id")), str(content.get("label", "")))
            ),
            "/api/playlists": change(lambda content: shelf().keep_playlists(content)),
            "/api/retrain": change(lambda _: shelf().learning.begin()),
            "/api/retrain/stop": change(lambda _: shelf().learning.stop()),
            "/api/retrain/use": change(lambda _: shelf().learning.use()),
            "/api/playlists/export": change(
                lambda content: shelf().export(str(content.get("name", "")), content.get("ids", []))
            ),
        },
        method="POST",
    )


def _routes(endpoints: dict[str, Endpoint], method: str = "GET") -> list[Route]:
    from starlette.routing import Route

    return [Route(path, _as_function(endpoint), methods=[method]) for path, endpoint in endpoints.items()]


def _as_function(endpoint: Endpoint) -> Endpoint:
    """An endpoint as a coroutine function, which Starlette runs in its own thread."""

    async def call(request: Request) -> Response:
        return await endpoint(request)

    return call


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _whole(request: Request, name: str, default: int) -> int:
    """A number of the query, from 1 on.

    Raises:
        ConfigError: it is something else.
    """
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text[:9]) >= 1 and len(text) < 9):
        raise ConfigError(
            f"`{name}` must be a whole number from 1 on. Received {text[:20]!r}: reload the page."
        )
    return int(text)


async def _body(request: Request) -> dict[str, Any]:
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
    from quintet.library.tags.plan import PlanOptions

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


async def _answer(work: Callable[[], object]) -> Response:
    """The response of a request, computed in a thread, or its refusal."""
    try:
        return _respond(await asyncio.to_thread(work))
    except Exception as error:  # noqa: BLE001  every error is a response
        return _refuse(error)


def _respond(content: object, status: int = 200) -> Response:
    from starlette.responses import Response

    if isinstance(content, bytes):
        return Response(content, status_code=status, media_type="application/octet-stream")
    text = json.dumps(
        json_value(content) if status != 200 else content, allow_nan=False, separators=(",", ":")
    )
    return Response(text, status_code=status, media_type="application/json")


def _refuse(error: Exception) -> Response:
    is_absent = isinstance(error, ArtefactError) and not isinstance(error, HeldOutputError)
    refused = Refusal(NOT_FOUND, str(error)) if is_absent else refusal(error, writes_to=LIBRARY_PLACES)
    return _respond({"detail": refused.reason}, refused.status)


async def _refuse_path(_request: object, error: Exception) -> Response:
    """The response to a path or a method that there is not, or to a wrong body."""
    status, detail = getattr(error, "status_code", NOT_FOUND), getattr(error, "detail", "Not Found")
    return _respond({"detail": f"{detail}."}, status)
