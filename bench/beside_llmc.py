#!/usr/bin/python3
"""GPT-2 trained by Higgins and by llm.c from the same weights on the same rows: the losses of each step, which must be the same. HG_LLMC
names a checkout of llm.c.

  HG_LLMC=... /usr/bin/python3 bench/beside_llmc.py TEXT OUT [--steps 40] [--depth 4] [--vocab 4096] [--rows 8] [--seq 128] [--lr 1e-3]

TEXT is one file, and so one document: llm.c knows no borders within a row. Both compute in float32. The last line is one JSON object."""
import argparse, json, os, subprocess, sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "parity", "torch"))
sys.dont_write_bytecode = True
import numpy as np
from reference import read_safetensors

HIGGINS = os.path.join(ROOT, "build", "release", "higgins")
ROW_DUMP = os.path.join(ROOT, "build", "release", "tests", "row_dump")
BETA2 = 0.95

p = argparse.ArgumentParser()
p.add_argument("text")
p.add_argument("out")
for name, value in (("steps", 40), ("depth", 4), ("vocab", 4096), ("rows", 8), ("seq", 128)):
    p.add_argument("--" + name, type=int, default=value)
p.add_argument("--lr", type=float, default=1e-3)
A = p.parse_args()
at = lambda *parts: os.path.join(A.out, *parts)
DATA = [f"corpus={A.text}", f"seq_len={A.seq}", "val_share=0", f"tokens={at('tokens.hgt')}"]
LEARN = [f"steps={A.steps}", f"lr={A.lr}", f"batch_size={A.rows}", "schedule=constant", "warmup=0", "clip=0", "weight_decay=0", f"beta2={BETA2}"]
SAME = ["sample_tokens=0", "on_spike=none", "save_type=f32", "precision=f32"]


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def train(out, *keys):
    run(HIGGINS, "train", "-q", "--resume", "-o", out, *(word for k in [*DATA, *SAME, *keys] for word in ("--set", k)))


def write_checkpoint(folder, path):
    """Version 3 of llm.c's form: 256 numbers, then the weights by kind, of all layers together; a matrix holds a row for each output."""
    c, w = json.load(open(os.path.join(folder, "config.json"))), read_safetensors(os.path.join(folder, "model.safetensors"))
    of = lambda name: next(v.numpy() for k, v in w.items() if k in (name, "transformer." + name))
    layers = lambda name, turned=False: [of(f"h.{i}.{name}").T if turned else of(f"h.{i}.{name}") for i in range(c["n_layer"])]
    padded = -(-c["vocab_size"] // 128) * 128
    head = np.zeros(256, np.int32)
    head[:8] = 20240326, 3, c["n_positions"], c["vocab_size"], c["n_layer"], c["n_head"], c["n_embd"], padded
    parts = [np.pad(of("wte.weight"), ((0, padded - c["vocab_size"]), (0, 0))), of("wpe.weight")]
    for name in ("ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias",
                 "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"):  # fmt: skip
        parts += layers(name, turned=".c_" in name and name.endswith("weight"))
    parts += [of("ln_f.weight"), of("ln_f.bias")]
    with open(path, "wb") as f:
        head.tofile(f)
        for part in parts:
            np.ascontiguousarray(part, np.float32).tofile(f)


def write_batches(path):
    n = A.steps * A.rows
    run(ROW_DUMP, at("tokenizer.json"), n, at("rows.bin"), *DATA)
    rows = np.fromfile(at("rows.bin"), np.int32).reshape(-1, 3, A.seq)[:n]
    if rows[:, 1].min() < 0 or rows[:, 2, 1:].any():
        sys.exit(f"{A.text}: a row holds the end of a document, which llm.c does not know; give one longer text")
    rows.reshape(A.steps, A.rows, 3, A.seq)[:, :, :2].transpose(0, 2, 1, 3).tofile(path)


os.makedirs(A.out, exist_ok=True)
llmc = run(os.path.join(ROOT, "tests", "peer", "build_llmc.sh")).strip()
if not os.path.exists(at("tokenizer.json")):
    run(HIGGINS, "tokenizer", "train", A.text, "--vocab", A.vocab, "-o", at("tokenizer.json"))
train(at("first"), "arch=gpt2", f"depth={A.depth}", f"tokenizer={at('tokenizer.json')}", "steps=1", "lr=1e-12", "weight_decay=0", "batch_size=1")
train(at("ours"), f"base={at('first', 'model')}", *LEARN)
write_checkpoint(at("first", "model"), at("first.bin"))
write_batches(at("batches.bin"))
theirs = [float(x) for x in run(llmc, "losses", at("first.bin"), at("batches.bin"), A.rows, A.seq, A.lr, BETA2).split()]
ours = [o["loss"] for o in map(json.loads, open(at("ours", "log.jsonl"))) if "loss" in o]
assert len(ours) == len(theirs) == A.steps
apart = [abs(a / b - 1) for a, b in zip(ours, theirs)]
print(f"{'step':>6} {'ours':>11} {'llm.c':>11} {'apart':>10}")
for i in range(A.steps):
    print(f"{i + 1:6d} {ours[i]:11.6f} {theirs[i]:11.6f} {apart[i]:10.2e}")
print(json.dumps({"steps": A.steps, "first": ours[0], "last": ours[-1], "most_apart": max(apart)}))
