#!/usr/bin/python3
"""Whole models against torch: logits of every architecture, loss and all gradients, real weights."""
import base64, json, os, struct, subprocess, sys, tempfile
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch"))
sys.dont_write_bytecode = True
from reference import *

TMP = tempfile.TemporaryDirectory(prefix="higgins-parity-")
IDS = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26, 43, 38, 32, 79, 50, 28, 84]
MODELS = {
    "llama": "arch=llama width=48 heads=6 kv=2 head=10 ff=71 layers=3 scale=6",
    "llama tied": "arch=llama width=40 heads=5 kv=5 ff=33 layers=2 scale=6 tie=1",
    "llama 3 scaling": "arch=llama width=64 heads=2 kv=1 head=32 layers=2 scale=6 theta=500000 llama3=8",
    "mistral": "arch=mistral width=48 heads=4 kv=2 ff=71 scale=6 window=5",
    "qwen2": "arch=qwen2 width=48 heads=4 kv=2 ff=71 scale=6 tie=1",
    "qwen3": "arch=qwen3 width=48 heads=4 kv=2 head=20 ff=71 scale=6",
    "gpt-neox": "arch=gpt_neox width=48 heads=4 ff=100 rot=6 layers=3 scale=6",
    "phi3": "arch=phi3 width=48 heads=4 kv=2 ff=70 rot=8 scale=6 window=7",
    "phi3 longrope, short": "arch=phi3 width=48 heads=4 kv=2 ff=70 scale=6 long=64",
    "phi3 longrope, long": "arch=phi3 width=48 heads=4 kv=2 ff=70 scale=6 long=4",
    "llama yarn": "arch=llama width=64 heads=2 head=32 layers=2 scale=6 yarn=4",
    "smollm3": "arch=smollm3 width=48 heads=4 kv=2 ff=71 layers=5 scale=6 tie=1",
    "olmo2": "arch=olmo2 width=48 heads=4 kv=2 ff=71 layers=3 scale=6",
    "gemma2": "arch=gemma2 width=48 heads=4 kv=2 head=16 ff=71 layers=4 scale=6 window=5 tie=1",
    "gemma3": "arch=gemma3 width=48 heads=4 kv=2 head=16 ff=71 layers=7 scale=6 window=5 theta=1000000 local=10000 tie=1",
    "mixtral": "arch=mixtral width=48 heads=4 kv=2 ff=40 scale=6 experts=5 used=2",
    "qwen3-moe": "arch=qwen3_moe width=48 heads=4 kv=2 head=20 ff=40 scale=6 experts=6 used=3",
    "gpt-oss": "arch=gpt-oss width=64 heads=4 kv=2 ff=40 layers=4 scale=6 experts=6 used=3 window=5 yarn=4",
    "gpt2": "arch=gpt2 width=48 heads=3 ff=192 layers=3 scale=6 tie=1",
    "gpt2 untied": "arch=gpt2 width=30 heads=2 ff=50 layers=2 scale=6",
}
cases = Cases()


def at(name):
    return os.path.join(TMP.name, name.replace(" ", "-"))


def commas(ids):
    return ",".join(map(str, ids))


def our_logits(folder, ids):
    f = at("logits.f32")
    dump("logits", folder, f, commas(ids))
    return np.fromfile(f, np.float32).reshape(len(ids), -1)


def logits_equal(name, kind, bound):
    dump("new", at(name + kind), f"type={kind}", *MODELS[name].split())
    _, _, f = load(at(name + kind))
    with torch.no_grad():
        d = far(our_logits(at(name + kind), IDS), f(IDS))
    assert d < bound, f"logits differ by {d:.2g} of the largest"


# bfloat16 products round what goes into each matrix to 8 bits; float16 weights are exact in float32.
for name in MODELS:
    cases.run(f"{name}: logits in float32", lambda: logits_equal(name, "f32", 1e-4))
cases.run("llama: logits with float16 weights", lambda: logits_equal("llama", "f16", 1e-4))
cases.run("llama: logits with bfloat16 weights", lambda: logits_equal("llama", "bf16", 4e-2))
cases.run("gpt2: logits with bfloat16 weights", lambda: logits_equal("gpt2", "bf16", 4e-2))


def gradients_equal(name):
    """Two documents in one batch, some targets that do not count."""
    folder, out = at(name + "f32"), at(name + "-grads")
    docs, targets = [IDS[:11], IDS[11:]], [IDS[1:11] + [-1], IDS[12:] + [7]]
    loss = float(dump("grads", folder, out, "/".join(map(commas, docs)), "/".join(map(commas, targets))))
    _, w, f = load(folder)
    for t in w.values():
        t.requires_grad_(True)
    c, w2, f = load(folder)
    for t in w2.values():
        t.requires_grad_(True)
    logits = torch.cat([f(d) for d in docs])
    want = F.cross_entropy(logits, torch.tensor(sum(targets, [])), ignore_index=-1)
    want.backward()
    assert abs(loss - want.item()) < 1e-4 * want.item(), f"loss {loss}, not {want.item()}"
    ours = read_safetensors(os.path.join(out, "model.safetensors"))
    assert set(ours) == set(w2), set(ours) ^ set(w2)
    for k in w2:
        if c["model_type"].startswith("gemma") and "norm" in k:
            ours[k] = ours[k] + 1  # norms are written less 1, which gradients are not
        d = far(ours[k], w2[k].grad)
        assert d < 1e-4, f"gradient of {k} differs by {d:.2g} of its largest"


for name in MODELS:
    if "experts" in MODELS[name] or "long=4" in MODELS[name]:
        continue  # experts are not trained; timelines of a batch may differ in what long is
    cases.run(f"{name}: loss and all gradients", lambda: gradients_equal(name))


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def to_mxfp4(a):
    """Blocks, scales and values of a [...][cols], as OCP's formats say: a power of two for 32 values of E2M1."""
    x = a.reshape(*a.shape[:-1], -1, 32).astype(np.float64)
    power = np.floor(np.log2(np.abs(x).max(-1))) - 2
    bits = np.abs(x[..., None] / 2.0 ** power[..., None, None] - E2M1).argmin(-1)
    values = (E2M1[bits] * 2.0 ** power[..., None]).astype(np.float32).reshape(a.shape)
    return (bits[..., 0::2] | bits[..., 1::2] << 4).astype(np.uint8), (power + 127).astype(np.uint8), values


def higgins(*args):
    r = subprocess.run([os.path.join(BUILD, "higgins"), *args, "--quiet"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return r.stdout


def make_packed(plain, packed):
    """The same experts twice: packed as gpt-oss is published, in two files, and as the values that they stand for."""
    w = {k: v.numpy() for k, v in read_safetensors(os.path.join(plain, "model.safetensors")).items()}
    parts = ({}, {})
    for i, (name, a) in enumerate(sorted(w.items())):
        if name.endswith(("gate_up_proj", "down_proj")):
            blocks, scales, values = to_mxfp4(a.transpose(0, 2, 1))
            parts[i % 2][name + "_blocks"], parts[1 - i % 2][name + "_scales"] = blocks, scales
            w[name] = values.transpose(0, 2, 1)
        else:
            parts[i % 2][name] = a
    write_safetensors(os.path.join(plain, "model.safetensors"), w)
    os.makedirs(packed, exist_ok=True)
    config = json.load(open(os.path.join(plain, "config.json"))) | {"quantization_config": {"quant_method": "mxfp4"}}
    json.dump(config, open(os.path.join(packed, "config.json"), "w"))
    files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for file, part in zip(files, parts):
        write_safetensors(os.path.join(packed, file), part)
    index = {"weight_map": {k: file for file, part in zip(files, parts) for k in part}}
    json.dump(index, open(os.path.join(packed, "model.safetensors.index.json"), "w"))


def packed_experts():
    dump("new", at("plain"), "type=f32", *MODELS["gpt-oss"].replace("ff=40", "ff=64").split())
    make_packed(at("plain"), at("packed"))
    higgins("import", at("packed"), "-o", at("unpacked"), "--type", "f32")
    want, got = (read_safetensors(os.path.join(at(d), "model.safetensors")) for d in ("plain", "unpacked"))
    assert set(want) == set(got), set(want) ^ set(got)
    for k in want:
        assert torch.equal(want[k], got[k]), k
    _, _, f = load(at("plain"))
    with torch.no_grad():
        exact = f(IDS)
    d = far(our_logits(at("unpacked"), IDS), exact)
    assert d < 1e-4, f"logits differ by {d:.2g} of the largest"
    higgins("export", at("packed"), "-o", at("packed.gguf"))
    types = {t["type"] for t in json.loads(higgins("inspect", at("packed.gguf"), "--json"))["tensors"] if "_exps.weight" in t["name"]}
    assert types == {"mxfp4"}, types
    ours = our_logits(at("packed"), IDS)
    assert np.array_equal(ours, our_logits(at("packed.gguf"), IDS)), "the folder and its GGUF differ"
    # What goes into packed matrices is rounded to eight bits. Where that tips the choice of an expert, the place and those that look at it differ.
    off = np.abs(ours - exact.numpy().reshape(ours.shape)).max(-1) / np.abs(exact.numpy()).max()
    assert np.median(off) < 2e-2 and (off < 4e-2).mean() > 0.8, f"logits differ by {off} of the largest"


cases.run("gpt-oss: experts in MXFP4 as it is published", packed_experts)


def stories_logits():
    make_stories(at("stories"))
    folder = shared("weights/stories260K")
    ids = [int(x) for x in open(os.path.join(folder, "ref_tokens_once_upon_a_time.txt")).read().split()]
    want = np.fromfile(os.path.join(folder, "ref_logits_once_upon_a_time.f32"), np.float32).reshape(-1, 512)
    ours = our_logits(at("stories"), ids)
    assert ours.shape == want.shape, (ours.shape, want.shape)
    d = far(ours, want)
    assert d < 1e-4, f"logits differ by {d:.2g}"


def stories_text():
    """The page's greedy text, word for word."""
    make_stories(at("stories"))
    page = open(shared("weights/stories260K/stories260K.md")).read()
    text = page[page.index("Once upon a time, there was a little girl") :].split("\n```")[0]
    tok = open(shared("weights/stories260K/tok512.bin"), "rb").read()
    pieces, pos = [], 4
    for _ in range(512):
        _, n = struct.unpack("<fi", tok[pos : pos + 8])
        pieces.append(tok[pos + 8 : pos + 8 + n])
        pos += 8 + n
    ids = [int(x) for x in dump("greedy", at("stories"), 256, 1).split(",")]
    if 1 in ids:
        ids = ids[: ids.index(1)]
    ours = b"".join(pieces[i] for i in ids).decode().replace("<0x0A>", "\n").strip()
    assert ours == text.strip(), f"{ours[:400]!r} is not {text[:400]!r}"


cases.run("stories260K: logits of the reference", stories_logits)
cases.run("stories260K: the greedy text of its page", stories_text)


def array(t):
    return np.frombuffer(base64.b64decode(t["data"]), np.float32).reshape(t["shape"])


def make_sorter(folder):
    """A torch state (Linear weights [out][in]) as GPT-2's folder (Conv1D, [in][out])."""
    raw = json.load(open(shared("weights/gpt-nano-sort/gpt-nano-sort-model.json")))
    c, t = raw.pop("config"), {}
    for name, v in raw.items():
        if name.endswith(".attn.bias"):
            continue
        a = array(v)
        is_conv = any(s in name for s in ("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        t[name] = a.T if is_conv else a
    os.makedirs(folder, exist_ok=True)
    write_safetensors(os.path.join(folder, "model.safetensors"), t)
    json.dump(
        dict(model_type="gpt2", n_layer=c["n_layer"], n_head=c["n_head"], n_embd=c["n_embd"], vocab_size=c["vocab_size"],
             n_positions=c["block_size"], layer_norm_epsilon=1e-5, activation_function="gelu_new", tie_word_embeddings=False),
        open(os.path.join(folder, "config.json"), "w"))


def our_activations(folder, ids):
    f, out = at("acts"), {}
    dump("acts", folder, f, ids)
    with open(f, "rb") as h:
        while line := h.readline():
            name, layer, rows, cols = line.decode().split()
            rows, cols = int(rows), int(cols)
            out[name, int(layer)] = np.frombuffer(h.read(4 * rows * cols), np.float32).reshape(rows, cols)
    return out


def sorter_activations():
    make_sorter(at("sorter"))
    p = json.load(open(shared("weights/gpt-nano-sort/gpt-nano-sort-t0-partials.json")))
    ref = {k: array(v) for k, v in p.items() if k != "config"}
    ids = ref["idx"].astype(int)
    ours = our_activations(at("sorter"), "/".join(commas(r) for r in ids))
    n = ids.size
    flat = lambda a: a.reshape(n, -1)
    heads = lambda a: a.transpose(0, 2, 1, 3).reshape(n, -1)
    want = {("embed", -1): flat(ref["x"]), ("blk.attn_norm", 0): flat(ref["ln1"]), ("blk.q", 0): heads(ref["q"]),
            ("blk.k", 0): heads(ref["k"]), ("blk.v", 0): heads(ref["v"]), ("blk.heads", 0): flat(ref["y"]),
            ("blk.attn_out", 0): flat(ref["yProj"]), ("blk.attn_resid", 0): flat(ref["attnResid"]),
            ("blk.mlp_norm", 0): flat(ref["ln2"]), ("blk.mlp_up", 0): flat(ref["fc"]),
            ("blk.mlp_hidden", 0): flat(ref["gelu"]), ("blk.mlp_out", 0): flat(ref["mlp"]),
            ("blk.out", 0): flat(ref["block0"]), ("blk.out", 1): flat(ref["block1"]), ("blk.out", 2): flat(ref["block2"]),
            ("final_norm", -1): flat(ref["ln_f"]), ("logits", -1): flat(ref["lm_head"])}
    for k, v in want.items():
        d = far(ours[k], v)
        assert d < 2e-5, f"{k[0]} of layer {k[1]} differs by {d:.2g}"


cases.run("gpt-nano-sort: every activation", sorter_activations)
cases.close()
