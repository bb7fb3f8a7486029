"""Compile TorchScript files at build time.

    load("@glia//tools:defs.bzl", "neuron_compile")

    neuron_compile(
        name = "mlp_traced",          # makes mlp_traced.pt
        model = "mlp.pt",
        inputs = ["f32[1,784]"],
        compiler_args = ["--auto-cast", "none"],
    )
"""

def _neuron_compile_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".pt")
    args = ctx.actions.args()
    args.add("compile")
    args.add(ctx.file.model)
    args.add("--output", out)
    for spec in ctx.attr.inputs:
        args.add("--input", spec)
    if ctx.attr.dynamic_batch:
        args.add("--dynamic-batch")
    if ctx.attr.partition:
        args.add("--partition")
    args.add("--")
    args.add_all(ctx.attr.compiler_args)
    ctx.actions.run(
        outputs = [out],
        inputs = [ctx.file.model],
        executable = ctx.executable._glia,
        arguments = [args],
        mnemonic = "NeuronCompile",
        progress_message = "Compiling %s for NeuronCore" % ctx.label,
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([out]), runfiles = ctx.runfiles(files = [out]))]

neuron_compile = rule(
    implementation = _neuron_compile_impl,
    doc = "Traces a TorchScript file for the given input types; the result is a traced module.",
    attrs = {
        "model": attr.label(mandatory = True, allow_single_file = [".pt", ".pth"]),
        "inputs": attr.string_list(mandatory = True, doc = "types and shapes, such as f32[1,784]"),
        "compiler_args": attr.string_list(doc = "options of neuronx-cc"),
        "dynamic_batch": attr.bool(),
        "partition": attr.bool(doc = "operators that the device refuses run on the CPU"),
        # Built as the target: the exec configuration would build all of it a second time.
        "_glia": attr.label(default = Label("//tools:glia"), executable = True, cfg = "target"),
    },
)
