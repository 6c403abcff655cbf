#!/usr/bin/env bash
# Tests the key service with the clients that people use: boto3, the AWS CLI, the AWS Encryption SDK.
#
#   scripts/kms.sh [PYTEST ARGUMENT...]
#
# KMSFS names the program (default: the newest build); KMSFS_KILLS how often the crash test kills the
# server (default 10). The clients, at the versions of tests/kms/requirements.txt, go to
# target/kms-clients.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

clients=$(realpath -m "${CARGO_TARGET_DIR:-target}")/kms-clients
python3 -c 'import ensurepip' 2>/dev/null || install_missing kms-venv=python3-venv
if ! cmp -s tests/kms/requirements.txt "$clients/installed"; then
    say "Installing the AWS clients"
    python3 -m venv --clear "$clients"
    "$clients/bin/pip" install --quiet --disable-pip-version-check -r tests/kms/requirements.txt
    cp tests/kms/requirements.txt "$clients/installed"
fi
exec "$clients/bin/python" -B -m pytest tests/kms -q "$@"
