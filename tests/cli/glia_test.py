"""The `glia` command line as a user meets it: models go in, files and messages come out."""

import json
import os
import re
import resource
import subprocess
import tempfile
import unittest
import zipfile

import numpy
import torch
from torch import nn

GLIA = os.path.abspath("tools/glia")


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(784, 100)
        self.out = nn.Linear(100, 10)

    def forward(self, x):
        return torch.log_softmax(self.out(torch.relu(self.hidden(x))), dim=-1)


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2))
        self.out = nn.Linear(16 * 3 * 3, 5)
        for module in self.modules():  # statistics as after training
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.5, 0.5)
                nn.init.uniform_(module.running_var, 0.5, 2)

    def forward(self, x):
        return self.out(torch.flatten(self.features(x), 1))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 24)
        self.out = nn.Linear(24, 3)

    def forward(self, words):
        return self.out(self.words(words).mean(dim=1))


class TwoOutputs(nn.Module):
    def forward(self, x, y):
        return x + y, x * y


class Branch(nn.Module):
    def forward(self, x):
        if bool(x.sum() > 0):
            return x + 2
        return x - 1


class Fourier(nn.Module):
    def forward(self, x):
        return torch.real(torch.fft.fft(x))


class Spectrum(nn.Module):
    def forward(self, x):
        y = torch.relu(x * 2 + 1)
        return torch.tanh(torch.real(torch.fft.fft(y)) * 0.1) + y.sum()


MODELS = {  # the model, its --input, an example
    "mlp": (Mlp, "f32[1,784]", lambda: torch.rand(1, 784)),
    "conv": (ConvNet, "f32[2,3,16,16]", lambda: torch.rand(2, 3, 16, 16)),
    "classifier": (Classifier, "i64[2,7]", lambda: torch.randint(50, (2, 7))),
}
FORMS = {
    "scripted": lambda model, example: torch.jit.script(model),
    "traced": torch.jit.trace,
    "frozen": lambda model, example: torch.jit.freeze(torch.jit.script(model)),
}


class GliaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        cls.addClassCleanup(temporary.cleanup)
        cls.shared = temporary.name
        torch.manual_seed(0)
        cls.models = {name: make().eval() for name, (make, _, _) in MODELS.items()}
        for name, model in cls.models.items():
            for form, save in FORMS.items():
                save(model, MODELS[name][2]()).save(f"{cls.shared}/{name}_{form}.pt")
        torch.jit.script(TwoOutputs().eval()).save(f"{cls.shared}/two.pt")
        torch.jit.script(Fourier().eval()).save(f"{cls.shared}/fourier.pt")
        cls.run_glia("compile", f"{cls.shared}/mlp_scripted.pt", "--input", "f32[1,784]",
                     "--output", f"{cls.shared}/mlp.pt")
        cls.run_glia("compile", f"{cls.shared}/two.pt", "--input=f32[3,5]", "--input=f32[3,5]",
                     f"--output={cls.shared}/two_traced.pt")

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(temporary.cleanup)
        self.dir = temporary.name

    @staticmethod
    def call(*words, cwd=None, flags="--auto-cast none", **options):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NEURON_")}
        environment.pop("BUILD_WORKING_DIRECTORY", None)
        environment["NEURON_CC_FLAGS"] = flags  # options of a call come after it
        return subprocess.run([GLIA, *words], cwd=cwd, env=environment, capture_output=True,
                              text=True, timeout=120, check=False, **options)

    @classmethod
    def run_glia(cls, *words, **options):
        """What the command prints; it must succeed, and complain of nothing."""
        done = cls.call(*words, **options)
        if done.returncode != 0 or done.stderr:
            raise AssertionError(f"glia {words}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def fails(self, *words, prints="", **options):
        """The message of a command that must fail, leaving its directory as it was."""
        before = sorted(os.listdir(self.dir))
        done = self.call(*words, **options)
        self.assertEqual(done.returncode, 1, done)
        self.assertTrue(done.stdout.startswith(prints) if prints else not done.stdout, done)
        self.assertTrue(done.stderr.startswith(f"glia {words[0]}: "), done.stderr)
        self.assertTrue(done.stderr.endswith("\n") and not done.stderr.endswith("\n\n"))
        self.assertEqual(sorted(os.listdir(self.dir)), before)
        return done.stderr[len(f"glia {words[0]}: "):]

    def compile_fails(self, model, *words):
        return self.fails("compile", model, *words, "--output", f"{self.dir}/out.pt")

    def differences(self, text):
        found = re.findall(r"^output \d+: largest difference (\S+), relative", text, re.M)
        return [float(d) for d in found]

    # What works.

    def test_every_form_of_every_model_agrees_with_the_cpu(self):
        for name, (_, spec, _) in MODELS.items():
            for form in FORMS:
                with self.subTest(model=name, form=form):
                    original = f"{self.shared}/{name}_{form}.pt"
                    out = f"{self.dir}/{name}_{form}.pt"
                    text = self.run_glia("compile", original, "--input", spec, "--output", out)
                    self.assertRegex(text, r": [1-9]\d* operators, [1-9]\d* instructions, NEFF of ")
                    text = self.run_glia("run", out, "--compare", original)
                    self.assertEqual(len(self.differences(text)), 1, text)
                    self.assertLessEqual(self.differences(text)[0], 1e-5)
        self.assertEqual(len(os.listdir(self.dir)), len(MODELS) * len(FORMS))

    def test_arrays_in_and_out(self):
        for name, (_, spec, example) in MODELS.items():
            with self.subTest(model=name):
                x = example()
                numpy.save(f"{self.dir}/x.npy", numpy.asfortranarray(x.numpy()))
                self.run_glia("compile", f"{self.shared}/{name}_traced.pt", "--input", spec,
                              "--output", f"{self.dir}/m.pt")
                text = self.run_glia("run", "m.pt", "--input", "x.npy", "--output", "y.npy",
                                     cwd=self.dir)
                self.assertRegex(text, r"^simulated device time: \d+\.\d+ us\n$")
                with torch.no_grad():
                    want = self.models[name](x).numpy()
                got = numpy.load(f"{self.dir}/y.npy")
                self.assertEqual((got.dtype, got.shape), (want.dtype, want.shape))
                numpy.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
        self.assertEqual(sorted(os.listdir(self.dir)), ["m.pt", "x.npy", "y.npy"])

    def test_several_inputs_and_outputs(self):
        x = numpy.arange(15, dtype=numpy.float32).reshape(3, 5)
        y = numpy.linspace(-2, 2, 15, dtype=numpy.float32).reshape(3, 5)
        numpy.save(f"{self.dir}/x.npy", x)
        numpy.save(f"{self.dir}/y.npy", y)
        text = self.run_glia("run", f"{self.shared}/two_traced.pt", "--input=x.npy",
                             "--input=y.npy", "--output=sum.npy", cwd=self.dir)
        numpy.testing.assert_array_equal(numpy.load(f"{self.dir}/sum.npy"), x + y)
        self.assertIn("[ CPUFloatType{3,5} ]", text)  # the product is printed
        text = self.run_glia("run", f"{self.shared}/two_traced.pt", "--compare",
                             f"{self.shared}/two.pt")
        self.assertEqual(self.differences(text), [0, 0])

    def test_runs_repeat_exactly(self):
        model = f"{self.shared}/mlp.pt"
        first = self.run_glia("run", model)
        self.assertRegex(first, r"simulated device time: [1-9]\d*\.\d+ us")
        self.assertEqual(self.run_glia("run", model), first)
        time = re.search(r"simulated.*", first).group()
        text = self.run_glia("run", model, "--repeat", "3", "--seed", "1")
        self.assertIn(time, text)
        self.assertRegex(text, r"median of 3 calls: \d+\.\d us")
        self.assertNotEqual(self.run_glia("run", model, "--seed", "1"), first)

    def test_compilation_repeats_exactly(self):
        neffs = []
        for i in range(2):
            out = f"{self.dir}/{i}.pt"
            self.run_glia("compile", f"{self.shared}/conv_traced.pt", "--input", "f32[2,3,16,16]",
                          "--output", out)
            neffs.append(self.extract_neff(out))
        self.assertEqual(neffs[0], neffs[1])

    def test_dynamic_batch(self):
        out = f"{self.dir}/m.pt"
        self.run_glia("compile", f"{self.shared}/mlp_scripted.pt", "--input", "f32[2,784]",
                      "--dynamic-batch", "--output", out)
        x = torch.rand(5, 784)
        numpy.save(f"{self.dir}/x.npy", x.numpy())
        self.run_glia("run", out, "--input", f"{self.dir}/x.npy", "--output", f"{self.dir}/y.npy")
        with torch.no_grad():
            want = self.models["mlp"](x).numpy()
        numpy.testing.assert_allclose(numpy.load(f"{self.dir}/y.npy"), want, rtol=0, atol=1e-5)
        self.assertIn("any batch size", self.run_glia("inspect", out))

    def test_weights_beside_the_neff(self):
        out = f"{self.dir}/m.pt"
        original = f"{self.shared}/mlp_scripted.pt"
        self.run_glia("compile", original, "--input", "f32[1,784]", "--keep-weights", "--name",
                      "kept", "--output", out)
        self.assertRegex(self.run_glia("inspect", out),
                         r"traced module 'kept': 1 bucket, 4 weights beside the NEFF\n")
        text = self.run_glia("run", out, "--compare", original)
        self.assertLessEqual(self.differences(text)[0], 1e-5)

    def test_compiler_options_and_dump(self):
        out = f"{self.dir}/m.pt"
        original = f"{self.shared}/mlp_scripted.pt"
        self.run_glia("compile", original, "--input", "f32[1,784]", "--output", out, "--dump",
                      f"{self.dir}/dump", "--", "--auto-cast", "all")
        self.assertTrue(os.listdir(f"{self.dir}/dump"))
        self.assertIn("--auto-cast=all", self.run_glia("inspect", out))
        # bf16 holds eight bits: near the result, and not it.
        difference = self.differences(self.run_glia("run", out, "--compare", original))[0]
        self.assertGreater(difference, 1e-5)
        self.assertLess(difference, 0.1)

    def test_products_are_rounded_to_bf16_by_default(self):
        original = f"{self.shared}/mlp_scripted.pt"
        flags = []
        for options in ((), ("--", "--auto-cast", "matmult"), ("--", "--auto-cast", "none")):
            out = f"{self.dir}/m.pt"
            self.run_glia("compile", original, "--input", "f32[1,784]", "--output", out, *options,
                          flags="")
            flags.append(re.search(r"--auto-cast=(\w+)", self.run_glia("inspect", out)).group(1))
            difference = self.differences(self.run_glia("run", out, "--compare", original))[0]
            if flags[-1] == "none":
                self.assertLessEqual(difference, 1e-5)
            else:
                self.assertGreater(difference, 1e-5)
                self.assertLess(difference, 0.02)
        self.assertEqual(flags, ["matmult", "matmult", "none"])

    # inspect

    def extract_neff(self, path):
        """A traced module is a zip archive, the NEFF the data of its first tensor."""
        with zipfile.ZipFile(path) as archive:
            [name] = [n for n in archive.namelist() if re.search(r"/data/0$", n)]
            return archive.read(name)

    def test_inspect_of_a_traced_module(self):
        text = self.run_glia("inspect", f"{self.shared}/mlp.pt")
        for line in ("  input   x:f32[1,784]", "  output  output0:f32[1,10]", "header", "archive",
                     "tensors", "memory"):
            self.assertIn(line + "\n", text)
        self.assertRegex(text, r"\n  PE +\d+  .*matmul \d+")
        self.assertRegex(text, r"\nsimulated time +\d+\.\d+ us")

    def test_inspect_of_a_neff(self):
        neff = self.extract_neff(f"{self.shared}/mlp.pt")
        with open(f"{self.dir}/mlp.neff", "wb") as file:
            file.write(neff)
        text = self.run_glia("inspect", "mlp.neff", cwd=self.dir)
        self.assertTrue(self.run_glia("inspect", f"{self.shared}/mlp.pt").endswith(text))
        longer = self.run_glia("inspect", "mlp.neff", "--disassemble", cwd=self.dir)
        self.assertTrue(longer.startswith(text))
        program = longer[len(text):]
        for word in ("matmul", "activate", "dma"):
            self.assertIn(word, program)
        for size in (0, 3, 100, 1024, len(neff) // 2, len(neff) - 1):
            with self.subTest(size=size):
                with open(f"{self.dir}/mlp.neff", "wb") as file:
                    file.write(neff[:size])
                # A whole header is worth showing.
                self.assertIn("mlp.neff: ", self.fails("inspect", f"{self.dir}/mlp.neff",
                                                       prints="header\n" if size >= 1024 else ""))

    def test_partition(self):
        out = f"{self.dir}/o.pt"
        torch.jit.script(Spectrum()).save(f"{self.dir}/spectrum.pt")
        self.run_glia("compile", f"{self.dir}/spectrum.pt", "--input", "f32[2,8]", "--partition",
                      "--output", out, "--", "--auto-cast", "none")
        text = self.run_glia("inspect", out)
        self.assertTrue(text.startswith("partitioned module\n  input   x:f32[2,8]\n"
                                        "  part    neuron_0\n  part    cpu_1\n"
                                        "  part    neuron_2\n"), text)
        text = self.run_glia("run", out, "--compare", f"{self.dir}/spectrum.pt")
        self.assertRegex(text, r"simulated device time: [1-9]")
        self.assertLessEqual(self.differences(text)[0], 1e-4)

    def test_lazy(self):
        model = f"{self.dir}/spectrum.pt"
        torch.jit.script(Spectrum()).save(model)
        done = self.call("run", model, "--lazy", "--input", "f32[2,8]", "--compare", model)
        self.assertEqual(done.returncode, 0, done)
        self.assertLessEqual(self.differences(done.stdout)[0], 1e-4)
        self.assertRegex(done.stdout, r"(?m)^[1-9] operators ran on the CPU$")
        self.assertIn("capture.host.aten::_fft_r2c 1\n", done.stdout)
        self.assertIn("no lowering for aten::_fft_r2c", done.stderr)

    # analyze

    def test_analyze(self):
        model = f"{self.shared}/mlp_scripted.pt"
        text = self.run_glia("analyze", model, "--input", "f32[1,784]")
        self.assertTrue(text.startswith("supported: 100.00% of the operators\n"), text)
        self.assertRegex(text, r"\n +2  aten::linear\n")
        found = json.loads(self.run_glia("analyze", model, "--json", "--input", "f32[1,784]"))
        self.assertEqual(list(found), ["torch_neuronx_version", "neuronx_cc_version",
                                       "support_percentage", "supported_operators",
                                       "unsupported_operators"])
        self.assertEqual(found["supported_operators"],
                         {"aten::linear": 2, "aten::relu": 1, "aten::log_softmax": 1})
        self.assertEqual(found["unsupported_operators"], [])

    def test_analyze_names_what_is_not_supported(self):
        model = f"{self.shared}/fourier.pt"
        found = json.loads(self.run_glia("analyze", model, "--json", "--input", "f32[1,8]"))
        self.assertEqual(found["unsupported_operators"][0]["kind"], "aten::fft_fft")
        operator = found["unsupported_operators"][0]
        self.assertEqual(operator["failureAt"], "Lowering to HLO")
        self.assertRegex(operator["call"], r"glia_test\.py\(\d+\): forward\n")
        self.assertIn("aten::fft_fft(%self", operator["opGraph"])
        self.assertIn("not supported:\n", self.run_glia("analyze", model, "--input", "f32[1,8]"))
        ignored = json.loads(self.run_glia("analyze", model, "--json", "--input", "f32[1,8]",
                                           "--ignore", "aten::fft_fft", "--ignore", "aten::real",
                                           "--ignore", "aten::view_as_real"))
        self.assertNotIn("aten::fft_fft",
                         [o["kind"] for o in ignored["unsupported_operators"]])

    def test_example_inputs_from_files(self):
        torch.jit.script(Branch()).save(f"{self.dir}/branch.pt")
        numpy.save(f"{self.dir}/x.npy", numpy.ones((2, 3), dtype=numpy.float32))
        for inputs, want in (("f32[2,3]", -1), ("x.npy", 2)):
            done = self.call("compile", "branch.pt", "--input", inputs, "--output", "o.pt",
                             cwd=self.dir)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("depends on the inputs", done.stderr)
            self.assertRegex(done.stderr, r"glia_test\.py:\d+ in forward")
            self.run_glia("run", "o.pt", "--input", "x.npy", "--output", "y.npy", cwd=self.dir)
            numpy.testing.assert_array_equal(numpy.load(f"{self.dir}/y.npy"),
                                             numpy.full((2, 3), 1 + want if want > 0 else 0))

    # What fails says why, and leaves nothing.

    def test_a_full_disk(self):
        # A limit on the size of files stands for it.
        full = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
                "restore_signals": False}  # an error instead of SIGXFSZ
        out = f"{self.dir}/out.pt"
        self.assertRegex(self.fails("compile", f"{self.shared}/mlp_scripted.pt", "--input",
                                    "f32[1,784]", "--output", out, **full),
                         f"cannot write '{out}': ")

    def test_missing_files(self):
        missing = f"{self.dir}/missing.pt"
        for words in (("compile", missing, "--input=f32[1]", f"--output={self.dir}/o.pt"),
                      ("run", missing), ("inspect", missing),
                      ("run", f"{self.shared}/mlp.pt", "--compare", missing)):
            with self.subTest(words=words):
                self.assertIn(f"cannot read '{missing}': No such file", self.fails(*words))
        self.assertIn("missing.npy: cannot be opened",
                      self.fails("run", f"{self.shared}/mlp.pt", "--input",
                                 f"{self.dir}/missing.npy"))

    def test_files_of_another_kind(self):
        text = f"{self.dir}/text.pt"
        with open(text, "w", encoding="ascii") as file:
            file.write("no model\n" * 100)
        self.assertIn(f"cannot load '{text}' as TorchScript", self.compile_fails(text))
        self.assertIn(f"cannot load '{text}' as TorchScript", self.fails("run", text))
        self.assertIn("not a NEFF", self.fails("inspect", text))
        self.assertIn(f"cannot load '{self.dir}' as TorchScript", self.fails("run", self.dir))
        model = f"{self.shared}/mlp_scripted.pt"
        self.assertIn("is no traced module", self.fails("run", model))
        self.assertIn("was not traced", self.fails("inspect", model))
        self.assertIn(f"{text}: is no .npy file",
                      self.fails("run", f"{self.shared}/mlp.pt", "--input", text))

    def test_files_that_are_nearly_right(self):
        torch.save(Mlp().state_dict(), f"{self.dir}/state.pt")
        with open(f"{self.dir}/model.onnx", "wb") as file:
            file.write(b"\x08\x08\x12\x07pytorch\x1a\x031.0" + bytes(64))
        with open(f"{self.dir}/empty.pt", "wb"):
            pass
        for name, why in (("state.pt", "state dict"), ("model.onnx", "ONNX"), ("empty.pt", "empty")):
            for words in (("analyze", "--input=f32[1]"), ("run",)):
                message = self.fails(words[0], f"{self.dir}/{name}", *words[1:])
                self.assertIn(f"cannot load '{self.dir}/{name}' as TorchScript", message)
                self.assertIn(why, message.split("\n", maxsplit=1)[0])

    def test_truncated_modules(self):
        with open(f"{self.shared}/mlp.pt", "rb") as file:
            whole = file.read()
        cut = f"{self.dir}/cut.pt"
        for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
            with open(cut, "wb") as file:
                file.write(whole[:size])
            with self.subTest(size=size):
                self.assertIn(f"cannot load '{cut}' as TorchScript", self.fails("run", cut))
                self.assertIn(cut, self.fails("inspect", cut))

    def test_damaged_modules(self):
        with open(f"{self.shared}/mlp.pt", "rb") as file:
            damaged = bytearray(file.read())
        damaged[len(damaged) // 2] ^= 1  # within a weight: only a checksum can tell
        with open(f"{self.dir}/bad.pt", "wb") as file:
            file.write(damaged)
        self.fails("run", f"{self.dir}/bad.pt")
        self.fails("inspect", f"{self.dir}/bad.pt")

    def test_input_specifications(self):
        model = f"{self.shared}/mlp_scripted.pt"
        for spec, why in (("f32[1,784", "brackets"), ("q7[1]", "unknown dtype 'q7'"),
                          ("f32[1,-2]", "bad size '-2'"), ("f32[1,x]", "bad size 'x'"),
                          ("", "brackets"), ("f32[9999999999,9999999999]", "too many elements")):
            with self.subTest(spec=spec):
                message = self.compile_fails(model, "--input", spec)
                self.assertIn(f"'{spec}' is no tensor type: ", message)
                self.assertIn(why, message)

    def test_inputs_that_do_not_fit_the_model(self):
        model = f"{self.shared}/mlp_scripted.pt"
        for specs, why in (
                (("f32[1,783]",), "shapes cannot be multiplied (1x783 and 784x100)"),
                (("i64[1,784]",), "dtype"), ((), "missing value for argument 'x'"),
                (("f32[1,784]", "f32[1]"), "received 3 argument(s)")):
            with self.subTest(specs=specs):
                first_line = self.compile_fails(model, *[f"--input={s}" for s in specs])
                self.assertIn(why, first_line.split("\n", maxsplit=1)[0])

    def test_arrays_that_do_not_fit_the_module(self):
        for name, array in (("short", numpy.zeros((1, 783), "f4")),
                            ("int", numpy.zeros((1, 784), "i4")),
                            ("fits", numpy.zeros((1, 784), "f4")),
                            ("big", numpy.zeros((1, 784), ">f4"))):
            numpy.save(f"{self.dir}/{name}.npy", array)
        model = f"{self.shared}/mlp.pt"

        def message(*names):
            return self.fails("run", model, *[f"--input={self.dir}/{n}.npy" for n in names])

        # The reason comes first, PyTorch's traceback after it.
        lines = message("short").split("\n")
        self.assertIn("input 0 ('x') has shape [1, 783]; the model was traced with [1, 784]",
                      lines[0])
        self.assertIn("Traceback of TorchScript", "".join(lines[1:]))
        self.assertRegex(message("int").split("\n", maxsplit=1)[0], r"input 0 \('x'\).*i32")
        self.assertIn("big.npy: has elements of type '>f4'", message("big"))
        self.assertIn("takes 1 arguments, 2 tensors", message("fits", "fits"))
        numpy.save(f"{self.dir}/x.npy", numpy.zeros((3, 5), "f4"))
        self.assertIn("takes 2 arguments, 1 tensors",
                      self.fails("run", f"{self.shared}/two_traced.pt", "--input",
                                 f"{self.dir}/x.npy"))

    def test_unsupported_operator(self):
        message = self.compile_fails(f"{self.shared}/fourier.pt", "--input", "f32[1,8]")
        first_line = message.split("\n", maxsplit=1)[0]
        self.assertIn("aten::_fft_r2c(self=f32[1,8]", first_line)
        self.assertIn("there is no lowering for it", first_line)
        self.assertIn("torch.fft.fft(x)", message)  # the user's line

    def test_profile(self):
        text = self.run_glia("profile", f"{self.shared}/mlp.pt")
        for part in ("us simulated", "roofline", "critical path", "aten::linear"):
            self.assertIn(part, text)
        timeline = f"{self.dir}/timeline.json"
        found = json.loads(self.run_glia("profile", f"{self.shared}/mlp.pt", "--json",
                                         "--timeline", timeline))["profiles"]
        self.assertEqual(len(found), 1)
        simulated = f"{found[0]['simulated_us']:.6f} us"
        self.assertIn(simulated, text)
        # Running it takes as long.
        self.assertIn(simulated, self.run_glia("inspect", f"{self.shared}/mlp.pt"))
        with open(timeline, encoding="ascii") as file:
            self.assertGreater(len(json.load(file)["traceEvents"]), 10)
        self.assertIn("was not traced", self.fails("profile", f"{self.shared}/mlp_scripted.pt"))
        self.assertIn("usage: glia profile", self.fails("profile"))
        self.assertIn("cannot write", self.fails("profile", f"{self.shared}/mlp.pt",
                                                 f"--timeline={self.dir}/missing/x"))

    def test_hlo(self):
        hlo = f"{self.dir}/add.hlo"
        with open(hlo, "w", encoding="ascii") as file:
            file.write("""ENTRY main {
                x = f32[300] parameter(0)
                ROOT y = f32[300] add(x, x)
              }""")
        neff = f"{self.dir}/add.neff"
        self.assertIn("2 HLO instructions", self.run_glia("compile", hlo, "--output", neff))
        text = self.run_glia("profile", neff)
        self.assertEqual(text, self.run_glia("profile", hlo))
        self.assertIn("us simulated", text)
        self.assertIn("archive", self.run_glia("inspect", neff))
        self.assertIn('unknown compiler option "--bogus"',
                      self.fails("profile", hlo, "--", "--bogus"))
        with open(hlo, "w", encoding="ascii") as file:
            file.write("ENTRY main { x = f32[300] parameter(0) ROOT y = f32[300] frob(x) }")
        self.assertIn("frob", self.fails("compile", hlo, f"--output={self.dir}/bad.neff"))
        with open(neff, "r+b") as file:
            file.truncate(2000)
        self.assertIn("truncated NEFF", self.fails("profile", neff))

    def test_options(self):
        model = f"{self.shared}/mlp_scripted.pt"
        message = self.compile_fails(model, "--inputs", "f32[1,784]")
        self.assertIn("unknown option --inputs", message)
        self.assertIn("--input TYPE[SHAPE]", message)
        self.assertIn("unknown option --disassemble", self.fails("run", "--disassemble"))
        self.assertIn("--input needs a value", self.fails("compile", model, "--input"))
        self.assertIn("usage: glia compile", self.fails("compile", model, "--input=f32[1,784]"))
        self.assertIn("usage: glia run", self.fails("run"))
        self.assertIn("usage: glia inspect", self.fails("inspect", "a", "b"))
        traced = f"{self.shared}/mlp.pt"
        self.assertIn("--repeat must be at least 1", self.fails("run", traced, "--repeat=0"))
        self.assertIn("--max-int must be at least 1", self.fails("run", traced, "--max-int=0"))
        self.assertIn("--seed: 'x' is no number", self.fails("run", traced, "--seed=x"))
        self.assertIn('unknown compiler option "--bogus"',
                      self.fails("compile", model, "--input=f32[1,784]",
                                 f"--output={self.dir}/o.pt", "--", "--bogus"))

    def test_outputs_that_cannot_be_written(self):
        compile_mlp = ("compile", f"{self.shared}/mlp_scripted.pt", "--input=f32[1,784]",
                       "--output")
        os.mkdir(f"{self.dir}/taken")
        with open(f"{self.dir}/file", "w", encoding="ascii"):
            pass
        for target in ("missing/out.pt", "file/out.pt", "taken"):
            path = f"{self.dir}/{target}"
            with self.subTest(target=target):
                self.assertIn(f"cannot write '{path}'", self.fails(*compile_mlp, path))
                self.assertIn(f"{path}: cannot be written",
                              self.fails("run", f"{self.shared}/mlp.pt", "--output", path))
        self.assertEqual(os.listdir(f"{self.dir}/taken"), [])
        self.assertIn("2 --output files for 1 outputs",
                      self.fails("run", f"{self.shared}/mlp.pt", f"--output={self.dir}/a",
                                 f"--output={self.dir}/b"))

    def test_help_and_unknown_commands(self):
        text = self.run_glia("--help")
        for command in ("analyze", "compile", "run", "inspect", "profile"):
            self.assertIn(f"glia {command} ", text)
            self.assertTrue(self.run_glia(command, "--help").startswith(f"usage: glia {command} "))
        for words, message in (((), "usage:"), (("bake",), "glia: no such command: bake")):
            done = self.call(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertTrue(done.stderr.startswith(message), done.stderr)


if __name__ == "__main__":
    unittest.main()
