#!/bin/sh
# Installs the browser that the tests of the report page drive, where it is missing and may be
# installed: Debian's Chromium, as root. Elsewhere these tests are skipped and say why.
for browser in chromium chromium-browser google-chrome; do
    command -v "$browser" >/dev/null && exit 0
done
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "installing chromium for the tests of the report page"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes \
        --no-install-recommends chromium >/dev/null && exit 0
fi
echo "no browser: tests of the report page are skipped. Install chromium to run them."
