#!/usr/bin/env python3
"""Writes resnets.safetensors: what PyTorch computes in double for two residual nets. See README.md."""

import argparse
import json
import pathlib
import struct

import numpy as np
import torch
import torch.nn.functional as F

import rule
from resnet import ResNet

CASES = {
    # ResNet-20 for CIFAR, and ResNet-18 in the form for ImageNet on small images: 48 -> 24 -> 12, 6, 3, 2.
    "resnet20": dict(filters=16, blocks=[3, 3, 3], imagenet=False, size=32, batch=4, seed=21),
    "resnet18": dict(filters=64, blocks=[2, 2, 2, 2], imagenet=True, size=48, batch=4, seed=31),
}
CLASSES, STEPS = 10, 5
# Small steps: a ReLU that opens in float and not in double changes a gradient by a hundredth, and only the first pass is
# known to be clear of kinks. The losses show what the steps do. A large decay, for five steps to show it, and an epsilon
# above the gradients: with less, parameters whose gradients are nearly 0 move by what a kink adds to them. Noise of 1e-6
# of each convolution's deviation moved the results in double, with an epsilon of 1e-3, by 1.5e-4 to 6e-4 (four draws);
# with 0.1 by at most 3.3e-5, and those of SGD by 1.8e-5.
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.0002, momentum=0.9),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.0001, betas=(0.9, 0.999), eps=0.1, weight_decay=5),
}


class Case:
    def __init__(self, filters, blocks, imagenet, size, batch, seed):
        self.net = ResNet(filters, blocks, CLASSES, 3, imagenet)
        self.seed = seed
        nhwc = rule.images(seed, (batch, size, size, 3))
        self.x = torch.tensor(nhwc).permute(0, 3, 1, 2)
        self.labels = torch.tensor(rule.labels(seed, batch, CLASSES))

    def parameters(self):
        p = {n: torch.tensor(rule.parameter(self.seed, n, s)) for n, s in self.net.shapes.items()}
        for name, value in p.items():
            value.requires_grad_(not name.endswith((".mean", ".var")))
        return p

    def loss(self, p):
        logits, statistics = self.net.forward(p, self.x, training=True)
        return F.cross_entropy(logits, self.labels), logits, statistics


def trainable(p):
    return {n: v for n, v in p.items() if v.requires_grad}


def rows(arrays):
    return np.stack([rule.summary(n, v.detach().numpy()) for n, v in arrays.items()])


def compute(case):
    out = {}
    p = case.parameters()
    out["evaluation logits"] = case.net.forward(p, case.x, training=False)[0].detach().numpy()
    loss, logits, statistics = case.loss(p)
    loss.backward()
    print(f"  loss {loss.item():.6f}, closest to a kink {case.net.closest:.2g}")
    out["training logits"] = logits.detach().numpy()
    out["loss"] = np.array([loss.item()])
    out["gradient"] = rows({n: v.grad for n, v in trainable(p).items()})
    out["statistics"] = rows(statistics)
    for kind, make in OPTIMIZERS.items():
        p = case.parameters()
        optimizer = make(list(trainable(p).values()))
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss, _, statistics = case.loss(p)
            loss.backward()
            optimizer.step()
            p.update(statistics)
            losses.append(loss.item())
        print(f"  {kind}: " + " ".join(f"{x:.4f}" for x in losses))
        out[f"{kind} losses"] = np.array(losses)
        out[f"{kind} parameters"] = rows(p)  # the statistics too
    return out


def write_safetensors(path, arrays, metadata):
    header, at = {"__metadata__": metadata}, 0
    for name, a in arrays.items():
        header[name] = {"dtype": "F64", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(np.ascontiguousarray(a, dtype="<f8").tobytes() for a in arrays.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def search(count):
    """How close to a kink each seed comes: the best one is put into CASES."""
    for name, settings in CASES.items():
        for seed in range(1, count + 1):
            case = Case(**{**settings, "seed": seed})
            with torch.no_grad():
                case.loss(case.parameters())
            print(f"{name} seed {seed}: {case.net.closest:.3g}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", type=int, metavar="N", help="print the closeness to kinks of the seeds 1 .. N")
    n = parser.parse_args().search
    if n:
        return search(n)
    arrays, metadata = {}, {"torch": torch.__version__}
    for name, settings in CASES.items():
        print(name)
        case = Case(**settings)
        arrays.update({f"{name} {what}": a for what, a in compute(case).items()})
        metadata[f"{name} parameters"] = "\n".join(case.net.shapes)
        metadata[f"{name} seed"] = str(case.seed)
    path = pathlib.Path(__file__).with_name("resnets.safetensors")
    write_safetensors(path, arrays, metadata)
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
