#!/usr/bin/env python3
"""Kills, write errors, full disks and damaged checkpoints: a run goes on afterwards to the bytes of one that was never disturbed.

usage: crash.py RUNNER [--count N] [--seed S]

Each of the four ways is tried N times (100 if it is not said), at a call that changes files drawn at random; see faults.c.
Needs Python and a C compiler. Exit code 0: everything held; 1: something did not, and its folder is kept.
"""
import argparse, os, random, re, shutil, subprocess, sys, tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULTS = ["metrics.jsonl", "samples.jsonl", "ledger.jsonl", "model/adapter_model.safetensors", "model/adapter_config.json"]
STAGES = ["sft", "dpo"]
RECIPE = f"""name = "crash"
[model]
base = "{ROOT}/tests/golden/models/qwen2"
[data.rows]
source = "{ROOT}/tests/golden/data/preference.jsonl"
eval_fraction = 0.2
[defaults]
data = "rows"
tuner = "lora"
lora = {{ rank = 4 }}
batch_size = 2
max_length = 192
max_steps = 6
save_steps = 2
eval_steps = 3
logging_steps = 1
learning_rate = 1e-3
[[stage]]
name = "sft"
kind = "sft"
[[stage]]
name = "dpo"
kind = "dpo"
"""


class Harness:
    def __init__(self, runner, seed):
        self.runner, self.random = Path(runner).resolve(), random.Random(seed)
        self.work = Path(tempfile.mkdtemp(prefix="crash-"))
        self.library = self.work / "faults.so"
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", HERE / "faults.c", "-o", self.library, "-ldl"], check=True)
        self.first, self.changed = self.undisturbed("first"), self.undisturbed("changed", "defaults.seed=5")
        if self.first == self.changed:
            sys.exit("the two settings give one result: nothing would be shown")

    def folder(self, name):
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "r.toml").write_text(RECIPE)
        return folder

    def run(self, folder, *sets, **fault):
        env = {**os.environ, "RAYON_NUM_THREADS": "2"}
        if fault:
            env.update(LD_PRELOAD=str(self.library), **{f"FAULT_{key.upper()}": str(value) for key, value in fault.items()})
        command = [self.runner, "run", "r.toml", *(part for one in sets for part in ("--set", one))]
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)

    def undisturbed(self, name, *sets):
        folder = self.folder(name)
        done = self.run(folder, *sets, count=folder / "calls")
        if done.returncode:
            sys.exit(f"the undisturbed run failed: {done.stderr}")
        self.calls = int((folder / "calls").read_text())
        return self.results(folder)

    def results(self, folder):
        at = folder / "runs/crash"
        return {f"{stage}/{name}": (at / stage / name).read_bytes() for stage in STAGES for name in RESULTS}

    def damage(self, folder):
        """Damages a file of the newest checkpoint, and says which."""
        found = sorted(folder.glob("runs/crash/*/checkpoints/step-*"), key=lambda path: path.stat().st_mtime_ns)
        if not found:
            return None
        file = self.random.choice(sorted(path for path in found[-1].iterdir()))
        way = self.random.choice(["flip", "cut", "remove"])
        content = bytearray(file.read_bytes())
        if way == "remove":
            file.unlink()
        elif way == "cut":
            file.write_bytes(content[: len(content) // 2])
        else:
            content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
            file.write_bytes(content)
        return f"{way} {file.relative_to(folder)}"

    def one(self, way):
        """One trial; returns what went wrong, or None."""
        folder = self.folder("trial")
        # Every second trial starts with finished results of other settings, which are then replaced.
        is_replacing = self.random.random() < 0.5
        sets = ["defaults.seed=5"] if is_replacing else []
        expected = self.changed if is_replacing else self.first
        if is_replacing:
            self.run(folder)
        kind = {"kill": "kill", "damage": "kill"}.get(way, way)
        steps = []
        for _ in range(self.random.choice([1, 1, 2, 3])):
            at = self.random.randrange(1, self.calls + 1)
            done = self.run(folder, *sets, kind=kind, at=at)
            steps.append(f"{kind} at {at}: exit {done.returncode} {done.stderr.strip().splitlines()[-1:]}")
            if kind == "kill" and done.returncode not in (-9, 0):
                return steps + ["it was not killed"]
            if kind != "kill" and done.returncode not in (0, 1, 2):
                return steps + ["an error of writing must end with 1"]
            if is_replacing:
                problem = self.replaced(folder)
                if problem:
                    return steps + [problem]
            if way == "damage":
                steps.append(f"damage: {self.damage(folder)}")
        done = self.run(folder, *sets)
        steps.append(f"last run: exit {done.returncode}")
        if done.returncode:
            return steps + [done.stderr]
        found = self.results(folder)
        wrong = [name for name in expected if found[name] != expected[name]]
        if wrong:
            return steps + [f"other than undisturbed: {wrong}"]
        left = [str(path) for path in folder.rglob("*") if re.search(r"\.unfinished-|\.next$|\.previous$|\.tmp", path.name)]
        return steps + [f"left behind: {left}"] if left else None

    def replaced(self, folder):
        """A finished result gives way only to a finished one."""
        for stage in STAGES:
            name = f"{stage}/model/adapter_model.safetensors"
            places = [folder / "runs/crash" / f"{stage}{end}" / "model/adapter_model.safetensors" for end in ("", ".previous", ".next")]
            kept = [place.read_bytes() for place in places if place.exists()]
            if not any(one in (self.first[name], self.changed[name]) for one in kept):
                return f"no finished result of `{stage}` is left"
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runner")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not shutil.which(os.environ.get("CC", "cc")):
        print("skipped: there is no C compiler")
        return 0
    harness = Harness(options.runner, options.seed)
    print(f"{harness.calls} calls of an undisturbed run change files")
    for way in ["kill", "error", "full", "damage"]:
        for trial in range(options.count):
            problem = harness.one(way)
            if problem:
                print(f"FAILED: {way}, trial {trial}, seed {options.seed}: kept in {harness.work}")
                print("\n".join(map(str, problem)))
                return 1
        print(f"{way}: {options.count} of {options.count} held", flush=True)
    shutil.rmtree(harness.work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
