#!/usr/bin/env bash
# The include lines of the sources keep the dependency rules that BUILD files cannot enforce for headers
# on the compiler's default path.
set -u
root=$(dirname "$(readlink -f WORKSPACE)")
cd "$root" || exit 1
failures=0

# refuse PATTERN DIRECTORY...: no source below includes it.
refuse() {
  local pattern=$1
  shift
  if grep -rnE --include='*.h' --include='*.cc' --include='*.c' --include='*.inc' \
      "^ *# *include *[<\"]($pattern)" "$@"; then
    echo "FAIL: the above include $pattern" >&2
    failures=$((failures + 1))
  fi
}

[[ -d serialization && -d compiler && -d device_sim && -d runtime ]] || {
  echo "FAIL: no sources at $root" >&2
  exit 1
}
refuse '(torch|ATen|c10|caffe2)/' serialization compiler device_sim
refuse '(torch|ATen|c10|caffe2)/' $(find runtime -maxdepth 1 -type f) runtime/nrt runtime/ndl
refuse 'device_sim/' serialization frontend tools examples runtime/torch
refuse '(compiler|runtime|device_sim|nrt)/' frontend/capture frontend/lowering serialization
refuse '(frontend|runtime|nrt)/' compiler device_sim
refuse 'torch/torch\.h' frontend runtime tools

exit $((failures > 0))
