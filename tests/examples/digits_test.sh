#!/usr/bin/env bash
# The digits example: three ways to run one network agree, and it learned something.
set -eu
export NEURON_COMPILE_CACHE_URL=$TEST_TMPDIR/cache TMPDIR=$TEST_TMPDIR
examples/digits | tee "$TEST_TMPDIR/out.txt"
for way in traced deployed lazy; do
  line=$(grep "^$way: agrees with CPU eager on 100.00 %" "$TEST_TMPDIR/out.txt")
  awk -v d="${line##* }" 'BEGIN { exit !(d <= 1e-5) }'
  grep -qE "^$way: accuracy 9[0-9]\." "$TEST_TMPDIR/out.txt"
done
