#!/usr/bin/python3
"""One model trained twice, by Higgins and by python3-torch: the same first weights, the same rows in the same order, the same
optimiser and schedule, and so the same losses, if both are right. Not a bench of `make bench`: it takes as long as you give it.

  /usr/bin/python3 bench/beside_torch.py CORPUS OUT [--steps 2000] [--depth 4] [--vocab 8192] [--rows 32] [--seq 256] [--lr 1e-3]
                                         [--torch f32|bf16] [--threads 2] [--only ours|torch]

OUT gets the tokenizer, the first model and two runs, which `higgins runs OUT` compares; the last line here is one JSON object. What is
there already is not made again, so the two halves may be run at different times. Times are of the steps alone: of the wall, and of the
processor (which counts what both threads did, on a machine that does other things too)."""
import argparse, json, math, os, resource, subprocess, sys, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "parity", "torch"))

HIGGINS = os.path.join(ROOT, "build", "release", "higgins")
ROW_DUMP = os.path.join(ROOT, "build", "release", "tests", "row_dump")

p = argparse.ArgumentParser()
p.add_argument("corpus")
p.add_argument("out")
for name, value in (("steps", 2000), ("depth", 4), ("vocab", 8192), ("rows", 32), ("seq", 256), ("threads", 2), ("lot", 8)):
    p.add_argument("--" + name, type=int, default=value)
p.add_argument("--lr", type=float, default=1e-3)
p.add_argument("--torch", default="f32", choices=("f32", "bf16"))
p.add_argument("--only", choices=("ours", "torch"))
A = p.parse_args()
sys.dont_write_bytecode = True
from torch_best import take_best

if A.only != "ours":
    take_best(A.threads)
import numpy as np
import torch
import torch.nn.functional as F
from reference import read_safetensors

torch.set_num_threads(A.threads)

at = lambda *parts: os.path.join(A.out, *parts)
VAL_ROWS, VALS = 64, 20
VAL_EVERY = max(1, A.steps // VALS)
DATA = [f"corpus={A.corpus}", f"seq_len={A.seq}", f"val_rows={VAL_ROWS}", f"tokens={at('tokens.hgt')}"]
LEARN = [f"steps={A.steps}", f"lr={A.lr}", f"batch_size={A.rows}", f"val_every={VAL_EVERY}", "sample_tokens=0", "on_spike=none", "save_type=f32"]


def run(*command):
    subprocess.run([str(c) for c in command], check=True)


def sets(keys):
    return [word for k in keys for word in ("--set", k)]


def cpu():
    t = resource.getrusage(resource.RUSAGE_SELF)
    return t.ru_utime + t.ru_stime


def prepare():
    os.makedirs(A.out, exist_ok=True)
    if not os.path.exists(at("tokenizer.json")):
        run(HIGGINS, "tokenizer", "train", A.corpus, "--vocab", A.vocab, "-o", at("tokenizer.json"))
    if not os.path.exists(at("first", "model")):  # a step so small that the weights stay what they were
        run(HIGGINS, "train", "-q", "-o", at("first"), *sets(DATA), *sets([f"depth={A.depth}", f"tokenizer={at('tokenizer.json')}", "steps=1", "lr=1e-12", "weight_decay=0", "sample_tokens=0", "batch_size=1", "save_type=f32"]))


def ours():
    if os.path.exists(at("ours", "model")):
        return
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(HIGGINS, "train", "--resume", "-t", A.threads, "-o", at("ours"), *sets(DATA), *sets([f"base={at('first', 'model')}"]), *sets(LEARN))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    json.dump({"cpu_seconds": spent}, open(at("ours", "cpu.json"), "w"))


class Rows:
    def __init__(self):
        n = A.steps * A.rows
        if not os.path.exists(at("rows.bin")):
            run(ROW_DUMP, at("tokenizer.json"), n, at("rows.bin"), *DATA)
        self.all = np.memmap(at("rows.bin"), np.int32, "r").reshape(-1, 3, A.seq)
        self.n, self.held = n, len(self.all) - n

    def take(self, begin, end):
        """ids, targets, positions, and which pairs of a row's tokens see each other"""
        ids, targets, begins = (torch.from_numpy(self.all[begin:end, i].astype(np.int64)) for i in range(3))
        doc = begins.cumsum(1)
        index = torch.arange(A.seq).expand_as(doc)
        first = torch.where(begins > 0, index, 0).cummax(1).values
        seen = (doc[:, :, None] == doc[:, None, :]) & (index[:, :, None] >= index[:, None, :])
        return ids, targets, index - first, seen


class Net:
    """Llama with a tied head, its weights named as in the file."""

    def __init__(self, folder):
        self.c = json.load(open(os.path.join(folder, "config.json")))
        self.w = read_safetensors(os.path.join(folder, "model.safetensors"))
        for v in self.w.values():
            v.requires_grad_(True)
        d = self.c["hidden_size"] // self.c["num_attention_heads"]
        self.freq = self.c["rope_theta"] ** -(torch.arange(0, d, 2, dtype=torch.float64) / d)

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.c["rms_norm_eps"]) * self.w[name]

    def losses(self, ids, targets, pos, seen):
        """Sum of the losses of the targets that count."""
        b, t, h = *ids.shape, self.c["num_attention_heads"]
        angle = pos[:, None, :, None].double() * self.freq
        cos, sin = angle.cos().float(), angle.sin().float()
        mask = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))[:, None]

        def turn(y):
            one, two = y.chunk(2, -1)
            return torch.cat((one * cos - two * sin, two * cos + one * sin), -1)

        x = F.embedding(ids, self.w["model.embed_tokens.weight"])
        for l in range(self.c["num_hidden_layers"]):
            m = f"model.layers.{l}."
            y = self.norm(x, m + "input_layernorm.weight")
            q, k, v = (F.linear(y, self.w[f"{m}self_attn.{n}_proj.weight"]).view(b, t, h, -1).transpose(1, 2) for n in "qkv")
            s = turn(q) @ turn(k).transpose(-1, -2) * q.shape[-1] ** -0.5 + mask
            y = (s.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(b, t, -1)
            x = x + F.linear(y, self.w[m + "self_attn.o_proj.weight"])
            y = self.norm(x, m + "post_attention_layernorm.weight")
            g, u = (F.linear(y, self.w[f"{m}mlp.{n}_proj.weight"]) for n in ("gate", "up"))
            x = x + F.linear(F.silu(g) * u, self.w[m + "mlp.down_proj.weight"])
        logits = F.linear(self.norm(x, "model.norm.weight"), self.w["model.embed_tokens.weight"])
        return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.view(-1), ignore_index=-1, reduction="sum")


def rate(step):
    warm = math.ceil(0.05 * A.steps)
    if step < warm:
        return A.lr * (step + 1) / warm
    left = 0.0 if step + 1 >= A.steps else (A.steps - 1 - step) / (A.steps - 1 - warm)
    return A.lr * (0.1 + 0.9 * 0.5 * (1 - math.cos(math.pi * left)))


def theirs():
    if os.path.exists(at("torch", "run.json")):
        return
    rows, net = Rows(), Net(at("first", "model"))
    decayed = [v for v in net.w.values() if v.dim() > 1]
    plain = [v for v in net.w.values() if v.dim() == 1]
    opt = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=A.lr, betas=(0.9, 0.95), eps=1e-8)
    bf16 = lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=A.torch == "bf16")
    os.makedirs(at("torch"), exist_ok=True)
    log = open(at("torch", "log.jsonl"), "w", buffering=1)
    wall = spent = 0.0

    def validate(step):
        total = n = 0
        with torch.no_grad(), bf16():
            for i in range(rows.n, rows.n + rows.held, A.lot):
                lot = rows.take(i, min(i + A.lot, rows.n + rows.held))
                total += float(net.losses(*lot))
                n += int((lot[1] >= 0).sum())
        log.write(json.dumps({"step": step, "val_loss": total / n, "time": wall}) + "\n")
        print(f"torch, step {step}: held-out loss {total / n:.4f}, {wall:.0f} s", file=sys.stderr)
        return total / n

    for step in range(A.steps):
        start, used = time.monotonic(), cpu()
        begin = step * A.rows
        lots = [rows.take(i, min(i + A.lot, begin + A.rows)) for i in range(begin, begin + A.rows, A.lot)]
        n, loss = sum(int((lot[1] >= 0).sum()) for lot in lots), 0.0
        for lot in lots:
            with bf16():
                part = net.losses(*lot) / n
            part.backward()
            loss += float(part)
        norm = float(torch.nn.utils.clip_grad_norm_(net.w.values(), 1.0))
        for group in opt.param_groups:
            group["lr"] = rate(step)
        opt.step()
        opt.zero_grad(set_to_none=True)
        wall, spent = wall + time.monotonic() - start, spent + cpu() - used
        log.write(json.dumps({"step": step + 1, "loss": loss, "lr": rate(step), "grad_norm": norm, "tokens": (step + 1) * A.rows * A.seq, "time": wall}) + "\n")
        if (step + 1) % VAL_EVERY == 0 or step + 1 == A.steps:
            last = validate(step + 1)
    json.dump({"finished": True, "steps": A.steps, "total_steps": A.steps, "val_loss": last, "seconds": wall, "cpu_seconds": spent, "params": sum(v.numel() for v in net.w.values())}, open(at("torch", "run.json"), "w"))


def curve(name, key):
    out = {}
    for line in open(at(name, "log.jsonl")):
        o = json.loads(line)
        if key in o:
            out[o["step"]] = o[key]
    return out


def compare():
    a, b = curve("ours", "val_loss"), curve("torch", "val_loss")
    t, u = curve("ours", "loss"), curve("torch", "loss")
    print(f"{'step':>8} {'ours':>9} {'torch':>9} {'apart':>8}")
    for step in sorted(set(a) & set(b)):
        print(f"{step:8d} {a[step]:9.4f} {b[step]:9.4f} {a[step] / b[step] - 1:8.2%}")
    both = sorted(set(t) & set(u))
    json_of = lambda *parts: json.load(open(at(*parts)))
    figures = {
        "steps": A.steps,
        "tokens": A.steps * A.rows * A.seq,
        "params": json_of("torch", "run.json")["params"],
        "val_loss": {"ours": a[A.steps], "torch": b[A.steps]},
        "most_apart_in_training": max(abs(t[s] / u[s] - 1) for s in both),
        "mean_apart_in_training": sum(abs(t[s] / u[s] - 1) for s in both) / len(both),
        "seconds": {"ours": json_of("ours", "run.json")["seconds"], "torch": json_of("torch", "run.json")["seconds"]},
        "cpu_seconds": {"ours": json_of("ours", "cpu.json")["cpu_seconds"], "torch": json_of("torch", "run.json")["cpu_seconds"]},
        "torch": A.torch,
    }
    print(json.dumps(figures))


prepare()
if A.only != "torch":
    ours()
if A.only != "ours":
    theirs()
if A.only is None or all(os.path.exists(at(n, "run.json")) for n in ("ours", "torch")):
    compare()
