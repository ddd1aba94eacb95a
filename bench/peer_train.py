# The peer of bench_train: the same shape in PyTorch, in float32 and with BF16 autocast, on as many threads. For each line "f32" or "bf16"
# that it reads it takes a step and prints its seconds.
#   peer_train.py llama|gpt2 LAYERS WIDTH VOCABULARY ROWS TOKENS
import os, sys, time

sys.dont_write_bytecode = True
from torch_best import take_best

take_best(len(os.sched_getaffinity(0)))
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(len(os.sched_getaffinity(0)))
ARCH = sys.argv[1]
L, D, V, B, T = (int(x) for x in sys.argv[2:7])
IS_GPT2 = ARCH == "gpt2"
H, FF = max(1, D // 64), 4 * D if IS_GPT2 else (D * 8 // 3 + 63) // 64 * 64


class RMSNorm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.w = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.w


Norm = nn.LayerNorm if IS_GPT2 else RMSNorm
angle = torch.outer(torch.arange(T).float(), 1e4 ** (-torch.arange(0, D // H, 2).float() / (D // H)))
cos, sin = (torch.cat((f(angle), f(angle)), -1) for f in (torch.cos, torch.sin))
mask = torch.full((T, T), float("-inf")).triu(1)


def turned(y):
    return y if IS_GPT2 else y * cos + torch.cat((-y[..., D // H // 2 :], y[..., : D // H // 2]), -1) * sin


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        linear = lambda a, b: nn.Linear(a, b, bias=IS_GPT2)
        self.n1, self.n2 = Norm(D), Norm(D)
        self.qkv, self.o, self.up, self.down = linear(D, 3 * D), linear(D, D), linear(D, FF), linear(FF, D)
        self.gate = None if IS_GPT2 else linear(D, FF)

    def forward(self, x):
        q, k, v = (y.view(B, T, H, D // H).transpose(1, 2) for y in self.qkv(self.n1(x)).chunk(3, -1))
        s = (turned(q) @ turned(k).transpose(-1, -2)) * (D // H) ** -0.5 + mask
        y = (s.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(B, T, D)
        x = x + self.o(y)
        h = self.n2(x)
        return x + self.down(F.gelu(self.up(h), approximate="tanh") if IS_GPT2 else F.silu(self.gate(h)) * self.up(h))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(V, D)
        self.pos = nn.Embedding(T, D) if IS_GPT2 else None
        self.blocks = nn.ModuleList(Block() for _ in range(L))
        self.norm = Norm(D)

    def forward(self, ids, targets):
        x = self.embed(ids)
        if self.pos is not None:
            x = x + self.pos.weight
        for b in self.blocks:
            x = b(x)
        logits = F.linear(self.norm(x), self.embed.weight)
        return F.cross_entropy(logits.float().view(-1, V), targets.view(-1))


torch.manual_seed(0)
net = Net()
opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
for line in sys.stdin:
    ids, targets = torch.randint(V, (B, T)), torch.randint(V, (B, T))
    start = time.monotonic()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=line.strip() == "bf16"):
        loss = net(ids, targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()
    opt.zero_grad(set_to_none=True)
    print(time.monotonic() - start, flush=True)
