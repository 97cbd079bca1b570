# `quintet library` in a container, for a home server: docker/library.yaml uses it, docs/library.md says how.
# It has the whole lock, since the page can train on corrections.
FROM python:3.11-slim
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY recipes recipes
COPY beetsplug beetsplug
COPY quintet quintet
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
# Only who owns songs can write their tags: OWNER and GROUP are the ids of whoever owns the music.
ARG OWNER=10001
ARG GROUP=10001
RUN (getent group $GROUP || groupadd --gid $GROUP quintet) \
    && useradd --create-home --uid $OWNER --gid $GROUP quintet \
    && install -d -o quintet -g $GROUP /data
USER quintet
WORKDIR /data
ENV PYTHONUNBUFFERED=1
RUN python -c "from quintet.features.engine.warm_up import kernels_available; assert kernels_available()"
STOPSIGNAL SIGTERM
ENTRYPOINT ["quintet", "library"]
