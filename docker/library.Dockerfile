# `quintet library` in a container, for a home server: docker/library.yaml uses it, docs/library.md says how.
# It has the whole lock, since the page can train on corrections.
FROM python:3.11-slim
RUN useradd --create-home --uid 10001 quintet && install -d -o quintet /data
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY recipes recipes
COPY beetsplug beetsplug
COPY quintet quintet
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
USER quintet
WORKDIR /data
ENV PYTHONUNBUFFERED=1
RUN python -c "from quintet.features.engine.warm_up import kernels_available; assert kernels_available()"
STOPSIGNAL SIGTERM
ENTRYPOINT ["quintet", "library"]
