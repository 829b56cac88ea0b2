# The service, its dependencies and the shipped weights; nothing that only training needs.
#
#   docker build -t facepair --build-arg TORCH_INDEX=URL .
#
# TORCH_INDEX is the package index of torch's CPU build, which pytorch.org's installation page names. Without it
# pip takes the ordinary index, whose build carries CUDA and makes the image several gigabytes larger.
FROM python:3.11-slim

ARG TORCH_INDEX=""
ARG TORCH="torch==2.15.0"

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/facepair

COPY --chmod=755 pyproject.toml constraints.txt README.md ./
RUN pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -c constraints.txt "$TORCH"
# An editable install needs each folder that pyproject.toml lists, and model/__init__.py for the version. The code itself
# is copied later, so that changing it does not install everything again.
COPY --chmod=755 model/__init__.py model/
RUN mkdir app training && pip install -c constraints.txt -e . && rmdir training

# Readable for the image's user, whoever may read the checkout's files.
COPY --chmod=755 model model
COPY --chmod=755 app app
COPY --chmod=755 weights weights

RUN useradd --system --no-create-home --shell /usr/sbin/nologin facepair
USER facepair

ENV FACEPAIR_HOST=0.0.0.0 FACEPAIR_PORT=8000
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-m", "app.health"]
CMD ["python", "-m", "app"]
