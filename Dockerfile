# The workflow with the locked packages. Results, images and configs are mounted; see docs/cluster.md.
FROM python:3.11-slim-bookworm
# Not pinned: Debian keeps one version of a package, and a pin would fail after its next update.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/campfire
COPY requirements-uv.lock requirements.lock ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements-uv.lock
RUN uv pip install --system --no-cache --compile-bytecode --require-hashes -r requirements.lock
COPY . .
RUN python -c 'import pathlib, site; (pathlib.Path(site.getsitepackages()[0]) / "campfire.pth").write_text("/opt/campfire/src\n")'
RUN printf '#!/bin/sh\nexec python -m campfire "$@"\n' > /usr/local/bin/campfire && chmod +x /usr/local/bin/campfire
CMD ["campfire", "--help"]
