#!/bin/sh
# What the image promises: under 900 MB, no TensorFlow, the command works.
set -eu
bytes=$(docker image inspect --format '{{.Size}}' "$1")
echo "$1: $((bytes / 1000000)) MB"
test "$bytes" -lt 900000000
docker run --rm --entrypoint python "$1" -c "
import importlib.util
assert importlib.util.find_spec('tensorflow') is None
import quintet.serving.server, fastapi, uvicorn, python_multipart
"
docker run --rm "$1" --help > /dev/null
