"""Models of every family in plain torch, and safetensors read by hand: what Higgins is held against."""
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
        kind = a.dtype if a.dtype == np.uint8 else np.float32
        b = np.ascontiguousarray(a, dtype=kind).tobytes()
        header[name] = {"dtype": "U8" if kind == np.uint8 else "F32", "shape": list(a.shape), "data_offsets": [at, at + len(b)]}
        data += b
        at += len(b)
    h = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(h)) + h + data)


def rms(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def inv_freq(c, d, n=0):
    """Frequencies for a timeline of n, and what queries and keys are multiplied by."""
    theta = c.get("rope_theta", c.get("rotary_emb_base", 10000.0))
    f = 1.0 / (theta ** (torch.arange(0, d, 2, dtype=torch.float64) / d))
    s = c.get("rope_scaling")
    if s is None:
        return f, 1.0
    if s["rope_type"] == "linear":
        return f / s["factor"], 1.0
    old = s["original_max_position_embeddings"]
    if s["rope_type"] == "yarn":
        pair = lambda turns: d * math.log(old / (turns * 2 * math.pi)) / (2 * math.log(theta))
        low, high = pair(s["beta_fast"]), pair(s["beta_slow"])
        if s["truncate"]:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, d - 1)
        ramp = ((torch.arange(d // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
        return f / s["factor"] * ramp + f * (1 - ramp), 0.1 * math.log(s["factor"]) + 1.0
    if s["rope_type"] == "longrope":
        longer = c["max_position_embeddings"] / old
        scale = math.sqrt(1 + math.log(longer) / math.log(old)) if longer > 1 else 1.0
        return f / torch.tensor(s["long_factor" if n > old else "short_factor"], dtype=torch.float64), scale
    assert s["rope_type"] == "llama3"
    low, high = s["low_freq_factor"], s["high_freq_factor"]
    wave = 2 * math.pi / f
    smooth = (old / wave - low) / (high - low)
    mid = (1 - smooth) * f / s["factor"] + smooth * f
    return torch.where(wave < old / high, f, torch.where(wave > old / low, f / s["factor"], mid)), 1.0


def turner(n, freq, scale):
    """Turns the first values of each head, as many as there are frequencies for."""
    angle = torch.arange(n, dtype=torch.float64)[:, None] * freq[None]
    cos, sin, half = (angle.cos() * scale).float(), (angle.sin() * scale).float(), len(freq)

    def turn(x):
        a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)

    return turn


def attend(q, k, v, window, scale=None, cap=None, sinks=None):
    """q [heads][n][d], k and v [kv heads][n][d]: causal."""
    n, d = q.shape[1], q.shape[2]
    k = k.repeat_interleave(q.shape[0] // k.shape[0], 0)
    v = v.repeat_interleave(q.shape[0] // v.shape[0], 0)
    s = q @ k.transpose(1, 2) * (1 / math.sqrt(d) if scale is None else scale)
    if cap:
        s = torch.tanh(s / cap) * cap
    i, j = torch.arange(n)[:, None], torch.arange(n)[None, :]
    hidden = j > i
    if window:
        hidden = hidden | (j <= i - window)
    s = s.masked_fill(hidden, float("-inf"))
    if sinks is not None:
        s = torch.cat([s, sinks[:, None, None].expand(-1, n, 1)], -1)
    return (s.softmax(-1)[..., :n] @ v).transpose(0, 1).reshape(n, -1)


def clamped(gate, up):
    gate, up = gate.clamp(max=7), up.clamp(-7, 7)
    return gate * torch.sigmoid(1.702 * gate) * (up + 1)


def experts(c, w, p, y):
    """Mixtral, Qwen3-MoE, gpt-oss: a row at a time, as their papers say it."""
    kind, n_used = c["model_type"], c["num_experts_per_tok"]
    router = p + {"mixtral": "block_sparse_moe.gate", "qwen3_moe": "mlp.gate", "gpt_oss": "mlp.router"}[kind]
    logits = F.linear(y, w[router + ".weight"], w.get(router + ".bias"))
    best = logits.topk(n_used, -1)
    share = best.values.softmax(-1) if c.get("norm_topk_prob", True) else logits.softmax(-1).gather(1, best.indices)

    def one(x, e):
        if kind == "gpt_oss":
            h = x @ w[p + "mlp.experts.gate_up_proj"][e] + w[p + "mlp.experts.gate_up_proj_bias"][e]
            return clamped(h[0::2], h[1::2]) @ w[p + "mlp.experts.down_proj"][e] + w[p + "mlp.experts.down_proj_bias"][e]
        names = ("w1", "w3", "w2") if kind == "mixtral" else ("gate_proj", "up_proj", "down_proj")
        part = "block_sparse_moe" if kind == "mixtral" else "mlp"
        gate, up, down = (w[f"{p}{part}.experts.{e}.{s}.weight"] for s in names)
        return down @ (F.silu(gate @ x) * (up @ x))

    return torch.stack([sum(share[t, i] * one(y[t], int(best.indices[t, i])) for i in range(n_used)) for t in range(len(y))])


def mlp(c, w, p, y):
    if c["model_type"] in ("mixtral", "qwen3_moe", "gpt_oss"):
        return experts(c, w, p, y)
    if p + "mlp.gate_up_proj.weight" in w:
        gate, up = F.linear(y, w[p + "mlp.gate_up_proj.weight"]).chunk(2, -1)
    else:
        gate, up = F.linear(y, w[p + "mlp.gate_proj.weight"]), F.linear(y, w[p + "mlp.up_proj.weight"])
    act = gelu_new if c["model_type"].startswith("gemma") else F.silu
    return F.linear(act(gate) * up, w[p + "mlp.down_proj.weight"])


def llama(c, w, ids):
    """Final states of one timeline, of all that descend from Llama."""
    kind, n, h, kv = c["model_type"], len(ids), c["num_attention_heads"], c.get("num_key_value_heads")
    kv = kv or h
    d, eps = c.get("head_dim") or c["hidden_size"] // h, c["rms_norm_eps"]
    is_gemma = kind.startswith("gemma")
    norm = lambda x, name: rms(x, w[name] + (1 if is_gemma else 0), eps)
    turn = turner(n, *inv_freq(c, int(d * c.get("partial_rotary_factor", 1.0)), n))
    local = turner(n, inv_freq({"rope_theta": c["rope_local_base_freq"]}, d)[0], 1.0) if "rope_local_base_freq" in c else turn
    scale = c["query_pre_attn_scalar"] ** -0.5 if is_gemma else None
    x = w["model.embed_tokens.weight"][ids]
    if is_gemma:
        x = x * math.sqrt(c["hidden_size"])
    for l in range(c["num_hidden_layers"]):
        p = f"model.layers.{l}."
        around = p + "pre_feedforward_layernorm.weight" in w
        y = norm(x, p + "input_layernorm.weight") if kind != "olmo2" else x
        if p + "self_attn.qkv_proj.weight" in w:
            q, k, v = F.linear(y, w[p + "self_attn.qkv_proj.weight"]).split([h * d, kv * d, kv * d], -1)
        else:
            q, k, v = (F.linear(y, w[p + f"self_attn.{s}_proj.weight"], w.get(p + f"self_attn.{s}_proj.bias")) for s in "qkv")
        if kind == "olmo2":
            q, k = norm(q, p + "self_attn.q_norm.weight"), norm(k, p + "self_attn.k_norm.weight")
        q, k, v = (t.view(n, -1, d).transpose(0, 1) for t in (q, k, v))
        if kind != "olmo2" and p + "self_attn.q_norm.weight" in w:
            q, k = norm(q, p + "self_attn.q_norm.weight"), norm(k, p + "self_attn.k_norm.weight")
        assert q.shape[0] == h and k.shape[0] == kv
        window = c.get("sliding_window")
        if "layer_types" in c and c["layer_types"][l] == "full_attention":
            window = None
        if c.get("no_rope_layers", [1] * (l + 1))[l]:
            q, k = (local if window else turn)(q), (local if window else turn)(k)
        a = attend(q, k, v, window, scale, c.get("attn_logit_softcapping"), w.get(p + "self_attn.sinks"))
        a = F.linear(a, w[p + "self_attn.o_proj.weight"], w.get(p + "self_attn.o_proj.bias"))
        if kind == "olmo2" or around:
            x = x + norm(a, p + "post_attention_layernorm.weight")
            y = norm(x, p + "pre_feedforward_layernorm.weight") if around else x
            x = x + norm(mlp(c, w, p, y), p + "post_feedforward_layernorm.weight")
        else:
            x = x + a
            x = x + mlp(c, w, p, norm(x, p + "post_attention_layernorm.weight"))
    return norm(x, "model.norm.weight")


def neox(c, w, ids):
    n, e, h = len(ids), c["hidden_size"], c["num_attention_heads"]
    norm = lambda x, p: F.layer_norm(x, (e,), w[p + ".weight"], w[p + ".bias"], c["layer_norm_eps"])
    linear = lambda x, p: F.linear(x, w[p + ".weight"], w[p + ".bias"])
    turn = turner(n, *inv_freq(c, int(e // h * c["rotary_pct"])))
    x = w["gpt_neox.embed_in.weight"][ids]
    for l in range(c["num_hidden_layers"]):
        p = f"gpt_neox.layers.{l}."
        qkv = linear(norm(x, p + "input_layernorm"), p + "attention.query_key_value")
        q, k, v = qkv.view(n, h, -1).transpose(0, 1).chunk(3, -1)
        y = x + linear(attend(turn(q), turn(k), v, None), p + "attention.dense")
        z = norm(x if c["use_parallel_residual"] else y, p + "post_attention_layernorm")
        x = y + linear(F.gelu(linear(z, p + "mlp.dense_h_to_4h")), p + "mlp.dense_4h_to_h")
    return norm(x, "gpt_neox.final_layer_norm")


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
    kind = c["model_type"]
    body, embed, head = {"gpt2": (gpt2, "transformer.wte.weight", "lm_head.weight"),
                         "gpt_neox": (neox, "gpt_neox.embed_in.weight", "embed_out.weight")}.get(
        kind, (llama, "model.embed_tokens.weight", "lm_head.weight"))
    assert c["tie_word_embeddings"] == (head not in w)
    head, cap = embed if c["tie_word_embeddings"] else head, c.get("final_logit_softcapping")

    def logits(ids):
        y = body(c, w, ids) @ w[head].T
        return torch.tanh(y / cap) * cap if cap else y

    return c, w, logits


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
