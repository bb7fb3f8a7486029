#!/usr/bin/env bash
# Builds and tests the workspace in tests/consumer, which uses glia's targets as another repository does.
set -u
root=$(dirname "$(readlink -f WORKSPACE)")
export HOME=$TEST_TMPDIR USER=nobody
cd "$root/tests/consumer" || exit 1
bazel=(bazel "--output_user_root=$TEST_TMPDIR/bazel" --max_idle_secs=5)
"${bazel[@]}" test --experimental_convenience_symlinks=ignore //...
status=$?
"${bazel[@]}" shutdown
exit $status
