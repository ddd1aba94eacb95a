#!/usr/bin/python3
"""Exported float32 GGUFs of every architecture: llama.cpp computes the logits that Higgins does. Ours are torch's (models.py); here the
files' names, layouts and metadata are at stake. gpt-oss stands here without yarn: its blend begins and ends between pairs, which
llama.cpp rounds to whole ones; models.py has it."""
import os, subprocess, sys, tempfile
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch"))
sys.dont_write_bytecode = True
from reference import BUILD, ROOT, Cases, Skip, dump, far

TMP = tempfile.TemporaryDirectory(prefix="higgins-llama-")
IDS = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26, 43, 38, 32, 79, 50, 28, 84]
MODELS = {
    "llama": "arch=llama width=64 heads=4 kv=2 ff=96 scale=6",
    "llama tied": "arch=llama width=64 heads=4 ff=96 scale=6 tie=1",
    "llama 3 scaling": "arch=llama width=64 heads=2 kv=1 head=32 scale=6 theta=500000 llama3=8",
    "llama yarn": "arch=llama width=64 heads=2 head=32 scale=6 yarn=4",
    "qwen2": "arch=qwen2 width=64 heads=4 kv=2 ff=96 scale=6",
    "qwen3": "arch=qwen3 width=64 heads=4 kv=2 head=32 ff=96 scale=6",
    "gpt2": "arch=gpt2 width=64 heads=4 ff=128 scale=6 tie=1",
    "gpt-neox": "arch=gpt_neox width=64 heads=4 ff=96 rot=8 layers=3 scale=6",
    "phi3": "arch=phi3 width=64 heads=4 kv=2 ff=96 rot=8 scale=6",
    "phi3 longrope, short": "arch=phi3 width=64 heads=4 kv=2 ff=96 scale=6 long=256 ctx=512",
    "phi3 longrope, long": "arch=phi3 width=64 heads=4 kv=2 ff=96 scale=6 long=4 ctx=256",
    "smollm3": "arch=smollm3 width=64 heads=4 kv=2 ff=96 layers=5 scale=6 tie=1",
    "olmo2": "arch=olmo2 width=64 heads=4 kv=2 ff=96 layers=3 scale=6",
    "gemma2": "arch=gemma2 width=64 heads=4 kv=2 head=32 ff=96 layers=4 scale=6 window=5 tie=1",
    "gemma3": "arch=gemma3 width=64 heads=4 kv=2 head=32 ff=96 layers=7 scale=6 window=5 theta=1000000 local=10000 tie=1",
    "mixtral": "arch=mixtral width=64 heads=4 kv=2 ff=96 scale=6 experts=5 used=2",
    "qwen3-moe": "arch=qwen3_moe width=64 heads=4 kv=2 head=32 ff=64 scale=6 experts=6 used=3",
    "gpt-oss": "arch=gpt-oss width=64 heads=4 kv=2 head=32 ff=64 layers=4 scale=6 experts=6 used=3 window=5",
}
# llama.cpp looks GELU up in a table of float16.
GELU = ("gpt2", "gpt-neox", "gemma2", "gemma3")
cases = Cases()


def at(name):
    return os.path.join(TMP.name, name.replace(" ", "-"))


def peer():
    r = subprocess.run(["bash", os.path.join(ROOT, "tests/peer/build.sh")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if r.returncode == 77:
        raise Skip(r.stderr.decode().strip())
    return r.stdout.decode().strip()


def theirs(gguf, ids):
    # 256 is the first context of "longrope, short", beyond which llama.cpp takes the other factors.
    r = subprocess.run([peer(), "logits", gguf, ids, "cache=f32", "flash=0", "ctx=256"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert r.returncode == 0, r.stderr.decode()[-400:]
    return np.frombuffer(r.stdout, np.float32).reshape(len(IDS), -1)


def ours(model, ids):
    dump("logits", model, at("logits.f32"), ids)
    return np.fromfile(at("logits.f32"), np.float32).reshape(len(IDS), -1)


def agree(name):
    folder, gguf, ids = at(name), at(name) + ".gguf", ",".join(map(str, IDS))
    dump("new", folder, "type=f32", *MODELS[name].split())
    subprocess.run([os.path.join(BUILD, "higgins"), "export", folder, "-o", gguf, "-q"], check=True, stdout=subprocess.DEVNULL)
    mine = ours(folder, ids)
    d = far(ours(gguf, ids), mine)
    assert d < 1e-6, f"logits of the folder and of its GGUF differ by {d:.2g}"
    d = far(mine, theirs(gguf, ids))
    assert d < (1e-3 if name in GELU else 1e-4), f"logits differ by {d:.2g} of the largest"


for name in MODELS:
    cases.run(f"{name}: the logits of llama.cpp", lambda: agree(name))
cases.close()
