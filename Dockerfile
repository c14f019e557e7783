# Two stages: wheels are built with pip and hashes, the image that runs has neither compiler nor pip cache.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/hintd && /opt/hintd/bin/pip install --no-cache-dir --require-hashes -r constraints.txt
COPY hintd ./hintd
RUN /opt/hintd/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/hintd/bin/pip uninstall --yes --quiet pytest pytest-asyncio pytest-timeout pytest-xdist hypothesis \
       import-linter mypy ruff testcontainers grpcio-tools hatchling editables

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/hintd --create-home hintd
COPY --from=build /opt/hintd /opt/hintd
ENV PATH=/opt/hintd/bin:$PATH PYTHONUNBUFFERED=1 \
    HINTD_SERVICE__DATA_DIR=/var/lib/hintd \
    HINTD_SERVICE__PUBLIC_LISTEN=0.0.0.0:8080 \
    HINTD_SERVICE__OPERATOR_LISTEN=0.0.0.0:8081
USER hintd
WORKDIR /var/lib/hintd
VOLUME /var/lib/hintd
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["hintd"]
CMD ["run"]
