"""The round of EV3 that bench_steps calls ev3_demo_round, written for PyTorch and JAX: 6 candidates (3 temperatures of
the cross entropy, 2 optimizers) of 100 steps from the same parameters, each step on 32 samples drawn from 100,000; the
accuracy of each on 128 samples; the best one and the stable one on 2,048 more.

start(kind, threads) gives a function that runs a round, and the version. Kinds: torch (eager), jax (a compiled call for
each step), jax-scan (the whole round one compiled call, its loops among it).
"""

import os

STEPS, BATCH, ASSESS, ADAPT, SAMPLES = 100, 32, 128, 2048, 100_000
TEMPERATURES = (0.5, 1.0, 1.5)
OPTIMIZERS = ((0.1, 0.0), (0.01, 0.95))  # learning rate, momentum


def data():
    import numpy as np
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, SAMPLES).astype(np.int32)
    x = (rng.standard_normal((SAMPLES, 2)) + np.where(y[:, None] == 1, 1.5, -1.5)).astype(np.float32)
    return x, y


def torch_round(threads):
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    x, y = data()
    x, y = torch.from_numpy(x), torch.from_numpy(y).long()
    stable = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    start = [p.detach().clone() for p in stable.parameters()]
    model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))

    def load(values):
        with torch.no_grad():
            for p, v in zip(model.parameters(), values):
                p.copy_(v)

    def hits(values, count):
        load(values)
        at = torch.randint(SAMPLES, (count,))
        with torch.inference_mode():
            return (model(x[at]).argmax(1) == y[at]).float().mean().item()

    def run(k):
        candidates = []
        for temperature in TEMPERATURES:
            for rate, momentum in OPTIMIZERS:
                load(start)
                optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
                for _ in range(STEPS):
                    at = torch.randint(SAMPLES, (BATCH,))
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(model(x[at]) / temperature, y[at]).backward()
                    optimizer.step()
                candidates.append([p.detach().clone() for p in model.parameters()])
        best = max(candidates, key=lambda c: hits(c, ASSESS))
        return hits(best, ADAPT) - hits(start, ADAPT)
    return run, torch.__version__


def jax_round(threads, scan):
    # XLA takes its threads from the CPUs that the process may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import jax
    import jax.numpy as jnp
    from jax import lax
    x, y = (jnp.asarray(a) for a in data())
    k1, k2 = jax.random.split(jax.random.PRNGKey(1))
    start = [jax.random.normal(k1, (2, 8)), jnp.zeros(8), jax.random.normal(k2, (8, 2)) * 0.5, jnp.zeros(2)]
    grid = [(t, *o) for t in TEMPERATURES for o in OPTIMIZERS]

    def forward(p, x):
        return jax.nn.relu(x @ p[0] + p[1]) @ p[2] + p[3]

    def loss_of(p, x, y, temperature):
        return -jnp.take_along_axis(jax.nn.log_softmax(forward(p, x) / temperature), y[:, None], 1).mean()

    def one_step(p, m, key, choice):
        temperature, rate, momentum = choice
        at = jax.random.randint(key, (BATCH,), 0, SAMPLES)
        g = jax.grad(loss_of)(p, x[at], y[at], temperature)
        m = [momentum * a + b for a, b in zip(m, g)]
        return [a - rate * b for a, b in zip(p, m)], m

    def hits(p, key, count):
        at = jax.random.randint(key, (count,), 0, SAMPLES)
        return (forward(p, x[at]).argmax(1) == y[at]).mean()

    zeros = [jnp.zeros_like(p) for p in start]
    if scan:
        def whole(start, key):
            keys = jax.random.split(key, len(grid) + 2)
            candidates = []
            for choice, own in zip(grid, keys):
                def one(held, key, choice=choice):
                    return one_step(*held, key, choice), None
                (p, _), _ = lax.scan(one, (start, zeros), jax.random.split(own, STEPS))
                candidates.append(p)
            scores = jnp.stack([hits(p, keys[-1], ASSESS) for p in candidates])
            best = [jnp.stack(leaves)[scores.argmax()] for leaves in zip(*candidates)]
            return hits(best, keys[-2], ADAPT) - hits(start, keys[-2], ADAPT)
        run = jax.jit(whole)
        return (lambda k: float(run(start, jax.random.PRNGKey(k)))), jax.__version__
    step = jax.jit(one_step)
    measure = jax.jit(hits, static_argnums=2)

    def run(k):
        keys = jax.random.split(jax.random.PRNGKey(k), len(grid) * STEPS + 2)
        keys = list(keys)
        candidates = []
        for choice in grid:
            p, m = start, zeros
            for _ in range(STEPS):
                p, m = step(p, m, keys.pop(), choice)
            candidates.append(p)
        best = max(candidates, key=lambda p: float(measure(p, keys[0], ASSESS)))
        return float(measure(best, keys[1], ADAPT)) - float(measure(start, keys[1], ADAPT))
    return run, jax.__version__


def start(kind, threads):
    return torch_round(threads) if kind == "torch" else jax_round(threads, kind == "jax-scan")
