#!/usr/bin/env python3
"""Rows of bench_steps beside PyTorch, JAX and ONNX Runtime, interleaved, on this machine.

    bench/compare.py [--bench build/release/bench/bench_steps] [--rows resnet8_sgd,mlp_sgd] [--threads 1,2]
                     [--kinds torch,torch-tuned,torch-compiled,jax,jax-scan,onnxruntime] [--rounds 5] [--out table.md]

For each row every contestant is started, and then they take turns: so what else the machine does meets all alike. A
framework that is not installed is left out, and said so. The table has the best and the median step of each, and how
many times as long it takes as ours.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

import peers

HERE = pathlib.Path(__file__).resolve().parent


class Ours:
    kind = "ev3"

    def __init__(self, bench, row, threads, seconds):
        self.command = [bench, f"--threads={threads}", f"--benchmark_filter=^{row}$", "--benchmark_format=json",
                        f"--benchmark_min_time={seconds / 5:g}", "--benchmark_repetitions=5"]
        self.version = ""

    def burst(self, seconds):
        out = subprocess.run(self.command, capture_output=True, text=True)
        if out.returncode != 0:
            sys.exit(f"{' '.join(self.command)}: {out.stderr.strip()}")
        unit = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}
        times = [b["real_time"] * unit[b["time_unit"]] for b in json.loads(out.stdout)["benchmarks"]
                 if b["run_type"] == "iteration"]
        if not times:
            sys.exit(f"{self.command[0]} has no row {self.command[2]}")
        return min(times), statistics.median(times)

    def stop(self):
        pass


class Peer:
    def __init__(self, kind, row, threads):
        self.kind = kind
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        if kind in ("torch-tuned", "torch-compiled"):
            environment["GLIBC_TUNABLES"] = peers.TUNED_MALLOC
        self.process = subprocess.Popen([sys.executable, str(HERE / "peers.py"), kind, row, str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment)
        first = self.line()
        self.version = first.split()[1] if first.startswith("ready") else None
        if self.version is None:
            errors = self.process.stderr.read().strip().splitlines()
            self.why = errors[-1] if errors else "it stopped"
            self.process.wait()

    def line(self):
        while True:
            line = self.process.stdout.readline()
            if not line or line.startswith("ready") or line[0].isdigit():
                return line

    def burst(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        _, best, median = self.line().split()
        return float(best), float(median)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def time_text(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def compare(row, threads, options, versions):
    contestants = [Ours(options.bench, row, threads, options.seconds)]
    for kind in options.kinds:
        if not peers.does(kind, row):
            continue
        peer = Peer(kind, row, threads)
        if peer.version is None:
            print(f"{row}: {kind} left out: {peer.why}", file=sys.stderr)
            continue
        versions[kind] = peer.version
        contestants.append(peer)
    bursts = {c.kind: [] for c in contestants}
    for _ in range(options.rounds):
        for c in contestants:
            bursts[c.kind].append(c.burst(options.seconds))
    for c in contestants:
        c.stop()
    return {kind: (min(b for b, _ in all_), statistics.median(m for _, m in all_)) for kind, all_ in bursts.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/release/bench/bench_steps")
    parser.add_argument("--rows", default=",".join(peers.ROWS))
    parser.add_argument("--kinds", default=",".join(peers.KINDS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    parser.add_argument("--out", help="where the table goes; it is printed as well")
    options = parser.parse_args()
    options.kinds = [k for k in options.kinds.split(",") if k]
    for name, got, known in (("--rows", options.rows.split(","), peers.ROWS), ("--kinds", options.kinds, peers.KINDS)):
        wrong = [g for g in got if g not in known]
        if wrong:
            parser.error(f"{name}: want some of {', '.join(known)}, got {', '.join(wrong)}")
    if not pathlib.Path(options.bench).is_file():
        parser.error(f"--bench: no file {options.bench}; build it, or name it")

    versions, lines = {}, []
    for row in options.rows.split(","):
        for threads in map(int, options.threads.split(",")):
            result = compare(row, threads, options, versions)
            ours = result["ev3"]
            cells = [f"{time_text(ours[0])} ({time_text(ours[1])})"]
            for kind in options.kinds:
                if kind not in result:
                    cells.append("-")
                    continue
                best, median = result[kind]
                cells.append(f"{time_text(best)} ({time_text(median)}), {best / ours[0]:.2f} ({median / ours[1]:.2f})")
            lines.append(f"| {row} | {threads} | " + " | ".join(cells) + " |")
            print(lines[-1], file=sys.stderr, flush=True)
    head = [f"{k} {versions[k]}" if k in versions else k for k in options.kinds]
    table = [f"{cpu_name()}, {len(os.sched_getaffinity(0))} CPUs. Best (median) of {options.rounds} turns; then how many "
             "times as long as ours.", "", "| row | threads | ev3 | " + " | ".join(head) + " |",
             "| --- | --- | --- |" + " --- |" * len(options.kinds)] + lines
    text = "\n".join(table) + "\n"
    print(text)
    if options.out:
        pathlib.Path(options.out).write_text(text)


if __name__ == "__main__":
    main()
