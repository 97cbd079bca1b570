"""The routes of the service.

This module has no `from __future__ import annotations`: FastAPI reads the annotations of functions inside a
function, and could not find their names if they were texts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from quintet import __version__
from quintet.errors import MissingExtraError
from quintet.files.json_text import json_text
from quintet.files.json_types import JsonObject
from quintet.serving.faults import UNUSABLE, Refusal, client_left, refusal
from quintet.serving.pages import POLICY, docs_page, page_policy
from quintet.serving.schemas import Fault, Health, PredictAnswer, UnusableRecording
from quintet.serving.service import Service
from quintet.serving.uploads import Upload, receive

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response

Value = TypeVar("Value")
Route = Callable[..., Awaitable["Response"]]

LONGEST_NAME = 1000
NAME, SEGMENT = "What the recording is called.", "Length of a segment, seconds; 0 cuts no file."

DESCRIPTION = (
    "Class predictions and explanations of recordings. The body of a request is the recording itself, or a "
    "form with one file (multipart/form-data)."
)
PAGE, JSON = "text/html; charset=utf-8", "application/json"
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Fault, "description": "A parameter or the body cannot be used."},
    403: {"model": Fault, "description": "A page of another host made a browser send this."},
    408: {"model": Fault, "description": "The body came too slowly."},
    413: {"model": Fault, "description": "The body is too large."},
    421: {"model": Fault, "description": "The Host header names another host."},
    422: {"model": UnusableRecording, "description": "The recording has no prediction: detail says why."},
    500: {"model": Fault, "description": "The service has a fault."},
    501: {"model": Fault, "description": "A library is not installed: detail names it."},
    503: {"model": Fault, "description": "Too many requests are under way: see Retry-After."},
    507: {"model": Fault, "description": "The disk of the service is full."},
}


def make_app(service: Service) -> "FastAPI":
    """The application, without the gate.

    Args:
        service: what answers.

    Raises:
        MissingExtraError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI
        from fastapi.exceptions import RequestValidationError
        from starlette.exceptions import HTTPException
        from starlette.responses import Response
    except ImportError as error:
        raise MissingExtraError("The service", "serve") from error

    app = FastAPI(
        title="quintet serve",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        exception_handlers={RequestValidationError: _refuse_parameter, HTTPException: _refuse_path},
    )
    app.add_api_route(
        "/predict",
        _predict_route(service),
        responses={**REFUSALS, 200: {"model": PredictAnswer, "description": "The prediction."}},
        methods=["POST"],
        openapi_extra=BODY,
        response_class=Response,
    )
    app.add_api_route(
        "/explain",
        _explain_route(service),
        responses={**REFUSALS, 200: {"content": {"text/html": {}}, "description": "The page."}},
        methods=["POST"],
        openapi_extra=BODY,
        response_class=Response,
    )

    async def health() -> Response:
        """State of the service, its model and its queue."""
        return respond(json_text(service.health()))

    async def docs() -> Response:
        return respond(docs_page(app.openapi()), media_type=PAGE, headers={"Content-Security-Policy": POLICY})

    async def to_docs() -> Response:
        return respond("", status=307, headers={"Location": "/docs"})

    app.add_api_route("/health", health, responses={200: {"model": Health, "description": "It works."}})
    app.add_api_route("/health", health, methods=["HEAD"], include_in_schema=False)  # proxies look so
    app.add_api_route("/docs", docs, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/", to_docs, methods=["GET", "HEAD"], include_in_schema=False)
    return app


def _predict_route(service: Service) -> Route:
    """What answers `POST /predict`."""
    from fastapi import Query, Request
    from starlette.responses import Response

    async def predict(
        request: Request,
        name: Annotated[str | None, Query(max_length=LONGEST_NAME, description=NAME)] = None,
        confidence: Annotated[
            float | None, Query(gt=0, lt=1, description="Also give the set of this confidence.")
        ] = None,
        segment: Annotated[float | None, Query(ge=0, description=SEGMENT)] = None,
        strict: Annotated[bool | None, Query(description="Refuse recordings that are cut short.")] = None,
    ) -> Response:
        """What `quintet predict --json` prints for the recording: its classes, probabilities and set."""

        async def work() -> Response:
            options = service.options(confidence, segment, strict)
            async with _upload(service, request, name) as upload:
                predictions = await _result(service.ask(upload, options), request.receive)
                answer = await asyncio.to_thread(service.answer, upload, options, predictions)
            return _respond_prediction(answer)

        return await _answer(work)

    return predict


def _explain_route(service: Service) -> Route:
    """What answers `POST /explain`."""
    from fastapi import Query, Request
    from starlette.responses import Response

    async def explain(
        request: Request,
        name: Annotated[str | None, Query(max_length=LONGEST_NAME, description=NAME)] = None,
        segment: Annotated[float | None, Query(ge=0, description=SEGMENT)] = None,
    ) -> Response:
        """The page of `quintet explain` about the recording, with its numbers and its sound inside."""

        async def work() -> Response:
            length_s = service.segment_s(segment)
            with service.explanation_admission.enter():
                async with _upload(service, request, name) as upload:
                    future = service.explanations.ask(str(upload.path), upload.name, length_s)
                    page = await _result(future, request.receive)
            policy = f"{page_policy(page)}; frame-ancestors 'none'"
            return respond(page, media_type=PAGE, headers={"Content-Security-Policy": policy})

        return await _answer(work)

    return explain


@asynccontextmanager
async def _upload(service: Service, request: "Request", name: str | None) -> AsyncIterator[Upload]:
    """Admit a request, receive its recording, and delete the file at the end. No reason names the file.

    Args:
        service: the service.
        request: the request.
        name: what the client calls the recording.

    Raises:
        Refusal: there are too many requests, or no recording, or an error in the block.
    """
    with service.admission.enter():
        upload = await receive(request, service.upload_folder, name, service.settings.most_bytes)
        try:
            yield upload
        except Exception as error:
            refused = refusal(error)
            refused.reason = upload.plain(refused.reason)
            raise refused from error
        finally:
            upload.path.unlink(missing_ok=True)


async def _refuse_parameter(_request: object, error: Exception) -> "Response":
    """The response to a parameter that is not valid."""
    first: dict[str, Any] = error.errors()[0]  # type: ignore[attr-defined]  # a RequestValidationError
    return _refuse(
        Refusal(400, f"The parameter {first['loc'][-1]} must be valid. {first['msg']}. See /docs.")
    )


async def _refuse_path(_request: object, error: Exception) -> "Response":
    """The response to a path or a method that there is not."""
    status, detail = getattr(error, "status_code", 404), getattr(error, "detail", "Not Found")
    return _refuse(Refusal(status, f"{detail}: the paths of this service are in /docs."))


async def _answer(work: Callable[[], Awaitable["Response"]]) -> "Response":
    """The response of a request, or its refusal."""
    try:
        return await work()
    except Exception as error:  # noqa: BLE001  every error is a response
        return _refuse(refusal(error))


def _refuse(refused: Refusal) -> "Response":
    return respond(json_text({"detail": refused.reason}), status=refused.status, headers=refused.headers)


def _respond_prediction(answer: JsonObject) -> "Response":
    """The answer; for a recording without a prediction its reason too, and another status."""
    if not answer["n_failed"]:
        return respond(json_text(answer))
    return respond(json_text({"detail": answer["files"][0]["reason"], **answer}), status=UNUSABLE)


def respond(
    text: str, *, status: int = 200, media_type: str = JSON, headers: dict[str, str] | None = None
) -> "Response":
    """A response.

    Args:
        text: its body.
        status: of HTTP.
        media_type: what the body is.
        headers: further headers.
    """
    from starlette.responses import Response

    return Response(text, status_code=status, media_type=media_type, headers=headers)


async def _result(future: Future[Value], client: Callable[[], Awaitable[object]]) -> Value:
    """The result of a future. If the client goes away meanwhile, the work is not begun.

    Args:
        future: the work.
        client: waits for the next message of the client: after the body it is its end.
    """
    answer: asyncio.Future[Any] = asyncio.wrap_future(future)
    gone: asyncio.Future[Any] = asyncio.ensure_future(client())
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() and future.cancel():
            raise client_left()
        result: Value = await answer
        return result
    finally:
        gone.cancel()
