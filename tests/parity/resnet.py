"""The residual nets of nn/resnet.h, written out for PyTorch from their description, in double."""

import torch
import torch.nn.functional as F


class ResNet:
    """x [n, c, h, w]; kernels are held as ours are, [height, width, in, out] and [in, out]."""

    def __init__(self, filters, blocks, classes, channels, imagenet):
        self.filters, self.blocks, self.classes, self.channels = filters, blocks, classes, channels
        self.imagenet = imagenet
        self.shapes = {}  # parameters and statistics by name, in the order of the layout
        self._pair("stem.conv", "stem.norm", 7 if imagenet else 3, channels, filters)
        width = filters
        for name, into, out, _ in self.all_blocks():
            self._pair(name + ".conv1", name + ".norm1", 3, into, out)
            self._pair(name + ".conv2", name + ".norm2", 3, out, out)
            if into != out:
                self._pair(name + ".proj.conv", name + ".proj.norm", 1, into, out)
            width = out
        self.shapes["head.kernel"] = (width, classes)
        self.shapes["head.bias"] = (classes,)

    def _pair(self, conv, norm, window, into, out):
        self.shapes[conv + ".kernel"] = (window, window, into, out)
        for part in ("scale", "bias", "mean", "var"):
            self.shapes[f"{norm}.{part}"] = (out,)

    def all_blocks(self):
        """(name, channels in, channels out, stride)"""
        into = self.filters
        for s, count in enumerate(self.blocks):
            out = self.filters * 2**s
            for b in range(count):
                yield f"stage{s + 1}.block{b + 1}", into, out, 2 if s > 0 and b == 0 else 1
                into = out

    def forward(self, p, x, training):
        """Logits [n, classes], and the new running statistics (of training, else empty)."""
        self.statistics, self.closest = {}, float("inf")
        if self.imagenet:
            x = self._relu(self._conv_norm(p, "stem.conv", "stem.norm", x, 2, (3, 3, 3, 3), training))
            x = self._max_pool(x, 3, 2)
        else:
            x = self._relu(self._conv_norm(p, "stem.conv", "stem.norm", x, 1, None, training))
        for name, into, out, stride in self.all_blocks():
            y = self._conv_norm(p, name + ".conv1", name + ".norm1", x, stride, None, training)
            y = self._conv_norm(p, name + ".conv2", name + ".norm2", self._relu(y), 1, None, training)
            if into != out:
                x = self._conv_norm(p, name + ".proj.conv", name + ".proj.norm", x, stride, None, training)
            x = self._relu(y + x)
        return x.mean(dim=(2, 3)) @ p["head.kernel"] + p["head.bias"], self.statistics

    def _conv_norm(self, p, conv, norm, x, stride, pad, training):
        w = p[conv + ".kernel"].permute(3, 2, 0, 1)
        x = F.conv2d(F.pad(x, pad or same(x, w.shape[2], stride)), w, stride=stride)
        if training:
            mean = x.mean(dim=(0, 2, 3))
            var = ((x - mean[:, None, None]) ** 2).mean(dim=(0, 2, 3))  # biased
            for part, batch in (("mean", mean), ("var", var)):
                full = f"{norm}.{part}"
                self.statistics[full] = (0.9 * p[full] + 0.1 * batch).detach()
        else:
            mean, var = p[norm + ".mean"], p[norm + ".var"]
        x = (x - mean[:, None, None]) / torch.sqrt(var + 1e-5)[:, None, None]
        return x * p[norm + ".scale"][:, None, None] + p[norm + ".bias"][:, None, None]

    def _relu(self, x):
        # How close the net comes to a kink, where float and double may go to different sides of it.
        self.closest = min(self.closest, x.detach().abs().min().item())
        return torch.relu(x)

    def _max_pool(self, x, window, stride):
        x = F.pad(x, same(x, window, stride), value=-float("inf"))
        columns = F.unfold(x, window, stride=stride)  # [n, c window^2, positions]
        columns = columns.reshape(x.shape[0], x.shape[1], window * window, -1)
        two = columns.detach().topk(2, dim=2).values
        gaps = (two[:, :, 0] - two[:, :, 1])[two[:, :, 0] > 0]  # zeros are tied, and get no gradient
        self.closest = min(self.closest, gaps.min().item())
        return F.max_pool2d(x, window, stride)


def same(x, window, stride):
    """Padding (left, right, top, bottom) of "SAME": ceil(size / stride) windows, the smaller half in front."""
    out = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        out += [total // 2, total - total // 2]
    return out
