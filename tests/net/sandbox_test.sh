#!/usr/bin/env bash
# Tests run without network. Where the kernel lets Bazel make no network namespace, it falls back to
# running tests as they are: that is said, not failed, as no setting of this workspace can change it.
set -u
interfaces=$(awk -F: 'NR > 2 {gsub(/ /, "", $1); print $1}' /proc/net/dev)
if [[ "$interfaces" == lo || -z "$interfaces" ]]; then
  echo "no network besides the loopback interface"
  exit 0
fi
if unshare --user --net true 2>/dev/null; then
  echo "FAIL: this test sees the interfaces $interfaces although namespaces work here" >&2
  exit 1
fi
echo "SKIPPED: no user namespaces on this machine, so Bazel cannot take the network away"
