# The service, its dependencies and the default weights; nothing that only training needs.
#
#   docker build -t facepair .
#
# The digest pins the base; without it the tag means another image every few weeks:
#
#   docker build -t facepair --build-arg BASE=python:3.11-slim@sha256:... .
#
# It computes on a CPU. For `docker run --gpus all` add PyTorch, which carries CUDA and takes several gigabytes:
#
#   docker build -t facepair --build-arg EXTRAS=gpu .
#
# EXTRAS=traces adds what FACEPAIR_TRACES_URL needs, EXTRAS=gpu,traces both. Who builds it for others says which version this is, and from where:
#
#   docker build -t facepair --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) --build-arg SOURCE=URL .
ARG BASE=docker.io/library/python:3.11-slim
FROM ${BASE}

ARG EXTRAS=""

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/facepair

# Exact versions with their digests, but for PyTorch, whose files differ from machine to machine.
COPY --chmod=755 requirements.txt requirements-traces.txt constraints.txt ./
# What serving never loads goes: OpenVINO's parts for other devices, file formats and compilers (81 MB), ONNX Runtime for
# other languages and its tools (43 MB), packages' tests (35 MB), OpenCV's older detectors (10 MB).
RUN pip install --require-hashes -r requirements.txt \
    && case ",$EXTRAS," in *,traces,*) pip install --require-hashes -r requirements-traces.txt ;; esac \
    && case ",$EXTRAS," in *,gpu,*) pip install -c constraints.txt torch ;; esac \
    && find /usr -path "*/openvino/libs/*" \( -name "*_[gn]pu_plugin.so" -o -name cache.json \
    -o \( -name "*_frontend.so*" ! -name "*_onnx_frontend.so*" \) \) -delete \
    && find /usr -path "*-packages/*" \( -path "*/onnxruntime/capi/libonnxruntime.so*" -o -path "*/cv2/data/*.xml" \) -delete \
    && find /usr -path "*-packages/*" \( -path "*/numpy/*/tests" -o -path "*/onnx/backend/test" -o -path "*/openvino/include" \
    -o -path "*/onnxruntime/transformers" -o -path "*/onnxruntime/tools" -o -path "*/onnxruntime/quantization" \
    -o -path "*/onnxruntime/datasets" \) -prune -exec rm -r {} +

# Readable for the image's user, whoever may read the checkout's files.
COPY --chmod=755 model model
COPY --chmod=755 app app
COPY --chmod=755 weights/experiment-12.safetensors weights/

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin facepair
USER 10001

ENV FACEPAIR_HOST=0.0.0.0 FACEPAIR_PORT=8000
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-m", "app.health"]
CMD ["python", "-m", "app"]

# Last, since what differs from build to build would make all that follows anew.
ARG BASE
ARG VERSION=""
ARG REVISION=""
ARG SOURCE=""

LABEL org.opencontainers.image.title="facepair" \
      org.opencontainers.image.description="Are these two photographs of the same person? Face verification over HTTP." \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.base.name="$BASE"
