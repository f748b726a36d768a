# syntax=docker/dockerfile:1
# docker build --target cpu  -t selkd:cpu .
# docker build --target cuda -t selkd:cuda .
# The wheels of torch carry the CUDA libraries, so both targets install the same tested versions;
# `cuda` differs in asking the container runtime for the driver.

FROM python:3.11-slim AS install
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/selkd
ENV PATH=/opt/selkd/bin:$PATH
WORKDIR /build
COPY requirements.txt ./
RUN pip install --quiet -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY platform ./platform
COPY search_spaces ./search_spaces
RUN pip install --quiet --no-deps .

FROM python:3.11-slim AS cpu
RUN useradd --create-home --uid 1000 selkd
COPY --from=install /opt/selkd /opt/selkd
# Pods may start Ray from a login shell, which forgets the PATH below.
RUN ln -s /opt/selkd/bin/ray /opt/selkd/bin/selkd /usr/local/bin/
ENV PATH=/opt/selkd/bin:$PATH PYTHONUNBUFFERED=1 SELKD_WORKSPACE=/home/selkd/workspace
USER selkd
WORKDIR /home/selkd
HEALTHCHECK --interval=60s --timeout=30s CMD ["selkd", "doctor", "--quick"]
ENTRYPOINT ["selkd"]
CMD ["--help"]

FROM cpu AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
