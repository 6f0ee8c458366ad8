#!/usr/bin/env bash
# Lints the Dockerfile, where hadolint is, builds the image, where Docker answers, and tries it: as
# which user it runs, an analysis of a drawn smear, and a review server that gets healthy.
#     scripts/container_check.sh [IMAGE_NAME]
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:-blood-cell-system:check}
if command -v hadolint >/dev/null; then
    hadolint Dockerfile && echo "hadolint: fine"
else
    echo "hadolint: not here, skipped"
fi
if ! docker info >/dev/null 2>&1; then
    echo "docker: no daemon answers, skipped"
    exit 0
fi
docker build --tag "$image" .
[ "$(docker run --rm --entrypoint id "$image" -u)" != 0 ] || { echo "it runs as root"; exit 1; }
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || docker rm --force "$server" >/dev/null; rm -rf "$work"' EXIT
run=(docker run --user "$(id -u):$(id -g)" --volume "$work:/work")
"${run[@]}" --rm "$image" synthesize --output smears --count 1
"${run[@]}" --rm "$image" analyze smears/images --output-dir results
test -f "$work/results/cells.parquet"
server=$("${run[@]}" --detach --health-interval 2s "$image" review results --host 0.0.0.0)
for _ in $(seq 60); do
    state=$(docker inspect --format '{{.State.Health.Status}}' "$server")
    [ "$state" != healthy ] || { echo "image: fine"; exit 0; }
    sleep 2
done
docker logs "$server"
echo "the review server is $state"
exit 1
