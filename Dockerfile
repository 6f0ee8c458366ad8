# An image of the program with its bundled models, the review server and Parquet; contents and use:
# docs/installing.md. Training is not in it.

FROM python:3.11-slim AS build
WORKDIR /source
RUN python -m venv /opt/bloodcells
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN /opt/bloodcells/bin/pip install --no-cache-dir --no-compile --constraint constraints.txt \
    '.[parquet,review]'

FROM python:3.11-slim
COPY --from=build /opt/bloodcells /opt/bloodcells
COPY container/health_check.py /opt/bloodcells/health_check.py
RUN useradd --create-home --uid 10001 bloodcells \
    && install --directory --owner=bloodcells /work
ENV PATH=/opt/bloodcells/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /work
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["/opt/bloodcells/bin/python", "/opt/bloodcells/health_check.py"]
ENTRYPOINT ["bloodcells"]
CMD ["--help"]
