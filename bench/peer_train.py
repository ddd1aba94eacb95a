# The peer of bench_train: the same shape in PyTorch, BF16 autocast, two threads. Prints tokens a second.
import os, sys, time

sys.dont_write_bytecode = True
from openblas import take_fastest

take_fastest(len(os.sched_getaffinity(0)))
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(len(os.sched_getaffinity(0)))
L, D, V, B, T = (int(x) for x in sys.argv[1:6])
H, FF = max(1, D // 64), (D * 8 // 3 + 63) // 64 * 64


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(D))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.w


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = Norm(), Norm()
        self.qkv, self.o = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.gate, self.up = nn.Linear(D, FF, bias=False), nn.Linear(D, FF, bias=False)
        self.down = nn.Linear(FF, D, bias=False)

    def forward(self, x, cos, sin, mask):
        q, k, v = (y.view(B, T, H, D // H).transpose(1, 2) for y in self.qkv(self.n1(x)).chunk(3, -1))
        turn = lambda y: y * cos + torch.cat((-y[..., D // H // 2 :], y[..., : D // H // 2]), -1) * sin
        s = (turn(q) @ turn(k).transpose(-1, -2)) * (D // H) ** -0.5 + mask
        y = (s.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(B, T, D)
        x = x + self.o(y)
        h = self.n2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(V, D)
        self.blocks = nn.ModuleList(Block() for _ in range(L))
        self.norm = Norm()

    def forward(self, ids, targets, cos, sin, mask):
        x = self.embed(ids)
        for b in self.blocks:
            x = b(x, cos, sin, mask)
        logits = F.linear(self.norm(x), self.embed.weight)
        return F.cross_entropy(logits.float().view(-1, V), targets.view(-1))


torch.manual_seed(0)
net = Net()
opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
angle = torch.outer(torch.arange(T).float(), 1e4 ** (-torch.arange(0, D // H, 2).float() / (D // H)))
cos, sin = (torch.cat((f(angle), f(angle)), -1) for f in (torch.cos, torch.sin))
mask = torch.full((T, T), float("-inf")).triu(1)
times = []
for step in range(5):
    ids, targets = torch.randint(V, (B, T)), torch.randint(V, (B, T))
    start = time.monotonic()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = net(ids, targets, cos, sin, mask)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()
    opt.zero_grad(set_to_none=True)
    times.append(time.monotonic() - start)
print(B * T / sorted(times[1:])[2])
