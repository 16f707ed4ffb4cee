#!/usr/bin/env python3
"""One row of bench_steps by another framework, timed on demand. Started by compare.py:

    peers.py KIND ROW THREADS

prints "ready VERSION" once the first steps are done; then, for every line "SECONDS" that it reads, it runs steps for
about so long and prints "COUNT BEST MEDIAN" (seconds of a step). Data are the same for every kind: made up, NHWC, all
batches in memory beforehand. Steps fetch the loss, as a training loop does.
"""

import os
import statistics
import sys
import time

ROWS = ["resnet8_sgd", "resnet8_adamw", "resnet20_sgd", "resnet20_adamw", "resnet8_eval", "resnet20_eval",
        "resnet8_latency", "resnet20_latency", "mlp_sgd", "mlp_adamw", "mlp_eval", "mlp_latency", "lenet_sgd",
        "lenet_adamw", "lenet_eval", "lenet_latency", "tiny_sgd", "tiny_adamw", "ev3_demo_round"]
KINDS = ["torch", "torch-tuned", "torch-compiled", "jax", "jax-scan", "onnxruntime"]
SCANNED = 100  # steps of a call of the kind jax-scan, which compiles the loop
# glibc's malloc, told to keep its memory and to use huge pages: for the kinds that are called tuned.
TUNED_MALLOC = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=2000000000:glibc.malloc.trim_threshold=20000000000"
SHAPES = {"resnet8": (32, 32, 3), "resnet20": (32, 32, 3), "mlp": (784,), "lenet": (28, 28, 1), "tiny": (2,)}
BLOCKS = {"resnet8": 1, "resnet20": 3}


def does(kind, row):
    """Whether a kind has a row of its own."""
    what = row.rsplit("_", 1)[1]
    if row == "ev3_demo_round":
        return kind in ("torch", "jax", "jax-scan")
    if kind == "jax-scan":
        return what in ("sgd", "adamw") and row.split("_")[0] in ("tiny", "mlp")
    return kind != "onnxruntime" or what in ("eval", "latency")


def batch_of(net, what):
    return 1 if what == "latency" else 32 if net == "tiny" else 128


def rate_of(net, what):
    return {"sgd": 0.1 if net == "tiny" else 0.01, "adamw": 0.01 if net == "tiny" else 0.001}[what]


def momentum_of(net):
    return 0.9 if net.startswith("resnet") else 0.0


def classes_of(net):
    return 2 if net == "tiny" else 10


def data(net, what, count=8):
    import numpy as np
    rng = np.random.default_rng(1)
    n = batch_of(net, what)
    return [(rng.standard_normal((n, *SHAPES[net]), dtype=np.float32),
             rng.integers(0, classes_of(net), n).astype(np.int32)) for _ in range(count)]


# ---------------------------------------------------------------- PyTorch


def torch_net(net):
    from torch import nn

    def conv_norm(i, o, window, stride):
        return nn.Sequential(nn.Conv2d(i, o, window, stride, window // 2, bias=False), nn.BatchNorm2d(o))

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.first, self.second = conv_norm(i, o, 3, stride), conv_norm(o, o, 3, 1)
            self.shortcut = conv_norm(i, o, 1, stride) if i != o or stride != 1 else nn.Identity()

        def forward(self, x):
            return nn.functional.relu(self.second(nn.functional.relu(self.first(x))) + self.shortcut(x))

    if net in BLOCKS:
        layers, width = [conv_norm(3, 16, 3, 1), nn.ReLU()], 16
        for stage in range(3):
            for block in range(BLOCKS[net]):
                out = 16 << stage
                layers.append(Block(width, out, 2 if stage and not block else 1))
                width = out
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    if net == "lenet":
        return nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(32, 64, 3, padding=1),
                             nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(7 * 7 * 64, 256), nn.ReLU(),
                             nn.Linear(256, 10))
    widths = [2, 8, 2] if net == "tiny" else [784, 512, 512, 10]
    layers = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.Linear(i, o), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def torch_step(kind, net, what, threads):
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = torch_net(net)
    tuned = kind != "torch"
    images = len(SHAPES[net]) == 3
    layout = torch.channels_last if tuned and images else torch.contiguous_format
    model = model.to(memory_format=layout) if images else model

    def tensor(x):
        x = torch.from_numpy(x)
        return x.permute(0, 3, 1, 2).contiguous(memory_format=layout) if images else x

    batches = [(tensor(x), torch.from_numpy(y).long()) for x, y in data(net, what)]
    if what in ("eval", "latency"):
        model.eval()
        run = torch.compile(model) if kind == "torch-compiled" else model

        def step(k):
            with torch.inference_mode():
                return run(batches[k % len(batches)][0]).sum().item()
        return step, torch.__version__
    rate, fused = rate_of(net, what), dict(fused=True) if tuned else {}
    if what == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum_of(net), **fused)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, **fused)

    def loss_of(x, y):
        return torch.nn.functional.cross_entropy(model(x), y)
    compiled = torch.compile(loss_of) if kind == "torch-compiled" else loss_of

    def step(k):
        x, y = batches[k % len(batches)]
        optimizer.zero_grad()
        loss = compiled(x, y)
        loss.backward()
        optimizer.step()
        return loss.item()
    return step, torch.__version__


# ---------------------------------------------------------------- JAX


def jax_step(net, what, threads, scan):
    # XLA takes its threads from the CPUs that the process may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import jax
    import jax.numpy as jnp
    from jax import lax
    keys = iter(jax.random.split(jax.random.PRNGKey(1), 200))

    def weight(*shape):
        fan = 1
        for s in shape[:-1]:
            fan *= s
        return jax.random.normal(next(keys), shape) * (2 / fan) ** 0.5

    def conv(x, w, stride=1):
        return lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def norm_parameters(n):
        return {"scale": jnp.ones(n), "bias": jnp.zeros(n), "mean": jnp.zeros(n), "var": jnp.ones(n)}

    def norm(x, p, training, statistics):
        mean, var = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else (p["mean"], p["var"])
        if training:
            statistics.append((0.9 * p["mean"] + 0.1 * mean, 0.9 * p["var"] + 0.1 * var))
        return (x - mean) * (p["scale"] / jnp.sqrt(var + 1e-5)) + p["bias"]

    if net in BLOCKS:
        blocks, width = [], 16
        parameters = {"stem": weight(3, 3, 3, 16), "stem_norm": norm_parameters(16)}
        for stage in range(3):
            for block in range(BLOCKS[net]):
                out, stride = 16 << stage, 2 if stage and not block else 1
                b = {"c1": weight(3, 3, width, out), "n1": norm_parameters(out), "c2": weight(3, 3, out, out),
                     "n2": norm_parameters(out)}
                if width != out:
                    b |= {"cp": weight(1, 1, width, out), "np": norm_parameters(out)}
                blocks.append((b, stride))
                width = out
        parameters |= {"blocks": [b for b, _ in blocks], "w": weight(width, 10), "b": jnp.zeros(10)}
        strides = [s for _, s in blocks]

        def forward(p, x, training, statistics):
            x = jax.nn.relu(norm(conv(x, p["stem"]), p["stem_norm"], training, statistics))
            for b, stride in zip(p["blocks"], strides):
                y = jax.nn.relu(norm(conv(x, b["c1"], stride), b["n1"], training, statistics))
                y = norm(conv(y, b["c2"]), b["n2"], training, statistics)
                if "cp" in b:
                    x = norm(conv(x, b["cp"], stride), b["np"], training, statistics)
                x = jax.nn.relu(x + y)
            return x.mean((1, 2)) @ p["w"] + p["b"]
    elif net == "lenet":
        parameters = {"c1": weight(3, 3, 1, 32), "b1": jnp.zeros(32), "c2": weight(3, 3, 32, 64), "b2": jnp.zeros(64),
                      "w3": weight(7 * 7 * 64, 256), "b3": jnp.zeros(256), "w4": weight(256, 10), "b4": jnp.zeros(10)}

        def pool(x):
            return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4

        def forward(p, x, training, statistics):
            x = pool(jax.nn.relu(conv(x, p["c1"]) + p["b1"]))
            x = pool(jax.nn.relu(conv(x, p["c2"]) + p["b2"]))
            return jax.nn.relu(x.reshape(x.shape[0], -1) @ p["w3"] + p["b3"]) @ p["w4"] + p["b4"]
    else:
        widths = [2, 8, 2] if net == "tiny" else [784, 512, 512, 10]
        parameters = [(weight(i, o), jnp.zeros(o)) for i, o in zip(widths, widths[1:])]

        def forward(p, x, training, statistics):
            for w, b in p[:-1]:
                x = jax.nn.relu(x @ w + b)
            return x @ p[-1][0] + p[-1][1]

    batches = [(jnp.asarray(x), jnp.asarray(y)) for x, y in data(net, what)]
    if what in ("eval", "latency"):
        run = jax.jit(lambda p, x: forward(p, x, False, []))
        return (lambda k: run(parameters, batches[k % len(batches)][0]).block_until_ready()), jax.__version__
    rate, momentum = rate_of(net, what), momentum_of(net)

    def loss_of(p, x, y):
        statistics = []
        logits = forward(p, x, True, statistics)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), statistics

    def update(p, state, x, y):
        (loss, statistics), g = jax.value_and_grad(loss_of, has_aux=True)(p, x, y)
        each = jax.tree_util.tree_map
        if what == "sgd":
            state = each(lambda m, d: momentum * m + d, state, g)
            return each(lambda w, m: w - rate * m, p, state), state, loss, statistics
        m, v, t = state
        t = t + 1
        m, v = each(lambda a, d: 0.9 * a + 0.1 * d, m, g), each(lambda a, d: 0.999 * a + 0.001 * d * d, v, g)
        p = each(lambda w, a, b: w - rate * (a / (1 - 0.9 ** t) / (jnp.sqrt(b / (1 - 0.999 ** t)) + 1e-8) + 0.01 * w),
                 p, m, v)
        return p, (m, v, t), loss, statistics

    def scanned(p, state, xs, ys):
        def one(held, batch):
            p, state, loss, _ = update(*held, *batch)
            return (p, state), loss
        (p, state), losses = lax.scan(one, (p, state), (xs, ys))
        return p, state, losses[-1], []

    zeros = jax.tree_util.tree_map(jnp.zeros_like, parameters)
    run = jax.jit(scanned if scan else update, donate_argnums=(0, 1))
    if scan:
        some = [batches[k % len(batches)] for k in range(SCANNED)]
        batches = [(jnp.stack([x for x, _ in some]), jnp.stack([y for _, y in some]))]
    held = [parameters, zeros if what == "sgd" else (zeros, jax.tree_util.tree_map(jnp.zeros_like, parameters), 0.0)]

    def step(k):
        held[0], held[1], loss, _ = run(held[0], held[1], *batches[k % len(batches)])
        return float(loss)
    return step, jax.__version__


# ---------------------------------------------------------------- ONNX Runtime


def onnx_step(net, what, threads):
    import io
    import onnxruntime
    import torch
    if what not in ("eval", "latency"):
        raise SystemExit("onnxruntime does not train")
    model = torch_net(net).eval()
    batches = data(net, what)
    images = len(SHAPES[net]) == 3
    inputs = [x.transpose(0, 3, 1, 2).copy() if images else x for x, _ in batches]
    buffer = io.BytesIO()
    torch.onnx.export(model, (torch.from_numpy(inputs[0]),), buffer, input_names=["x"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
    return (lambda k: session.run(None, {"x": inputs[k % len(inputs)]})), onnxruntime.__version__


def main():
    kind, row, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    net, what = row.rsplit("_", 1)
    steps = 1
    if row == "ev3_demo_round":
        import peers_round
        step, version = peers_round.start(kind, threads)
    elif kind in ("jax", "jax-scan"):
        steps = SCANNED if kind == "jax-scan" else 1
        step, version = jax_step(net, what, threads, steps > 1)
    elif kind == "onnxruntime":
        step, version = onnx_step(net, what, threads)
    else:
        step, version = torch_step(kind, net, what, threads)
    for k in range(5):
        step(k)
    print("ready", version, flush=True)
    k = 0
    for line in sys.stdin:
        seconds, times = float(line), []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            step(k)
            times.append((time.perf_counter() - start) / steps)
            k += 1
        print(len(times), min(times), statistics.median(times), flush=True)


if __name__ == "__main__":
    main()
