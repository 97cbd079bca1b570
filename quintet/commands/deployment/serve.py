"""Command `serve`: a model as a small HTTP service."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from quintet.commands.terminal.options import Jobs, Json, Model, Quiet, Segment, Strict
from quintet.commands.terminal.parsing import resolve_cores
from quintet.serving.serve_settings import (
    DEFAULT_HOST,
    DEFAULT_MEGABYTES,
    DEFAULT_PORT,
    DEFAULT_QUEUE,
    DEFAULT_SECONDS,
    ServeSettings,
)

EXAMPLE = "Example: quintet serve model/ & curl -F file=@song.mp3 http://127.0.0.1:8000/predict"


def serve(
    model: Model,
    host: Annotated[
        str, typer.Option(help="Address of the service. 0.0.0.0: other computers reach it, too.")
    ] = DEFAULT_HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = DEFAULT_PORT,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name under which clients reach the service, besides localhost and numbers. Repeatable."
        ),
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, help="Requests that may be under way; further ones are refused (503).")
    ] = DEFAULT_QUEUE,
    max_mb: Annotated[
        float, typer.Option(min=0.001, help="Size of the largest request, MB (413 beyond).")
    ] = DEFAULT_MEGABYTES,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Time for one recording in its worker process, seconds.")
    ] = DEFAULT_SECONDS,
    confidence: Annotated[
        float | None, typer.Option(help="Also give prediction sets, where a request does not say it.")
    ] = None,
    segment: Segment = None,
    strict: Strict = False,
    json_: Json = False,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Answer predictions and explanations over HTTP: POST /predict, POST /explain, GET /health, /docs."""
    from quintet.audio.isolation.processes import use_one_thread_ahead

    use_one_thread_ahead()  # the worker processes are the parallelism
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json
    from quintet.serving.server import ModelServer
    from quintet.serving.server import serve as serve_model

    settings = ServeSettings(
        host=host,
        port=port,
        host_names=tuple(allow_host or ()),
        n_workers=resolve_cores(jobs),
        queue=queue,
        megabytes=max_mb,
        seconds=timeout,
        confidence=confidence,
        segment_s=segment,
        strict=strict,
    )

    def show_address(server: ModelServer) -> None:
        if json_:
            print_json({"command": "serve", "model": model, "url": server.url})
            sys.stdout.flush()
        print_message(f"Serving {model} at {server.url} (/docs says how). Ctrl-C stops it.", quiet=quiet)

    def show_response(method: str, path: str, status: int, seconds: float) -> None:
        print_message(f"{method} {path} {status} {1000 * seconds:.0f} ms", quiet=quiet)

    serve_model(model, settings, ready=show_address, observer=show_response)
    print_message("Stopped: every request that was begun has its answer.", quiet=quiet)
