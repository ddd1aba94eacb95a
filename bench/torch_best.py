"""A peer is measured at its best: this starts the script again with what makes torch fastest.

OpenBLAS, which multiplies float32 for torch, chooses kernels by the processor's name, and for new or virtual ones not always the
fastest (58 instead of 225 GFLOP/s on a Xeon without AMX): its choices are tried. glibc's malloc gives torch's large tensors back to the
system one by one and takes them anew, each page faulted in again: a fifth of a step's time, if it is not told to keep them."""
import os, subprocess, sys

CORES = ("", "SKYLAKEX", "ZEN", "HASWELL")
TRIAL = """
import time, torch
torch.set_num_threads(%d)
a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
a @ b
def once():
    start = time.monotonic()
    a @ b
    return time.monotonic() - start
print(min(once() for _ in range(8)))
"""


def take_best(threads):
    if os.environ.get("HG_OPENBLAS_CHOSEN"):
        return
    best, least = "", float("inf")
    for core in CORES:
        env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        if core:
            env["OPENBLAS_CORETYPE"] = core
        r = subprocess.run([sys.executable, "-c", TRIAL % threads], env=env, capture_output=True, text=True)
        if r.returncode == 0 and float(r.stdout) < least:
            best, least = core, float(r.stdout)
    os.environ.pop("OPENBLAS_CORETYPE", None)
    os.environ.pop("OPENBLAS_L2_SIZE", None)
    os.environ["HG_OPENBLAS_CHOSEN"] = "1"
    if best:
        os.environ["OPENBLAS_CORETYPE"] = best
    os.environ.update(MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(1 << 40), MALLOC_TOP_PAD_=str(1 << 28))
    print(f"torch: {2 * 1024**3 / least / 1e9:.0f} GFLOP/s in float32, OpenBLAS for {best or 'what it takes this processor for'}", file=sys.stderr)
    os.execv(sys.executable, [sys.executable, *sys.argv])
