# The consumer, its commands and its jobs: one image, no build tools, not root.
# An index with a smaller torch (CPU only) may be given: --build-arg PIP_EXTRA_INDEX_URL=...
FROM python:3.11-slim-bookworm AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /source
RUN python -m venv /opt/fulgor
COPY . .
RUN /opt/fulgor/bin/pip install --no-cache-dir . -c constraints.txt

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home fulgor
COPY --from=build /opt/fulgor /opt/fulgor
ENV PATH=/opt/fulgor/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /home/fulgor
# SIGTERM drains: the consumer commits what it holds and leaves its group.
STOPSIGNAL SIGTERM
ENTRYPOINT ["fulgor"]
CMD ["consume", "ztf"]
