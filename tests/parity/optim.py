#!/usr/bin/python3
"""Optimisers against torch: AdamW's own, and Muon written out as its papers have it (Jordan et al. 2024, Liu et al. 2025)."""
import os, subprocess, sys
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch"))
sys.dont_write_bytecode = True
from reference import *

TOOL = os.path.join(BUILD, "tests", "optim_steps")
cases = Cases()


def ours(w, grads, lr, *keys):
    raw = b"".join(x.numpy().astype(np.float32).tobytes() for x in [w, *grads])
    r = subprocess.run([TOOL, str(w.shape[0]), str(w.shape[1]), str(len(grads)), str(lr), *keys], input=raw, capture_output=True)
    assert r.returncode == 0, r.stderr.decode()
    return torch.from_numpy(np.frombuffer(r.stdout, np.float32).copy()).reshape(w.shape)


def clipped(g, clip):
    return g * min(1.0, clip / float(g.norm()))


def newton_schulz(u, dtype):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = u / (u.norm() + 1e-7)
    if x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(5):
        y = x.to(dtype).float()
        s = y @ y.T
        q = s.to(dtype).float()
        p = b * s + c * (q @ q)
        x = a * x + p.to(dtype).float() @ y
    return x.T if u.shape[0] > u.shape[1] else x


def muon(w, grads, lr, decay, momentum, clip, dtype):
    w, m = w.clone(), torch.zeros_like(w)
    for g in grads:
        g = clipped(g, clip)
        m = momentum * m + g
        o = newton_schulz(g + momentum * m, dtype)
        w = w * (1 - lr * decay) - lr * 0.2 * max(w.shape) ** 0.5 * o
    return w


def matrix(rows, cols, steps):
    g = torch.Generator().manual_seed(rows * 1000 + cols)
    return torch.randn(rows, cols, generator=g) * 0.1, [torch.randn(rows, cols, generator=g) * 0.03 for _ in range(steps)]


def muon_equal(rows, cols, precision, dtype, bound):
    w, grads = matrix(rows, cols, 4)
    want = muon(w, grads, 0.02, 0.1, 0.9, 1.0, dtype)
    got = ours(w, grads, 0.02, "optimizer=muon", "momentum=0.9", "weight_decay=0.1", "clip=1", f"precision={precision}")
    moved = float((want - w).abs().max())
    d = float((got - want).abs().max()) / moved
    assert d < bound, f"weights differ by {d:.2g} of the largest change"


def adamw_equal(rows, cols):
    w, grads = matrix(rows, cols, 6)
    p = torch.nn.Parameter(w.clone())
    opt = torch.optim.AdamW([p], lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for g in grads:
        p.grad = clipped(g, 1.0)
        opt.step()
    got = ours(w, grads, 0.01, "weight_decay=0.1", "clip=1")
    moved = float((p.data - w).abs().max())
    d = float((got - p.data).abs().max()) / moved
    assert d < 1e-5, f"weights differ by {d:.2g} of the largest change"


for shape in [(24, 40), (40, 24), (33, 33), (1, 7), (130, 65)]:
    cases.run(f"muon in float32, {shape[0]} x {shape[1]}", lambda shape=shape: muon_equal(*shape, "f32", torch.float32, 2e-4))
    cases.run(f"muon in bfloat16, {shape[0]} x {shape[1]}", lambda shape=shape: muon_equal(*shape, "bf16", torch.bfloat16, 2e-2))
    cases.run(f"adamw, {shape[0]} x {shape[1]}", lambda shape=shape: adamw_equal(*shape))
cases.close()
