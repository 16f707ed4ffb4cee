"""Numbers that Python and C++ (tests/parity_test.cpp) compute alike: parameters, images, labels, and where to look."""

import numpy as np

MASK = (1 << 64) - 1


def bits(name, count):
    """count times 64 random bits: splitmix64 of the FNV-1a hash of the name, plus the index."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(h) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, shape, low, high):
    """Uniform in [low, high), formed in double and rounded to float32; given back as double."""
    u = (bits(name, int(np.prod(shape))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return (low + (high - low) * u).astype(np.float32).astype(np.float64).reshape(shape)


def parameter(seed, name, shape):
    """Kernels of variance 1 / fan_in; scales, those that start at 0 too, and running variances from 0.5 to 1.5; else
    within 0.5 of 0."""
    if name.endswith(".kernel"):
        edge = np.sqrt(3.0 / int(np.prod(shape[:-1])))
        return uniform(f"{seed}/{name}", shape, -edge, edge)
    if name.endswith((".scale", ".var")):
        return uniform(f"{seed}/{name}", shape, 0.5, 1.5)
    return uniform(f"{seed}/{name}", shape, -0.5, 0.5)


def images(seed, shape):
    return uniform(f"{seed}/images", shape, -2.0, 2.0)


def labels(seed, count, classes):
    return (bits(f"{seed}/labels", count) % np.uint64(classes)).astype(np.int64)


PLACES = 12


def summary(name, values):
    """What is kept of an array: greatest magnitude, Euclidean norm, sum of magnitudes, sum, twelve elements."""
    v = np.asarray(values, dtype=np.float64).reshape(-1)
    places = (bits(f"{name}/places", PLACES) % np.uint64(v.size)).astype(np.int64)
    return np.concatenate([[np.abs(v).max(), np.sqrt((v * v).sum()), np.abs(v).sum(), v.sum()], v[places]])
