# Two images from one file: `web` (also for beat) without torch, `worker` with it.
#   docker build --target web .        docker build --target worker .
# The packages come from the index that pip is set up for; behind a mirror: --build-arg PIP_INDEX_URL=...
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DJANGO_SETTINGS_MODULE=recognizer.settings \
    RECOGNIZER_DATA_DIR=/data \
    RECOGNIZER_HOST=0.0.0.0 \
    PORT=8000
RUN useradd --uid 10001 --create-home recognizer \
    && install --directory --owner=recognizer --group=recognizer /data
WORKDIR /app
ARG PIP_INDEX_URL
COPY requirements/runtime.txt requirements/
RUN pip install --require-hashes -r requirements/runtime.txt

FROM base AS web
# As under the supervisor: memory of large uploads goes back at once.
ENV MALLOC_MMAP_THRESHOLD_=262144
COPY manage.py ./
COPY classifier_core/ classifier_core/
COPY recognizer/ recognizer/
COPY templates/ templates/
COPY static/ static/
# Needs settings, so a key is made; it goes with the folder and signs nothing.
RUN RECOGNIZER_DATA_DIR=/tmp/build python manage.py collectstatic --no-input && rm -r /tmp/build
USER recognizer
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:8000/healthz', timeout=4)"]
CMD ["python", "-m", "recognizer.web"]

FROM base AS worker
# Else numpy's small products start threads that spin, and take the cores from the network.
ENV OPENBLAS_NUM_THREADS=1
# A runtime that crashes says in the log where it was.
ENV PYTHONFAULTHANDLER=1
COPY requirements/ml.txt requirements/
RUN pip install --require-hashes -r requirements/runtime.txt -r requirements/ml.txt
COPY manage.py ./
COPY classifier_core/ classifier_core/
COPY recognizer/ recognizer/
COPY starters/ starters/
COPY templates/ templates/
COPY static/ static/
USER recognizer
VOLUME /data
# Asks the worker itself over the broker; it answers beside a running batch.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s \
    CMD celery -A recognizer inspect ping --timeout 20 --destination "predict@$HOSTNAME"
CMD ["celery", "-A", "recognizer", "worker", "-Q", "predict", "-c", "1", "-n", "predict@%h", \
    "--without-gossip", "--without-mingle", "-l", "WARNING"]
