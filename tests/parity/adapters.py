#!/usr/bin/python3
"""LoRA adapters and vectors of texts: Higgins against weights merged in torch, and against llama.cpp with the adapter as GGUF."""
import json, os, struct, subprocess, sys, tempfile
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch"))
sys.dont_write_bytecode = True
from reference import *

TMP = tempfile.TemporaryDirectory(prefix="higgins-adapters-")
IDS = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26, 43, 38, 32, 79, 50, 28, 84]
COMMAS = ",".join(map(str, IDS))
RANK, ALPHA, SCALE = 3, 7.0, 0.75
# (shape, what the adapter changes, how close llama.cpp is: it looks GELU up in a table of float16)
GATED = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
MODELS = {
    "llama": ("arch=llama width=64 heads=4 kv=2 ff=96 scale=6", GATED, 1e-4),
    "qwen2": ("arch=qwen2 width=64 heads=4 kv=2 ff=96 scale=6", GATED, 1e-4),
    "gemma2": ("arch=gemma2 width=64 heads=4 kv=2 head=32 ff=96 layers=4 scale=6 window=5 tie=1", GATED[:5], 1e-3),
    "phi3": ("arch=phi3 width=64 heads=4 kv=2 ff=96 rot=8 scale=6", ["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj"], 1e-4),
    "gpt2": ("arch=gpt2 width=64 heads=4 ff=128 scale=6 tie=1", ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"], 1e-3),
}
GGUF = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "self_attn.qkv_proj": "attn_qkv", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
cases = Cases()


def at(name):
    return os.path.join(TMP.name, name)


def peer():
    r = subprocess.run(["bash", os.path.join(ROOT, "tests/peer/build.sh")], capture_output=True, text=True)
    if r.returncode == 77:
        raise Skip(r.stderr.strip())
    assert r.returncode == 0, r.stderr[-400:]
    return r.stdout.strip()


def theirs(job, gguf, *more):
    r = subprocess.run([peer(), job, gguf, COMMAS, "cache=f32", "flash=0", *more], capture_output=True)
    assert r.returncode == 0, r.stderr.decode()[-400:]
    return np.frombuffer(r.stdout, np.float32)


def ours(job, *args):
    dump(job, args[0], at("out.f32"), COMMAS, *args[1:])
    return np.fromfile(at("out.f32"), np.float32)


def make(name):
    """The model as a folder and as GGUF, the adapter in both forms: A and B of every matrix that it changes."""
    shape, targets, _ = MODELS[name]
    folder = at(name)
    dump("new", folder, "type=f32", *shape.split())
    subprocess.run([os.path.join(BUILD, "higgins"), "export", folder, "-o", folder + ".gguf", "-q"], check=True, stdout=subprocess.DEVNULL)
    c, w, _ = load(folder)
    rng, pairs = np.random.default_rng(5), {}
    for layer in range(c.get("num_hidden_layers") or c["n_layer"]):
        for t in targets:
            key = (f"transformer.h.{layer}." if name == "gpt2" else f"model.layers.{layer}.") + t
            n_out, n_in = w[key + ".weight"].shape[:: -1 if name == "gpt2" else 1]
            pairs[key, layer, t] = [rng.uniform(-0.3, 0.3, s).astype(np.float32) for s in ((RANK, n_in), (n_out, RANK))]
    write_peft(folder + "-peft", pairs)
    write_gguf(folder + "-lora.gguf", name, c, pairs)
    return folder, pairs


def write_peft(folder, pairs):
    os.makedirs(folder, exist_ok=True)
    json.dump({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": []}, open(folder + "/adapter_config.json", "w"))
    write_safetensors(folder + "/adapter_model.safetensors",
                      {f"base_model.model.{key}.lora_{x}.weight": p[i] for (key, _, _), p in pairs.items() for i, x in enumerate("AB")})


def write_gguf(path, name, c, pairs):
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()

    def pairs_of_rope(b, heads):
        # As llama.cpp's converter lays the rows of Llama's queries and keys, so B's.
        return b.reshape(heads, 2, -1, RANK).swapaxes(1, 2).reshape(b.shape)

    keys = [("general.type", 8, text("adapter")), ("general.architecture", 8, text(name)), ("adapter.type", 8, text("lora")),
            ("adapter.lora.alpha", 6, struct.pack("<f", ALPHA))]
    head = b"GGUF" + struct.pack("<IQQ", 3, 2 * len(pairs), len(keys)) + b"".join(text(k) + struct.pack("<I", t) + v for k, t, v in keys)
    body = b""
    for (_, layer, t), (a, b) in pairs.items():
        if name == "llama" and t in GATED[:2]:
            b = pairs_of_rope(b, c["num_attention_heads"] if t == GATED[0] else c["num_key_value_heads"])
        for x, m in (("a", a), ("b", b)):
            head += text(f"blk.{layer}.{GGUF[t]}.weight.lora_{x}") + struct.pack("<IQQIQ", 2, m.shape[1], m.shape[0], 0, len(body))
            body += np.ascontiguousarray(m).tobytes()
            body += b"\0" * (-len(body) % 32)
    head += b"\0" * (-len(head) % 32)
    open(path, "wb").write(head + body)


def merged(folder, pairs, scale):
    _, w, f = load(folder)
    for (key, _, _), (a, b) in pairs.items():
        m = w[key + ".weight"]
        add = torch.tensor(scale * ALPHA / RANK * (b.astype(np.float64) @ a.astype(np.float64)), dtype=torch.float32)
        m += add.T if "transformer.h" in key else add
    with torch.no_grad():
        return f(IDS).numpy()


def adapters(name):
    folder, pairs = make(name)
    bound = MODELS[name][2]
    peft, gguf = folder + "-peft", folder + "-lora.gguf"
    want = merged(folder, pairs, SCALE)
    bare = ours("logits", folder).reshape(want.shape)
    assert far(bare, want) > 0.01, "the adapter changes nothing"
    got = ours("logits", folder, peft, SCALE).reshape(want.shape)
    d = far(got, want)
    assert d < 1e-4, f"PEFT's folder: {d:.2g} off the merged weights"
    d = far(ours("logits", folder, peft, 0).reshape(want.shape), bare)
    assert d == 0, f"a scale of 0 changes logits by {d:.2g}"
    # Both forms of the adapter on both forms of the model.
    for model in (folder, folder + ".gguf"):
        a, b = ours("logits", model, peft, SCALE), ours("logits", model, gguf, SCALE)
        assert np.array_equal(a, b), f"the two forms of the adapter differ by {far(a, b):.2g}"
        d = far(a.reshape(want.shape), want)
        assert d < 1e-4, f"{d:.2g} off the merged weights"
    d = far(got, theirs("logits", folder + ".gguf", f"lora={gguf}", f"scale={SCALE}").reshape(want.shape))
    assert d < bound, f"{d:.2g} off llama.cpp's"


def vectors(name):
    folder = at(name)
    if not os.path.exists(folder):
        make(name)
    c, w, _ = load(folder)
    with torch.no_grad():
        states = (gpt2 if name == "gpt2" else llama)(c, w, IDS).numpy()
    for how, want in (("mean", states.mean(0)), ("last", states[-1]), ("cls", states[0])):
        got = ours("embed", folder, how)
        d = far(got, want)
        assert d < 1e-4, f"{how}: {d:.2g} off torch's"
        d = far(got, theirs("embed", folder + ".gguf", f"pooling={how}"))
        assert d < MODELS[name][2], f"{how}: {d:.2g} off llama.cpp's"


def trained():
    """An adapter of `higgins tune --lora`, in every form that it is written in."""
    base, run, higgins = at("base"), at("lora"), os.path.join(BUILD, "higgins")
    quiet = dict(check=True, stdout=subprocess.DEVNULL)
    subprocess.run([os.path.join(BUILD, "tests", "make_model"), base], **quiet)
    with open(at("chats.jsonl"), "w") as f:
        for i in range(40):
            f.write(json.dumps({"messages": [{"role": "user", "content": f"What comes behind {i}?"}, {"role": "assistant", "content": f"It is {i + 1}."}]}) + "\n")
    subprocess.run([higgins, "tune", base, "--data", at("chats.jsonl"), "--lora", "-o", run, "-q", "--lr", "1e-2", "--set", "steps=20", "--set", "sample_tokens=0"], **quiet)
    subprocess.run([higgins, "export", base, "-o", base + ".gguf", "--type", "f32", "-q"], **quiet)
    subprocess.run([higgins, "export", run, "-o", at("lora.gguf"), "-q"], **quiet)
    subprocess.run([higgins, "export", run, "--merge", "-o", at("merged"), "--type", "f32", "-q"], **quiet)
    bare, got = ours("logits", base), ours("logits", base, run + "/adapter", 1)
    assert far(bare, got) > 0.01, "the adapter changes nothing"
    _, _, forward = load(at("merged"))
    with torch.no_grad():
        d = far(got.reshape(len(IDS), -1), forward(IDS).numpy())
    assert d < 2e-3, f"{d:.2g} off the merged weights in torch"
    assert np.array_equal(got, ours("logits", base, at("lora.gguf"), 1)), "the two forms differ"
    d = far(ours("logits", base + ".gguf", at("lora.gguf"), 1), theirs("logits", base + ".gguf", f"lora={at('lora.gguf')}", "scale=1"))
    assert d < 1e-3, f"{d:.2g} off llama.cpp's"


cases.run("an adapter that was trained here does the same in torch, merged, and in llama.cpp", trained)
for name in MODELS:
    cases.run(f"{name}: an adapter does what merged weights do, and what llama.cpp does", lambda: adapters(name))
    cases.run(f"{name}: vectors are torch's and llama.cpp's", lambda: vectors(name))
cases.close()
