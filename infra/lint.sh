#!/bin/sh
# Checks everything that is deployed or built, as far as files can be checked: make lint-infra.
# A tool that can't be had is named and left out; a finding of any other one fails.
set -u

venv=.run/infra-venv
bin=$venv/bin
failed=0

locked() { "$bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --require-hashes "$@"; }

install() {
    mkdir -p .run && chmod go= .run
    [ -x "$bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
    stamp=$venv/.installed
    if [ -f "$stamp" ] && cmp -s infra/requirements.txt "$stamp"; then return; fi
    if ! locked --no-deps -r infra/requirements.txt >"$venv/pip.log" 2>&1; then
        # one of them can't be had: take the others, still with the versions and hashes of the lock
        sed -n 's/^\([a-z][^ ]*\)==.*/\1/p' infra/requirements.in | while read -r package; do
            "${PYTHON:-python3}" -m infra.locks --excerpt infra/requirements.txt --package "$package" >"$venv/wanted"
            locked --no-deps -r "$venv/wanted" >>"$venv/pip.log" 2>&1 ||
                echo "could not install $package: $(tail -n 1 "$venv/pip.log")"
        done
    fi
    cp infra/requirements.txt "$stamp"
}

# check NAME PROGRAM ARGUMENT...: runs it, reports how it went
check() {
    name=$1 program=$2
    shift 2
    if ! command -v "$program" >/dev/null 2>&1; then
        echo "$name: skipped, $program is not here"
        return
    fi
    if output=$("$program" "$@" 2>&1); then
        echo "$name: clean"
    else
        printf '%s: FAILED\n%s\n' "$name" "$output"
        failed=1
    fi
}

checkov_scan() {
    # without the network: neither guidelines nor results travel
    check "checkov" "$bin/checkov" --framework "$@" --directory . --quiet --compact --skip-download \
        --skip-path '.venv' --skip-path '.run' --skip-path 'node_modules' --skip-path 'tests'
}

# every file, because a module that nothing calls is compiled with no other
# shellcheck disable=SC2329
bicep_lint() {
    for file in infra/main.bicep infra/modules/*.bicep; do
        # a warning is a finding too, and leaves its exit status at 0
        findings=$(bicep lint "$file" 2>&1)
        [ -z "$findings" ] || { echo "$findings"; return 1; }
    done
}

# shellcheck disable=SC2329
bicep_format() {
    for file in infra/main.bicep infra/modules/*.bicep; do
        bicep format "$file" --stdout | diff -u "$file" - || return 1
    done
}

# what would be deployed; after a change that is meant: SNAPSHOTS=overwrite make lint-infra, and the diff shows what it does
# shellcheck disable=SC2329
bicep_snapshots() {
    for file in infra/snapshots/*.bicepparam; do
        bicep snapshot "$file" --mode "${SNAPSHOTS:-validate}" --location swedencentral \
            --subscription-id 00000000-0000-0000-0000-000000000000 \
            --tenant-id 00000000-0000-0000-0000-000000000000 || return 1
    done
    # a test compares these hashes where there is no compiler
    [ "${SNAPSHOTS:-validate}" = validate ] || "${PYTHON:-python3}" -m infra.snapshot_sources
}

if command -v bicep >/dev/null 2>&1; then
    check "bicep lint" bicep_lint
    check "bicep format" bicep_format
    check "bicep snapshots" bicep_snapshots
else
    echo "bicep: skipped, bicep is not here; tests/infra holds the snapshots against hashes of the sources"
fi
install
check "hadolint" "$bin/hadolint" Dockerfile gpu_container/Dockerfile
check "shellcheck" "$bin/shellcheck" infra/hooks/*.sh infra/*.sh gpu_container/install.sh
check "actionlint" "$bin/actionlint" -shellcheck "$bin/shellcheck" .github/workflows/ci.yml .github/workflows/deploy.yml
check "yamllint" "$bin/yamllint" --strict --config-file infra/.yamllint .github azure.yaml compose.yaml
check "compose schema" "$bin/check-jsonschema" --builtin-schema vendor.compose-spec compose.yaml
check "workflow schema" "$bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/ci.yml .github/workflows/deploy.yml
if docker compose version >/dev/null 2>&1; then
    check "docker compose config" docker compose --profile gpu --profile monitoring --profile durable-task-scheduler config --quiet
else
    check "docker compose config" docker-compose --profile gpu --profile monitoring --profile durable-task-scheduler config --quiet
fi
checkov_scan bicep dockerfile github_actions
exit $failed
