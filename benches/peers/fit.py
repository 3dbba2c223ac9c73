#!/usr/bin/env python3
"""Training speed of smrt's mlp beside PyTorch's on the CPU, in one run.

The two take turns, so that both meet the same load; the ratio of the medians is the figure, the
samples per second only hold for this machine at this hour. PyTorch trains as its users write it:
the rows in memory, a permutation per epoch, cross-entropy, Adam, plain and fused.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install torch
    cargo bench --bench fit --no-run
    /tmp/peers/bin/python benches/peers/fit.py [--rounds 5] [--seconds 2] [--threads 2]

`--smrt COMMAND` names the bench binary when cargo's choice is not wanted.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

NETS = [
    ("30-64-32-2", 256),
    ("784-512-256-10", 256),
    ("784-512-256-10", 1024),
]


def bench_binary():
    """The path of the built `fit` bench, asked of cargo."""
    lines = subprocess.run(
        ["cargo", "bench", "--bench", "fit", "--no-run", "--message-format=json"],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    for line in lines:
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "fit":
            return message["executable"]
    raise SystemExit("cargo built no bench called fit")


def smrt(command, net, batch, seconds, threads):
    env = dict(os.environ, SMRT_FIT_ONCE=f"{net} {batch} {threads} {seconds}")
    out = subprocess.run([command], check=True, capture_output=True, text=True, env=env).stdout
    return float(out.split()[-2])


class Torch:
    def __init__(self, net, batch, fused):
        import torch

        self.torch = torch
        torch.manual_seed(7)
        sides = [int(side) for side in net.split("-")]
        rows = 16384 if sides[0] > 500 else 131072
        layers = []
        for inputs, outputs in zip(sides, sides[1:]):
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=fused)
        self.x = torch.randn(rows, sides[0])
        self.y = torch.randint(0, sides[-1], (rows,))
        self.batch = batch
        self.run(0.3)

    def run(self, seconds):
        """Samples per second of at least `seconds` of training."""
        torch, done, begun = self.torch, 0, time.perf_counter()
        while True:
            order = torch.randperm(len(self.x))
            for start in range(0, len(order), self.batch):
                rows = order[start : start + self.batch]
                self.optimizer.zero_grad(set_to_none=True)
                self.loss(self.model(self.x[rows]), self.y[rows]).backward()
                self.optimizer.step()
                done += len(rows)
                spent = time.perf_counter() - begun
                if spent >= seconds:
                    return done / spent


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=2.0)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--smrt")
    asked = arguments.parse_args()
    command = asked.smrt or bench_binary()
    import torch

    torch.set_num_threads(asked.threads)
    print(f"PyTorch {torch.__version__}, {asked.threads} threads, {asked.rounds} rounds")
    for net, batch in NETS:
        peers = {"plain": Torch(net, batch, False), "fused": Torch(net, batch, True)}
        rates = {name: [] for name in ["smrt", *peers]}
        for _ in range(asked.rounds):
            rates["smrt"].append(smrt(command, net, batch, asked.seconds, asked.threads))
            for name, peer in peers.items():
                rates[name].append(peer.run(asked.seconds))
        middle = {name: statistics.median(found) for name, found in rates.items()}
        ratio = lambda peer: f"{middle['smrt'] / middle[peer]:.2f}"
        print(
            f"{net} batch {batch}: smrt {middle['smrt']:,.0f}/s, "
            f"plain Adam {middle['plain']:,.0f}/s (ratio {ratio('plain')}), "
            f"fused Adam {middle['fused']:,.0f}/s (ratio {ratio('fused')})",
            flush=True,
        )


if __name__ == "__main__":
    main()
