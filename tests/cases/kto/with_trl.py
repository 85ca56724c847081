"""What TRL makes of this folder's rows: loss, KL and rewards of every optimiser step.

Usage: with_trl.py MODEL ROWS BATCH_SIZE GRADIENT_ACCUMULATION_STEPS
       with_trl.py ../../golden/models/qwen2 pairs.jsonl 2 8
"""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import KTOConfig, KTOTrainer

ROLES = {"prompt": "user", "chosen": "assistant", "rejected": "assistant", "completion": "assistant"}

base, rows, batch_size, accumulation = sys.argv[1:]
turns = lambda key, value: [{"role": ROLES[key], "content": value}] if key in ROLES else value
rows = [{key: turns(key, value) for key, value in json.loads(line).items()} for line in open(rows, encoding="utf-8")]
model = lambda: AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
settings = KTOConfig(
    output_dir="out", per_device_train_batch_size=int(batch_size), gradient_accumulation_steps=int(accumulation),
    num_train_epochs=4, learning_rate=1e-3, lr_scheduler_type="constant", logging_steps=1, report_to=[], use_cpu=True,
    bf16=False, gradient_checkpointing=False, save_strategy="no", beta=0.1, disable_tqdm=True,
    train_sampling_strategy="sequential")
trainer = KTOTrainer(model=model(), ref_model=model(), args=settings, train_dataset=Dataset.from_list(rows),
                     processing_class=AutoTokenizer.from_pretrained(base))
trainer.train()
for row in trainer.state.log_history:
    if "loss" in row:
        names = ("loss", "kl", "rewards/chosen", "rewards/rejected", "grad_norm")
        print({name: round(float(row[name]), 4) for name in names if name in row})
