#!/usr/bin/python3
"""Quantised files against llama.cpp: which type each mix gives each tensor; how far the same file's answers are from those of
float32 (KL divergence) here and there; importance against the activations it is made of.  -v prints the numbers; --table prints
those of docs/quantization.md and tests nothing else."""
import json, os, struct, subprocess, sys, tempfile
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch"))
sys.dont_write_bytecode = True
from reference import BUILD, ROOT, Cases, Skip, dump, make_stories, shared

TMP = tempfile.TemporaryDirectory(prefix="higgins-quantize-")
VERBOSE, TABLE = "-v" in sys.argv, "--table" in sys.argv
HIGGINS = os.path.join(BUILD, "higgins")
NAMES = {0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 10: "q2_k", 11: "q3_k", 12: "q4_k", 13: "q5_k",
         14: "q6_k", 30: "bf16", 39: "mxfp4"}
FTYPES = {"q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14,
          "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17, "q6_k": 18}
cases = Cases()


def at(name):
    return os.path.join(TMP.name, name)


def run(*args):
    r = subprocess.run([HIGGINS, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert r.returncode == 0, r.stderr.decode()
    return r.stdout.decode()


def peer(*args):
    r = subprocess.run(["bash", os.path.join(ROOT, "tests/peer/build.sh")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if r.returncode == 77:
        raise Skip(r.stderr.decode().strip())
    r = subprocess.run([r.stdout.decode().strip(), *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert r.returncode == 0, r.stderr.decode()
    return r.stdout


def read_gguf(path):
    """Metadata and tensors (type, shape, offset in the file) of a GGUF."""
    b, p = open(path, "rb").read(), 24
    sizes = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def get(fmt):
        nonlocal p
        (v,) = struct.unpack_from("<" + fmt, b, p)
        p += struct.calcsize(fmt)
        return v

    def text():
        nonlocal p
        n = get("Q")
        p += n
        return b[p - n : p].decode(errors="replace")

    def value(t):
        if t == 8:
            return text()
        if t == 9:
            item, n = get("I"), get("Q")
            return [value(item) for _ in range(n)]
        return get(sizes[t])

    n_tensors, n_kv = struct.unpack_from("<QQ", b, 8)
    meta = {text(): value(get("I")) for _ in range(n_kv)}
    tensors = {}
    for _ in range(n_tensors):
        name, n_dims = text(), get("I")
        dims = [get("Q") for _ in range(n_dims)]
        tensors[name] = (NAMES.get(get("I"), "?"), dims[::-1], get("Q"))
    data = (p + 31) // 32 * 32
    return meta, {k: (t, d, data + o) for k, (t, d, o) in tensors.items()}, b


# ---- mixes ----
# Shared and own keys, enough layers for every rule, and rows that are no multiple of 256.
SHAPES = {"few keys": "width=256 heads=4 kv=1 head=8 ff=256 layers=17 vocab=64", "as many keys": "width=256 heads=4 kv=4 ff=256 layers=9 vocab=64",
          "odd rows": "width=96 heads=4 kv=2 head=24 ff=160 layers=8 vocab=64", "tied": "width=256 heads=4 kv=4 ff=256 layers=2 vocab=64 tie=1"}


def same_types(shape):
    dump("new", at("mix"), "arch=llama", *SHAPES[shape].split())
    run("export", at("mix"), "-o", at("mix.gguf"), "-q")
    for name, number in FTYPES.items():
        run("quantize", at("mix"), "-o", at("ours.gguf"), "--type", name, "-q")
        peer("quantize", at("mix.gguf"), at("theirs.gguf"), number)
        (am, a, _), (bm, b, _) = read_gguf(at("ours.gguf")), read_gguf(at("theirs.gguf"))
        differ = [f"{k}: {a.get(k, '-')[0]}, not {b.get(k, '-')[0]}" for k in sorted(a.keys() | b.keys()) if a.get(k, "-")[0] != b.get(k, "-")[0]]
        assert not differ, f"{name}: {len(differ)} differ; {differ[0]}"
        assert am["general.file_type"] == bm["general.file_type"], name
        assert am["general.quantization_version"] == bm["general.quantization_version"], name


for shape in {} if TABLE else SHAPES:
    cases.run(f"{shape}: every mix gives each tensor llama.cpp's type", lambda: same_types(shape))


# ---- divergence ----
def log_probabilities(raw, n):
    x = np.frombuffer(raw, np.float32).reshape(n, -1).astype(np.float64)
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def ours_of(path, ids):
    dump("logits", path, at("logits"), ",".join(map(str, ids)))
    return log_probabilities(open(at("logits"), "rb").read(), len(ids))


def divergence(p, q):
    return float((np.exp(p) * (p - q)).sum(1).mean())


def no_further(folder, name, texts):
    """Of the same file, the mean over texts and places of KL(float32 || quantised): ours and llama.cpp's. Both round activations to
    eight bits, each in its own way: over these texts that moves the mean by some hundredths."""
    report = json.loads(run("quantize", folder, "-o", at("kl.gguf"), "--type", name, "-q", "--json"))
    ours = theirs = 0
    for ids in texts:
        exact = ours_of(folder, ids)
        ours += divergence(exact, ours_of(at("kl.gguf"), ids)) / len(texts)
        raw = peer("logits", at("kl.gguf"), ",".join(map(str, ids)), "cache=f32", "flash=0")
        theirs += divergence(exact, log_probabilities(raw, len(ids))) / len(texts)
    if TABLE:
        before, after = report["bytes_before"] / 1000, report["bytes_after"] / 1000
        print(f"| {name} | {report['bits_per_weight']:.2f} | {before:.0f} | {after:.0f} | {ours:.5f} | {theirs:.5f} |")
    if VERBOSE:
        print(f"{os.path.basename(folder)} {name}: {ours:.6f}, llama.cpp {theirs:.6f}")
    assert ours <= 1.05 * theirs, f"{ours:.6f}, llama.cpp {theirs:.6f}"


def tell(ids):
    return ids + [int(x) for x in dump("greedy", at("stories"), 180, ",".join(map(str, ids))).split(",")]


def of_stories(name):
    """What the model tells by itself, and behind words in no order."""
    shared("weights/stories260K")
    if not STORIES:
        make_stories(at("stories"))
        rng = np.random.default_rng(5)
        STORIES.extend([tell([1])] + [tell([1] + [int(x) for x in rng.integers(3, 512, 12)]) for _ in range(5)])
    no_further(at("stories"), name, STORIES)


STORIES = []
for name in ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "mxfp4"):
    cases.run(f"stories260K in {name}: no further from float32 than llama.cpp", lambda: of_stories(name))


def of_random(name):
    if not os.path.exists(at("random")):
        dump("new", at("random"), *"arch=llama width=256 heads=4 kv=2 ff=512 layers=3 vocab=384 scale=3".split())
    no_further(at("random"), name, [[int(x) for x in np.random.default_rng(3).integers(0, 384, 256)]])


for name in ("q2_k", "q3_k_m", "q4_k_m", "q5_k_m", "q6_k"):
    cases.run(f"random weights in {name}: no further from float32 than llama.cpp", lambda: of_random(name))


# ---- importance ----
TEXT = "Once upon a time there was a little mouse who lived in the kitchen of an old house. " * 6


def activations(folder, ids):
    dump("acts", folder, at("acts"), ",".join(map(str, ids)))
    out = {}
    with open(at("acts"), "rb") as h:
        while line := h.readline():
            name, layer, rows, cols = line.decode().split()
            out[name, int(layer)] = np.frombuffer(h.read(4 * int(rows) * int(cols)), np.float32).reshape(int(rows), int(cols))
    return out


def measure():
    if not os.path.exists(at("model")):
        subprocess.run([os.path.join(BUILD, "tests/make_model"), at("model")], check=True, stdout=subprocess.DEVNULL)
        open(at("text"), "w").write(TEXT)
        run("importance", at("model"), "--text", at("text"), "-o", at("im.gguf"), "-q")


def importance_is_squares():
    measure()
    ids = [int(x) for x in run("tokenizer", "encode", at("text"), "--tokenizer", at("model"), "--ids").split()]
    assert len(ids) < 512, "more than a piece"
    acts = activations(at("model"), ids)
    meta, tensors, b = read_gguf(at("im.gguf"))
    assert meta["general.type"] == "imatrix" and meta["imatrix.chunk_count"] == 1 and meta["imatrix.chunk_size"] == 512, meta
    assert len(tensors) == 2 * 2 * 7, len(tensors)
    inputs = {"attn_q": "blk.attn_norm", "attn_k": "blk.attn_norm", "attn_v": "blk.attn_norm", "attn_output": "blk.heads",
              "ffn_gate": "blk.mlp_norm", "ffn_up": "blk.mlp_norm", "ffn_down": "blk.mlp_hidden"}
    for layer in range(2):
        for name, act in inputs.items():
            kind, shape, offset = tensors[f"blk.{layer}.{name}.weight.in_sum2"]
            got = np.frombuffer(b, np.float32, shape[1], offset)
            want = (acts[act, layer].astype(np.float64) ** 2).sum(0)
            assert kind == "f32" and shape == [1, want.size], (kind, shape)
            assert np.abs(got - want).max() < 1e-4 * want.max(), name
            count = struct.unpack_from("<f", b, tensors[f"blk.{layer}.{name}.weight.counts"][2])[0]
            assert count == len(ids), (count, len(ids))


def matrices(path):
    run("export", path, "-o", at("f32.gguf"), "--type", "f32", "-q")
    _, tensors, b = read_gguf(at("f32.gguf"))
    return {k: np.frombuffer(b, np.float32, int(np.prod(d)), o).reshape(d) for k, (_, d, o) in tensors.items() if len(d) == 2}


def importance_helps():
    """Of every matrix, what its errors do to what it puts out is less than without."""
    measure()
    _, tensors, b = read_gguf(at("im.gguf"))
    exact, off = matrices(at("model")), []
    for more in ([], ["--importance", at("im.gguf")]):
        run("quantize", at("model"), "-o", at("w.gguf"), "--type", "q4_0", "-q", *more)
        off.append(matrices(at("w.gguf")))
    meta, _, _ = read_gguf(at("w.gguf"))
    assert meta["quantize.imatrix.file"] == "im.gguf" and meta["quantize.imatrix.entries_count"] == 14, meta
    for name, (_, shape, offset) in tensors.items():
        if not name.endswith(".in_sum2"):
            continue
        w, name = np.frombuffer(b, np.float32, shape[1], offset), name[: -len(".in_sum2")]
        plain, weighted = ((w * (q[name] - exact[name]) ** 2.0).sum() for q in off)
        if VERBOSE:
            print(f"{name} with importance: {weighted / plain:.3f} of the error")
        assert weighted < plain, name


if not TABLE:
    cases.run("importance is the sum of squares of what comes in", importance_is_squares)
    cases.run("importance lessens the error where something comes in", importance_helps)
cases.close()
