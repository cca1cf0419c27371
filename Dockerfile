# The function app with its dashboard: for laptops, and for the database job in Azure.
# 'make pin' writes the digests of the bases.
ARG FUNCTIONS_IMAGE=mcr.microsoft.com/azure-functions/python:4-python3.11@sha256:ebc5ba1fc20f7809b2676872a016ba6ede2c43d2feab4c22164b6f2a07d75733
ARG NODE_IMAGE=node:22-bookworm-slim@sha256:43ac6c60b8f89723f746e8a92ce91abd5017e627ce1ddfe4238355d3a30b772c
ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# checkov:skip=CKV_DOCKER_7:the argument names a version, and a digest where it is pinned
FROM ${NODE_IMAGE} AS dashboard
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY local/samples /build/local/samples
COPY frontend ./
RUN npm run build

FROM ${PYTHON_IMAGE} AS package
WORKDIR /source
COPY . .
COPY --from=dashboard /build/frontend/dist frontend/dist
RUN python -m infra.package

# the stand-in for the paid service, for compose.yaml only
FROM ${PYTHON_IMAGE} AS simulator
WORKDIR /app
COPY local/requirements-simulator.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements-simulator.txt
COPY local local
USER 65534:65534
EXPOSE 8090
HEALTHCHECK --interval=10s --timeout=3s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8090/_simulator/bill', timeout=2)"]
CMD ["python", "-m", "local.nano_banana_simulator", "--host", "0.0.0.0", "--port", "8090"]

FROM ${FUNCTIONS_IMAGE} AS functions
ENV AzureWebJobsScriptRoot=/home/site/wwwroot \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /home/site/wwwroot
COPY requirements.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.txt
COPY --from=package /source/build/functions ./
EXPOSE 80
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:80/healthz', timeout=4)"]
