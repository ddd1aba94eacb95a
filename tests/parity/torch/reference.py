"""Llama-like and GPT-2 models in plain torch, and safetensors read by hand: what Higgins is held against."""
import json, math, os, struct, subprocess, sys, tempfile
import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(2)
torch.manual_seed(1)
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.environ.get("HG_BUILD", os.path.join(ROOT, "build", "release"))
DATA = os.environ.get("HG_TEST_DATA", os.path.join(ROOT, "..", "shared", "data"))
DUMP = os.path.join(BUILD, "tests", "model_dump")


def dump(*args):
    """Runs model_dump and returns what it printed."""
    r = subprocess.run([DUMP, *map(str, args)], capture_output=True, text=True)
    if r.returncode != 0:
        raise RuntimeError(f"model_dump {' '.join(map(str, args))}: {r.stderr.strip()}")
    return r.stdout.strip()


def read_safetensors(path):
    raw = open(path, "rb").read()
    (n,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + n])
    out = {}
    for name, t in header.items():
        if name == "__metadata__":
            assert t == {"format": "pt"}, t
            continue
        begin, end = t["data_offsets"]
        v = raw[8 + n + begin : 8 + n + end]
        if t["dtype"] == "F32":
            a = torch.from_numpy(np.frombuffer(v, np.float32).copy())
        elif t["dtype"] == "F16":
            a = torch.from_numpy(np.frombuffer(v, np.float16).astype(np.float32))
        else:
            assert t["dtype"] == "BF16", t
            a = torch.from_numpy((np.frombuffer(v, np.uint16).astype(np.uint32) << 16).view(np.float32).copy())
        out[name] = a.reshape(t["shape"])
    return out


def write_safetensors(path, tensors):
    header, data, at = {"__metadata__": {"format": "pt"}}, b"", 0
    for name, a in tensors.items():
        b = np.ascontiguousarray(a, dtype=np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + len(b)]}
        data += b
        at += len(b)
    h = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(h)) + h + data)


def rms(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def inv_freq(c, d):
    f = 1.0 / (c.get("rope_theta", 10000.0) ** (torch.arange(0, d, 2, dtype=torch.float64) / d))
    s = c.get("rope_scaling")
    if s is None:
        return f
    if s["rope_type"] == "linear":
        return f / s["factor"]
    assert s["rope_type"] == "llama3"
    old, low, high = s["original_max_position_embeddings"], s["low_freq_factor"], s["high_freq_factor"]
    wave = 2 * math.pi / f
    smooth = (old / wave - low) / (high - low)
    mid = (1 - smooth) * f / s["factor"] + smooth * f
    return torch.where(wave < old / high, f, torch.where(wave > old / low, f / s["factor"], mid))


def attend(q, k, v, window):
    """q [heads][n][d], k and v [kv heads][n][d]: causal."""
    n, d = q.shape[1], q.shape[2]
    k = k.repeat_interleave(q.shape[0] // k.shape[0], 0)
    v = v.repeat_interleave(q.shape[0] // v.shape[0], 0)
    s = q @ k.transpose(1, 2) / math.sqrt(d)
    i, j = torch.arange(n)[:, None], torch.arange(n)[None, :]
    hidden = j > i
    if window:
        hidden = hidden | (j <= i - window)
    return (s.masked_fill(hidden, float("-inf")).softmax(-1) @ v).transpose(0, 1).reshape(n, -1)


def llama(c, w, ids):
    """Final states of one timeline: llama, mistral, qwen2, qwen3."""
    n, h, kv = len(ids), c["num_attention_heads"], c["num_key_value_heads"]
    d, eps = c["head_dim"], c["rms_norm_eps"]
    angle = torch.arange(n, dtype=torch.float64)[:, None] * inv_freq(c, d)[None]
    cos, sin = angle.cos().float(), angle.sin().float()

    def turn(x):
        a, b = x[..., : d // 2], x[..., d // 2 :]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    x = w["model.embed_tokens.weight"][ids]
    for l in range(c["num_hidden_layers"]):
        p = f"model.layers.{l}."
        y = rms(x, w[p + "input_layernorm.weight"], eps)
        q, k, v = (F.linear(y, w[p + f"self_attn.{s}_proj.weight"], w.get(p + f"self_attn.{s}_proj.bias")) for s in "qkv")
        q, k, v = (t.view(n, -1, d).transpose(0, 1) for t in (q, k, v))
        if p + "self_attn.q_norm.weight" in w:
            q, k = rms(q, w[p + "self_attn.q_norm.weight"], eps), rms(k, w[p + "self_attn.k_norm.weight"], eps)
        assert q.shape[0] == h and k.shape[0] == kv
        a = attend(turn(q), turn(k), v, c.get("sliding_window"))
        x = x + F.linear(a, w[p + "self_attn.o_proj.weight"], w.get(p + "self_attn.o_proj.bias"))
        y = rms(x, w[p + "post_attention_layernorm.weight"], eps)
        gate, up = F.linear(y, w[p + "mlp.gate_proj.weight"]), F.linear(y, w[p + "mlp.up_proj.weight"])
        x = x + F.linear(F.silu(gate) * up, w[p + "mlp.down_proj.weight"])
    return rms(x, w["model.norm.weight"], eps)


def gelu_new(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gpt2(c, w, ids):
    n, e, h = len(ids), c["n_embd"], c["n_head"]
    norm = lambda x, p: F.layer_norm(x, (e,), w[p + ".weight"], w[p + ".bias"], c["layer_norm_epsilon"])
    conv = lambda x, p: x @ w[p + ".weight"] + w[p + ".bias"]
    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][:n]
    for l in range(c["n_layer"]):
        p = f"transformer.h.{l}."
        q, k, v = conv(norm(x, p + "ln_1"), p + "attn.c_attn").split(e, -1)
        q, k, v = (t.view(n, h, e // h).transpose(0, 1) for t in (q, k, v))
        x = x + conv(attend(q, k, v, None), p + "attn.c_proj")
        x = x + conv(gelu_new(conv(norm(x, p + "ln_2"), p + "mlp.c_fc")), p + "mlp.c_proj")
    return norm(x, "transformer.ln_f")


def load(folder):
    """(config, weights, function of ids to logits)"""
    c = json.load(open(os.path.join(folder, "config.json")))
    w = read_safetensors(os.path.join(folder, "model.safetensors"))
    embed = w["transformer.wte.weight" if c["model_type"] == "gpt2" else "model.embed_tokens.weight"]
    body = gpt2 if c["model_type"] == "gpt2" else llama
    head = embed if c["tie_word_embeddings"] else w["lm_head.weight"]
    assert c["tie_word_embeddings"] == ("lm_head.weight" not in w)
    return c, w, lambda ids: body(c, w, ids) @ head.T


def far(ours, theirs):
    """How far apart two arrays are, against the size of the second."""
    a, b = (torch.as_tensor(np.array(x), dtype=torch.float64) if isinstance(x, np.ndarray) else x.detach().double() for x in (ours, theirs))
    return float((a - b).abs().max() / (b.abs().max() + 1e-30))


class Cases:
    def __init__(self):
        self.n = {"passed": 0, "failed": 0, "skipped": 0}

    def run(self, name, fn):
        try:
            fn()
            self.n["passed"] += 1
        except Skip as e:
            self.n["skipped"] += 1
            print(f"skipped {name}: {e}")
        except Exception as e:
            self.n["failed"] += 1
            print(f"FAILED {name}: {type(e).__name__}: {e}")

    def close(self):
        print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % self.n)
        sys.exit(self.n["failed"] != 0)


class Skip(Exception):
    pass


def shared(name):
    path = os.path.join(DATA, name)
    if not os.path.exists(path):
        raise Skip(f"{name} is not there")
    return path


def make_stories(folder):
    """llama2.c's file as a Hugging Face folder: its rotary pairs are neighbours, ours are halves."""
    raw = open(shared("weights/stories260K/stories260K.bin"), "rb").read()
    dim, ff, layers, heads, kv, vocab, ctx = struct.unpack("<7i", raw[:28])
    tied, vocab = vocab > 0, abs(vocab)
    v, pos = np.frombuffer(raw, np.float32, offset=28), 0

    def take(*shape):
        nonlocal pos
        n = int(np.prod(shape))
        pos += n
        return v[pos - n : pos].reshape(shape)

    def halves(w, n):
        return w.reshape(n, -1, 2, dim).transpose(0, 2, 1, 3).reshape(-1, dim)

    d = dim // heads
    t = {"model.embed_tokens.weight": take(vocab, dim)}
    att, q, k = take(layers, dim), take(layers, dim, dim), take(layers, kv * d, dim)
    vv, o, ffn = take(layers, kv * d, dim), take(layers, dim, dim), take(layers, dim)
    w1, w2, w3, last = take(layers, ff, dim), take(layers, dim, ff), take(layers, ff, dim), take(dim)
    for l in range(layers):
        p = f"model.layers.{l}."
        t[p + "input_layernorm.weight"], t[p + "post_attention_layernorm.weight"] = att[l], ffn[l]
        t[p + "self_attn.q_proj.weight"], t[p + "self_attn.k_proj.weight"] = halves(q[l], heads), halves(k[l], kv)
        t[p + "self_attn.v_proj.weight"], t[p + "self_attn.o_proj.weight"] = vv[l], o[l]
        t[p + "mlp.gate_proj.weight"], t[p + "mlp.down_proj.weight"], t[p + "mlp.up_proj.weight"] = w1[l], w2[l], w3[l]
    t["model.norm.weight"] = last
    assert tied
    os.makedirs(folder, exist_ok=True)
    write_safetensors(os.path.join(folder, "model.safetensors"), t)
    json.dump(
        dict(model_type="llama", num_hidden_layers=layers, hidden_size=dim, num_attention_heads=heads,
             num_key_value_heads=kv, head_dim=d, intermediate_size=ff, vocab_size=vocab, rms_norm_eps=1e-5,
             max_position_embeddings=ctx, rope_theta=10000.0, tie_word_embeddings=True, hidden_act="silu",
             bos_token_id=1, eos_token_id=2),
        open(os.path.join(folder, "config.json"), "w"))
