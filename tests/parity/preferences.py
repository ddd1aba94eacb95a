#!/usr/bin/python3
"""Losses of preferences and their derivatives against the papers' formulas written in torch: DPO (Rafailov 2023), IPO (Azar 2023), hinge (Zhao 2023),
ORPO (Hong 2024), KTO (Ethayarajh 2024); GRPO's tokens (Shao 2024); and distillation (Hinton 2015) with its gradients by the student's states and head."""
import os, subprocess, sys
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch"))
sys.dont_write_bytecode = True
from reference import *
import torch.nn.functional as F

TOOL = os.path.join(BUILD, "tests", "pair_losses")
DISTILL = os.path.join(BUILD, "tests", "distill_loss")
NUMBER = {"dpo": 1, "ipo": 2, "hinge": 3, "orpo": 4, "kto": 5, "grpo": 6}
cases = Cases()


def pairs(n=200):
    g = torch.Generator().manual_seed(7)
    length = torch.randint(1, 60, (n, 2), generator=g).double()
    logp = -torch.rand(n, 2, generator=g, dtype=torch.float64) * 2 * length
    ref = logp + torch.randn(n, 2, generator=g, dtype=torch.float64) * 3
    return logp, ref, length, torch.randint(0, 2, (n,), generator=g).double()


def ours(method, beta, smoothing, weight, good, bad, data):
    logp, ref, length, label = data
    raw = torch.cat([logp, ref, length, label[:, None]], 1).numpy().astype(np.float64).tobytes()
    args = [TOOL, str(NUMBER[method]), *(repr(float(x)) for x in (beta, smoothing, weight, good, bad))]
    r = subprocess.run(args, input=raw, capture_output=True)
    assert r.returncode == 0, r.stderr.decode()
    return torch.from_numpy(np.frombuffer(r.stdout, np.float64).copy()).reshape(-1, 3)


def torchs(method, beta, smoothing, weight, good, bad, data):
    logp, ref, length, label = data
    p = logp.clone().requires_grad_(True)
    h = (p[:, 0] - ref[:, 0]) - (p[:, 1] - ref[:, 1])
    if method == "dpo":
        loss = -(1 - smoothing) * F.logsigmoid(beta * h) - smoothing * F.logsigmoid(-beta * h)
    elif method == "ipo":
        loss = (h - 1 / (2 * beta)) ** 2
    elif method == "hinge":
        loss = torch.relu(1 - beta * h)
    elif method == "orpo":
        mean = p / length
        odds = mean - torch.log1p(-torch.exp(mean))
        loss = -mean[:, 0] - weight * F.logsigmoid(odds[:, 0] - odds[:, 1])
    else:
        z = (p[:, 1] - ref[:, 1]).mean().clamp(min=0).detach()
        r = p[:, 0] - ref[:, 0]
        loss = torch.where(label > 0, good * (1 - torch.sigmoid(beta * (r - z))), bad * (1 - torch.sigmoid(beta * (z - r))))
    loss.sum().backward()
    return torch.cat([loss.detach()[:, None], p.grad], 1)


def equal(method, beta, smoothing=0.0, weight=1.0, good=1.0, bad=1.0):
    data = pairs()
    a, b = ours(method, beta, smoothing, weight, good, bad, data), torchs(method, beta, smoothing, weight, good, bad, data)
    assert a.shape == b.shape
    d = ((a - b).abs() / (1 + b.abs())).max()
    assert d < 1e-9, f"off by {float(d):.3g}"


def grpo_equal(kl, clip):
    g = torch.Generator().manual_seed(3)
    a, p, old, ref = (torch.randn(500, generator=g, dtype=torch.float64) * x - y for x, y in ((1, 0), (1, 3), (0, 0), (0, 0)))
    old, ref = p + torch.randn(500, generator=g, dtype=torch.float64) * 0.3, p + torch.randn(500, generator=g, dtype=torch.float64)
    p = p.requires_grad_(True)
    ratio = torch.exp(p - old)
    k3 = torch.exp(ref - p) - (ref - p) - 1
    loss = -(torch.min(ratio * a, ratio.clamp(1 - clip, 1 + clip) * a) - kl * k3)
    loss.sum().backward()
    want = torch.stack([loss.detach(), p.grad, k3.detach()], 1)
    data = torch.stack([a, p.detach()], 1), torch.stack([old, ref], 1), torch.ones(500, 2, dtype=torch.float64), torch.ones(500, dtype=torch.float64)
    d = (ours("grpo", kl, clip, 0, 0, 0, data) - want).abs().max()
    assert d < 1e-9, f"off by {float(d):.3g}"


def distill_equal(t, share, cap=0.0, teacher_cap=0.0, rows=300, vocab=1000, d=24, teacher_vocab=1008, teacher_d=40):
    """Float32 against double: 1e-5 of the largest value of each output."""
    g = torch.Generator().manual_seed(11)
    x, w, tx, tw = (torch.randn(s, generator=g) for s in ((rows, d), (vocab, d), (rows, teacher_d), (teacher_vocab, teacher_d)))
    weights = torch.rand(rows, generator=g)
    weights[::7] = 0
    targets = torch.randint(0, vocab, (rows,), generator=g, dtype=torch.int32)
    targets[::5] = -1
    raw = b"".join(a.numpy().tobytes() for a in (x, w, tx, tw, weights, targets))
    args = [rows, vocab, d, teacher_vocab, teacher_d, t, share, cap, teacher_cap]
    r = subprocess.run([DISTILL, *map(str, args)], input=raw, capture_output=True)
    assert r.returncode == 0, r.stderr.decode()
    got = torch.from_numpy(np.frombuffer(r.stdout, np.float32).copy()).double()
    got = got.split([1, rows, rows, rows * d, vocab * d])

    x, w = x.double().requires_grad_(True), w.double().requires_grad_(True)
    z, u = x @ w.T, (tx.double() @ tw.double().T)[:, :vocab]
    z = cap * torch.tanh(z / cap) if cap > 0 else z
    u = teacher_cap * torch.tanh(u / teacher_cap) if teacher_cap > 0 else u
    keep = ((targets >= 0) & (weights > 0)).double()
    ce = F.cross_entropy(z, targets.long().clamp(min=0), reduction="none") * keep
    kl = F.kl_div(F.log_softmax(z / t, 1), F.log_softmax(u / t, 1), reduction="none", log_target=True).sum(1) * keep
    by = weights.double() * keep
    loss = (((1 - share) * ce + share * t * t * kl) * by).sum() / by.sum()
    loss.backward()
    want = (loss.detach().reshape(1), ce.detach(), kl.detach(), x.grad.flatten(), w.grad.flatten())
    for name, a, b in zip(("loss", "cross-entropy", "kl", "dx", "dw"), got, want):
        off = (a - b).abs().max() / b.abs().max()
        assert off < 1e-5, f"{name} off by {float(off):.3g}"


cases.run("dpo is torch's", lambda: equal("dpo", 0.1))
cases.run("dpo with label smoothing is torch's", lambda: equal("dpo", 0.5, 0.2))
cases.run("ipo is torch's", lambda: equal("ipo", 0.1))
cases.run("the hinge is torch's", lambda: equal("hinge", 0.3))
cases.run("orpo is torch's", lambda: equal("orpo", 0.1, 0.0, 0.6))
cases.run("kto is torch's", lambda: equal("kto", 0.2, 0.0, 1.0, 1.3, 0.7))
cases.run("grpo's tokens are torch's", lambda: grpo_equal(0.04, 0.2))
cases.run("grpo's tokens without kl are torch's", lambda: grpo_equal(0.0, 0.1))
cases.run("distillation is torch's", lambda: distill_equal(1.0, 0.5))
cases.run("distillation of the teacher alone, softened, is torch's", lambda: distill_equal(4.0, 1.0))
cases.run("distillation with soft caps is torch's", lambda: distill_equal(2.0, 0.3, 8.0, 20.0))
cases.close()
