"""What @com_google_protobuf holds besides the library: protoc, the well-known types, the toolchain that
cc_proto_library asks for, and the .bzl files that BUILD files load in newer versions."""

_WELL_KNOWN = [
    "any",
    "api",
    "descriptor",
    "duration",
    "empty",
    "field_mask",
    "source_context",
    "struct",
    "timestamp",
    "type",
    "wrappers",
]

_WELL_KNOWN_DEPS = {
    "api": [":source_context_proto", ":type_proto"],
    "type": [":any_proto", ":source_context_proto"],
}

_TOOLCHAIN = """
load("@rules_proto//proto:defs.bzl", "proto_lang_toolchain", "proto_library")

exports_files(["protoc"])

proto_lang_toolchain(
    name = "cc_toolchain",
    blacklisted_protos = %r,
    command_line = "--cpp_out=$(OUT)",
    runtime = ":protobuf",
)
"""

_LIBRARY = """
proto_library(
    name = "%s_proto",
    srcs = ["google/protobuf/%s.proto"],
    deps = %r,
)
"""

PROTOBUF_BUILD = (_TOOLCHAIN % [":%s_proto" % name for name in _WELL_KNOWN]) + "".join([
    _LIBRARY % (name, name, _WELL_KNOWN_DEPS.get(name, []))
    for name in _WELL_KNOWN
])

PROTOBUF_LINKS = dict([("protoc", "/usr/bin/protoc")] + [
    ("google/protobuf/%s.proto" % name, "/usr/include/google/protobuf/%s.proto" % name)
    for name in _WELL_KNOWN
])

PROTOBUF_FILES = {
    "bazel/BUILD": "",
    "bazel/cc_proto_library.bzl": "cc_proto_library = native.cc_proto_library\n",
    "bazel/proto_library.bzl": "proto_library = native.proto_library\n",
}
