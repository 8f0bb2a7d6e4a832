# The page and the service, for a server:
#   docker build -t ser . && docker run -p 8501:8501 -v ser-cache:/cache ser
#   docker build -t ser-service --target service . && docker run -p 8000:8000 -e SER_SERVE_KEYS=NAME:SHA256 ser-service
# Nothing but Python is asked of the system: the wheels bring libsndfile, FFmpeg, soxr and OpenMP along.
# `tools/run_dockerfile.py` runs these steps where there is no Docker.
FROM python:3.11-slim-bookworm AS base

# The official builds of torch for CPUs; an empty value takes the published one with CUDA (3 GB more).
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

WORKDIR /app

# First and alone, so that a change in the code does not install everything anew.
# torch goes first, with what its build needs; the rest is installed exactly as locked.
# The pins also hold for what builds openai-whisper, which is published as source alone.
COPY requirements.txt constraints-cuda.txt ./
RUN export PIP_CONSTRAINT=requirements.txt PIP_BUILD_CONSTRAINT=requirements.txt \
    && pip install --no-cache-dir torch \
    && pip install --no-cache-dir --no-deps -r requirements.txt

RUN useradd --create-home --uid 1000 ser && install --directory --owner=ser --group=ser /cache

# Everything that libraries like to keep goes to the one place that the user may write.
ENV PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/cache \
    SER_WHISPER_DIR=/cache/whisper \
    HF_HOME=/cache/huggingface \
    NUMBA_CACHE_DIR=/cache/numba \
    MPLCONFIGDIR=/cache/matplotlib

# The service shares all libraries and weights with the page, so that both images take little more space than one.
FROM base AS service

COPY requirements-service.txt ./
RUN pip install --no-cache-dir --no-deps -r requirements-service.txt

# The code stays root's: the service can read it, not change it.
COPY configs/ configs/
COPY models/ models/
COPY ser_engine/ ser_engine/

USER ser
VOLUME /cache

EXPOSE 8000
# http.client takes no notice of a proxy in the environment.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('localhost', 8000, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "-m", "ser_engine", "serve", "--host=0.0.0.0", "--port=8000"]

# The last one, which is built where no target is named.
FROM base AS page

# The code stays root's: the page can read it, not change it.
COPY .streamlit/ .streamlit/
COPY configs/ configs/
COPY models/ models/
COPY results/ results/
COPY ser_engine/ ser_engine/
COPY ui/ ui/
COPY pages/ pages/
COPY app.py ./

USER ser
VOLUME /cache

EXPOSE 8501
# http.client takes no notice of a proxy in the environment.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('localhost', 8501, timeout=4); c.request('GET', '/_stcore/health'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "-m", "streamlit", "run", "app.py", "--server.address=0.0.0.0", "--server.port=8501"]
