# `quintet serve` in a container: CPU, without TensorFlow. docs/serve.md says how to use it.
#   docker build -t quintet-serve .
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/model:/model:ro" quintet-serve
FROM python:3.11-slim AS build
WORKDIR /source
COPY docker/requirements.lock requirements.lock
RUN python -m venv --without-pip /opt/quintet \
    && pip --python /opt/quintet/bin/python install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY recipes recipes
COPY beetsplug beetsplug
COPY quintet quintet
# The core dependencies of the distribution include TensorFlow, which a prediction does not need: --no-deps.
RUN pip --python /opt/quintet/bin/python install --no-cache-dir --no-deps .
# The tests of SciPy, NumPy and numba: 60 MB that nothing imports.
RUN find /opt/quintet/lib -type d -name tests -prune -exec rm -r {} +

FROM python:3.11-slim
COPY --from=build /opt/quintet /opt/quintet
RUN useradd --create-home --uid 10001 quintet
USER quintet
ENV PATH=/opt/quintet/bin:$PATH PYTHONUNBUFFERED=1
# The kernels for the processor of this machine. On another one they are compiled at the first start, in some seconds.
RUN python -c "from quintet.features.engine.warm_up import kernels_available; assert kernels_available()"
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=5)"]
ENTRYPOINT ["quintet", "serve", "/model", "--host", "0.0.0.0"]
