#!/usr/bin/env bash
# Two runs of the example with one NEFF cache: the second compiles nothing, and simulates the same time.
set -eu
export NEURON_COMPILE_CACHE_URL=$TEST_TMPDIR/cache
for run in 1 2; do
  examples/trace_vs_lazy --json >"$TEST_TMPDIR/run$run.json"
done
/usr/bin/python3 tests/examples/check_rows.py "$TEST_TMPDIR/run1.json" "$TEST_TMPDIR/run2.json"
examples/trace_vs_lazy >"$TEST_TMPDIR/table.txt"
grep -q 'has shape \[2, 6\]; the model was traced with \[1, 4\]' "$TEST_TMPDIR/table.txt"
grep -q 'a new shape is a new graph' "$TEST_TMPDIR/table.txt"
