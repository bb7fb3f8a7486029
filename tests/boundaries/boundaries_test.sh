#!/usr/bin/env bash
# Which packages a target may reach. Each line: target's closure, then patterns it must not match.
set -u
cd tests/boundaries || exit 1
failures=0

# refuse CLOSURE PATTERN: no target of the closure matches.
refuse() {
  if grep -E -- "$2" "$1"; then
    echo "FAIL: $1 reaches the above, which match $2" >&2
    failures=$((failures + 1))
  fi
}
# expect CLOSURE PATTERN: one does; a closure that lost its content would pass every refusal.
expect() {
  if ! grep -qE -- "$2" "$1"; then
    echo "FAIL: $1 does not reach $2" >&2
    failures=$((failures + 1))
  fi
}

# Deployment needs no compiler and no frontend.
for closure in torch_neuron_deps digits_deploy_deps; do
  refuse $closure '^//(compiler|frontend)[/:]'
  refuse $closure '^//serialization/hlo'
  expect $closure '^//runtime:nrt$'
  expect $closure '^@libtorch//'
done

# Torch stays in the frontend and in runtime/torch.
for closure in compiler_deps nrt_deps neff_deps hlo_deps glia_hlo_deps; do
  refuse $closure '^@libtorch//'
done

expect glia_hlo_deps '^//compiler:compile$'

# A stage depends on serialization, never on another stage.
refuse compiler_deps '^//(frontend|runtime|device_sim)[/:]'
expect compiler_deps '^//serialization/hlo'
refuse nrt_deps '^//(frontend|compiler)[/:]'
refuse nrt_deps '^//serialization/hlo'
expect nrt_deps '^//device_sim:device$'
for closure in capture_deps lowering_deps; do
  refuse $closure '^//(compiler|runtime|device_sim)[/:]'
  expect $closure '^@libtorch//'
done
refuse capture_deps '^//serialization/'
refuse neff_deps '^//(frontend|compiler|runtime|device_sim)[/:]'
refuse hlo_deps '^//(frontend|compiler|runtime|device_sim)[/:]'

# The compositions join them.
for stage in compiler frontend/capture frontend/lowering runtime; do
  expect lazy_deps "^//$stage[/:]"
done

exit $((failures > 0))
