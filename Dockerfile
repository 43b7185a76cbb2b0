# The web image: no torch, no audio or vision library. Analysis runs in the worker image (Dockerfile.worker).
FROM python:3.11-slim AS web
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY emotion emotion
COPY recommender recommender
COPY interventions interventions
COPY mhealth mhealth
COPY fixtures fixtures
COPY manage.py ./
RUN pip install -c constraints.txt -e ".[web]" \
    && useradd --system --uid 10001 --home /app app \
    && mkdir -p /app/var/media /app/var/models \
    && SECRET_KEY=build MASTER_KEY=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY= python manage.py collectstatic --no-input \
    && chown -R app /app/var
USER app
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --retries=4 \
  CMD python -c "import urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8000/api/v1/health/live', headers={'X-Forwarded-Proto': 'https'}), timeout=2)"
CMD ["gunicorn", "mhealth.wsgi", "--no-control-socket", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "4", "--access-logfile", "-"]
