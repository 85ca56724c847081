"""Times TRL on the shapes, rows and settings of benches/recipes: trl_dpo.py SHAPE [options]

SHAPE is a recipe's name (llama-8b, llama-1b, qwen-0.5b): the model is made from its [model.scratch], in random
weights, and rank, alpha, batch, accumulation and learning rate from its [defaults]. Run
benches/recipes/make_rows.py first. Prints one JSON line: rows per second from the end of the second step to the
end of the last, peak device memory, the losses, and the versions.

    pip install torch transformers trl peft datasets liger-kernel
"""

import argparse
import json
import os
import tempfile
import time
import tomllib
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "target" / "bench"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape")
    parser.add_argument("--kind", choices=["dpo", "sft"], default="dpo")
    parser.add_argument("--rows", choices=["hh", "long"], default="hh")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
    parser.add_argument("--liger", action="store_true", help="Liger's kernels, and its loss where TRL has one")
    parser.add_argument("--precompute-reference", action="store_true", help="the reference once, before training")
    parser.add_argument("--batch", type=int, help="rows a micro-batch; the recipe's with less accumulation")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=N", help="another number in [model.scratch]")
    return parser.parse_args()


options = arguments()
recipe = tomllib.loads((HERE.parent / "recipes" / f"{options.shape}.toml").read_text())
scratch, defaults = recipe["model"]["scratch"], recipe["defaults"]
for pair in options.set:
    key, value = pair.split("=")
    scratch[key] = int(value)

import peft
import torch
import transformers
import trl
from datasets import Dataset
from torch.utils.data import SequentialSampler

torch.manual_seed(0)
on_gpu = options.device == "cuda"
dtype = torch.bfloat16 if on_gpu else torch.float32
tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(DATA / Path(scratch["tokenizer"]).name)
configs = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}
shape = {key: value for key, value in scratch.items() if key not in ("architecture", "tokenizer", "rope_theta")}
config = configs[scratch["architecture"]](
    **shape,
    vocab_size=len(tokenizer),
    rope_parameters={"rope_type": "default", "rope_theta": scratch["rope_theta"]},
    eos_token_id=tokenizer.eos_token_id,
    pad_token_id=tokenizer.pad_token_id,
    bos_token_id=None,
    use_cache=False,
)
with torch.device(options.device):
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=options.attention)

whole = defaults["batch_size"] * defaults["gradient_accumulation_steps"]
batch = options.batch or defaults["batch_size"]
rows = [json.loads(line) for line in (DATA / f"{options.rows}.jsonl").read_text().splitlines()]
rows = (rows * (1 + whole * options.steps // len(rows)))[: whole * options.steps]
if options.kind == "sft":
    rows = [{"prompt": row["prompt"], "completion": " " + row["chosen"]} for row in rows]
else:
    rows = [{key: ("" if key == "prompt" else " ") + row[key] for key in ("prompt", "chosen", "rejected")} for row in rows]

ends = []


class Clock(transformers.TrainerCallback):
    def on_step_end(self, *_, **__):
        if on_gpu:
            torch.cuda.synchronize()
        ends.append(time.perf_counter())


def in_file_order(trainer):
    """The trainer, without shuffling."""

    class Ordered(trainer):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(self.train_dataset if dataset is None else dataset)

    return Ordered


common = dict(
    output_dir=tempfile.mkdtemp(),
    per_device_train_batch_size=batch,
    gradient_accumulation_steps=whole // batch,
    max_steps=options.steps,
    learning_rate=defaults["learning_rate"],
    max_length=defaults["max_length"],
    gradient_checkpointing=options.recompute,
    use_liger_kernel=options.liger,
    bf16=on_gpu,
    use_cpu=not on_gpu,
    dataloader_pin_memory=on_gpu,
    save_strategy="no",
    report_to="none",
    logging_steps=1,
    disable_tqdm=True,
)
if options.kind == "dpo":
    arguments_of_kind = trl.DPOConfig(
        **common, beta=0.1, precompute_ref_log_probs=options.precompute_reference
    )
    trainer = in_file_order(trl.DPOTrainer)
else:
    arguments_of_kind = trl.SFTConfig(**common, completion_only_loss=True)
    trainer = in_file_order(trl.SFTTrainer)
lora = peft.LoraConfig(
    r=defaults["lora"]["rank"],
    lora_alpha=defaults["lora"]["alpha"],
    lora_dropout=0.0,
    target_modules="all-linear",
    task_type="CAUSAL_LM",
)
training = trainer(
    model=model,
    args=arguments_of_kind,
    train_dataset=Dataset.from_list(rows),
    processing_class=tokenizer,
    peft_config=lora,
    callbacks=[Clock()],
)
started = time.perf_counter()
training.train()
timed = len(ends) - 2
print(
    json.dumps(
        {
            "tool": f"trl {trl.__version__}, torch {torch.__version__}, transformers {transformers.__version__}",
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "shape": options.shape,
            "kind": options.kind,
            "rows": options.rows,
            "recompute": options.recompute,
            "liger": options.liger,
            "precompute_reference": options.precompute_reference,
            "batch": batch,
            "rows_per_second": round(timed * whole / (ends[-1] - ends[1]), 3),
            "seconds": round(ends[-1] - started, 2),
            "peak_mib": round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu else None,
            "losses": [round(entry["loss"], 5) for entry in training.state.log_history if "loss" in entry],
            "grad_norms": [round(entry["grad_norm"], 5) for entry in training.state.log_history if "grad_norm" in entry],
        }
    )
)
