#!/usr/bin/env bash
# Builds the wheel, installs it with its dependencies for each Python that is named (by default
# python3.11, python3.12 and python3.13, where present), and analyses a drawn smear from another
# folder.
#     scripts/wheel_smoke_test.sh [PYTHON ...]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH
[ $# -gt 0 ] || set -- python3.11 python3.12 python3.13

# A copy: an old "build" folder would bring back modules that are gone.
mkdir "$work/source"
cp -r "$root/pyproject.toml" "$root/README.md" "$root/LICENSE" "$root/src" "$work/source"
rm -rf "$work"/source/src/*.egg-info

wheel=
for python in "$@"; do
    if ! "$python" -c '' 2>/dev/null; then
        echo "$python: not here, skipped"
        continue
    fi
    folder="$work/$(basename "$python")"
    "$python" -m venv "$folder"
    pip=("$folder/bin/pip" --disable-pip-version-check --quiet)
    if [ -z "$wheel" ]; then
        "${pip[@]}" wheel --no-deps --wheel-dir "$work" "$work/source"
        wheel=$(ls "$work"/*.whl)
    fi
    "${pip[@]}" install --constraint "$root/constraints.txt" "$wheel"
    (
        cd "$folder"
        bin/bloodcells --version
        bin/bloodcells synthesize --output smears --count 1 >/dev/null
        bin/bloodcells analyze smears/images --output-dir results >/dev/null
        bin/python -c 'import blood_cell_system as bcs
print(dict(bcs.analyze("smears/images/smear_00000.png").counts))'
        test -f results/index.html
    )
    echo "$python: fine"
done
[ -n "$wheel" ] || { echo "none of these Pythons is here: $*"; exit 1; }
