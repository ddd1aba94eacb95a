#!/usr/bin/python3
"""Quantised blocks against ggml, whose library comes with npm's node-llama-cpp: what each type's bytes
mean, bit for bit, and how much of random rows is lost (-v prints it)."""
import ctypes, glob, os, subprocess, sys
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch"))
sys.dont_write_bytecode = True
from reference import BUILD, ROOT, Cases, Skip

TYPES = {"q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q2_k": 10, "q3_k": 11, "q4_k": 12, "q5_k": 13, "q6_k": 14,
         "iq4_nl": 20, "iq4_xs": 23, "mxfp4": 39}
ROW_NAME = {"q2_k": "q2_K", "q3_k": "q3_K", "q4_k": "q4_K", "q5_k": "q5_K", "q6_k": "q6_K"}
# Where a block keeps float16 numbers: they are made finite.
HALVES = {"q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q2_k": [80, 82], "q3_k": [108], "q4_k": [0, 2],
          "q5_k": [0, 2], "q6_k": [208], "iq4_nl": [0], "iq4_xs": [0], "mxfp4": []}
cases = Cases()
libs = glob.glob(os.path.join(ROOT, "tests/node/node_modules/@node-llama-cpp/linux-*/bins/linux-*/libggml-base.so"))


def tool(*args, stdin=b""):
    return subprocess.run([os.path.join(BUILD, "tests/blocks"), *map(str, args)], input=stdin, stdout=subprocess.PIPE, check=True).stdout


def block_of(name):
    return tuple(map(int, tool("type_size", name).split()))


def random_blocks(name, n, rng):
    b = rng.integers(0, 256, (n, block_of(name)[1]), dtype=np.uint8)
    for at in HALVES[name]:
        b[:, at + 1] &= 0xBF
    return b


def ggml_to_f32(name, blocks):
    y = np.empty(len(blocks) * block_of(name)[0], np.float32)
    row = getattr(need_ggml(), "dequantize_row_" + ROW_NAME.get(name, name))
    row.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    row(blocks.ctypes.data, y.ctypes.data, y.size)
    return y


def same_bits(name):
    blocks = random_blocks(name, 4096, np.random.default_rng(7))
    if name == "mxfp4":
        blocks[:256, 0] = np.arange(256)
    want = ggml_to_f32(name, blocks)
    got = np.frombuffer(tool("to_f32", name, want.size, stdin=blocks.tobytes()), np.float32)
    differ = np.flatnonzero(want.view(np.uint32) != got.view(np.uint32))
    assert differ.size == 0, f"{differ.size} of {want.size} differ: {got[differ[0]]} at {differ[0]}, not {want[differ[0]]}"


def need_ggml():
    if not libs:
        raise Skip("ggml's library is not installed; tools/setup.sh test installs it")
    return ctypes.CDLL(libs[0])


def rows_of(kind, rng):
    """What weights look like: independent, heavy-tailed, and a product of few factors with some large columns."""
    if kind == "normal":
        return rng.normal(0, 0.05, (64, 512))
    if kind == "laplace":
        return rng.laplace(0, 0.03, (64, 512))
    x = rng.normal(0, 1, (64, 48)) @ rng.normal(0, 0.01, (48, 512)) + rng.standard_t(4, (64, 512)) * 0.02
    x[:, ::37] *= 4
    return x * rng.lognormal(0, 0.5, (64, 1))


def error_of(name, blocks, x, w):
    y = np.frombuffer(tool("to_f32", name, x.size, stdin=blocks), np.float32).reshape(x.shape)
    return np.sqrt(np.mean(w * (y - x) ** 2.0) / np.mean(w * x**2.0))


def ggml_quantized(name, x, w):
    ggml, out = need_ggml(), np.empty(x.size // block_of(name)[0] * block_of(name)[1], np.uint8)
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    ggml.ggml_quantize_chunk(TYPES[name], x.ctypes.data, out.ctypes.data, 0, *x.shape, None if w is None else w.ctypes.data)
    return out.tobytes()


def no_worse(name, kind, weighted):
    rng = np.random.default_rng(11)
    x = np.ascontiguousarray(rows_of(kind, rng), np.float32)
    w = rng.lognormal(0, 1, x.shape[1]).astype(np.float32) if weighted else None
    ours = tool("from_f32", name, *x.shape, *(["w"] if weighted else []), stdin=(w.tobytes() if weighted else b"") + x.tobytes())
    a, b = (error_of(name, q, x, 1 if w is None else w) for q in (ours, ggml_quantized(name, x, w)))
    if VERBOSE:
        print(f"{name} {kind}{' weighted' * weighted}: {a:.5f} {b:.5f} {a / b:.4f}")
    assert a <= b, f"error {a:.5f}, ggml's {b:.5f}"


VERBOSE = "-v" in sys.argv
for name in TYPES:
    cases.run(f"{name} blocks mean the same bits as in ggml", lambda: same_bits(name))
for name in [n for n in TYPES if not n.startswith("iq")]:
    for kind in ("normal", "laplace", "like weights"):
        for weighted in (False, True):
            cases.run(f"{name}: {kind} rows{' with importance' * weighted} keep what ggml's keep", lambda: no_worse(name, kind, weighted))
cases.close()
