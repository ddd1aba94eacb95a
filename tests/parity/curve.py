#!/usr/bin/python3
"""200 steps in our BF16 beside the same 200 steps in python3-torch in float32: the same first weights, rows, optimiser and schedule. Held-out
losses, and training losses smoothed over 20 steps, stay within half a percent of each other."""
import json, os, subprocess, sys, tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
STEPS, WINDOW, BOUND = 200, 20, 0.005


def curve(folder, key):
    lines = [json.loads(line) for line in open(os.path.join(folder, "log.jsonl"))]
    return {o["step"]: o[key] for o in lines if key in o}


def smoothed(losses):
    steps = sorted(losses)
    return {s: sum(losses[k] for k in steps[i + 1 - WINDOW:i + 1]) / WINDOW for i, s in enumerate(steps) if i + 1 >= WINDOW}


def apart(a, b):
    assert set(a) == set(b) and len(a) > 0, "the two logs have different steps"
    step = max(a, key=lambda s: abs(a[s] / b[s] - 1))
    return abs(a[step] / b[step] - 1), step


with tempfile.TemporaryDirectory() as out:
    texts = os.path.join(out, "texts")
    os.makedirs(texts)
    for folder in ("", "docs"): # prose that is always there
        for name in os.listdir(os.path.join(ROOT, folder)):
            if name.endswith(".md"):
                os.symlink(os.path.join(ROOT, folder, name), os.path.join(texts, name))
    run = os.path.join(out, "run")
    subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "bench", "beside_torch.py"), texts, run, "--steps", str(STEPS), "--depth", "2", "--vocab", "512",
                    "--rows", "8", "--seq", "64", "--lr", "1e-3", "--lot", "8", "--threads", "1"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ours, torch = os.path.join(run, "ours"), os.path.join(run, "torch")
    failed = 0
    loss = curve(ours, "loss")
    for name, (worst, step) in {
        "held-out losses": apart(curve(ours, "val_loss"), curve(torch, "val_loss")),
        "smoothed training losses": apart(smoothed(loss), smoothed(curve(torch, "loss"))),
    }.items():
        print(f"{name}: {worst:.3%} apart at the most, at step {step}")
        if worst > BOUND:
            failed += 1
            print(f"FAILED {name}: over {BOUND:.1%}")
    learnt = loss[min(loss)] - loss[max(loss)]
    print(f"the loss fell by {learnt:.2f}")
    if learnt < 1: # two curves that go nowhere would be alike too
        failed += 1
        print("FAILED the loss falls: it does not")
    print(f"{3 - failed} passed, {failed} failed, 0 skipped")
    sys.exit(failed > 0)
