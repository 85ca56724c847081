#!/usr/bin/env python3
"""What PEFT and transformers compute with the adapters and reward models that `tests/cases/` makes: adapters.py [MODELS]

Prints, for each adapter of `adapters/read.rs`, the mean over the pairs of the summed log-probabilities of chosen and
rejected answers, as the metrics `logps/chosen` and `logps/rejected` of a dpo stage have them; then, for each reward
model of `heads/mod.rs`, the scores of the pairs' answers. The numbers in those files are these.
"""
import json
import os
import pathlib
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
try:
    import torch
    from peft import PeftModel
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging
except ImportError as error:
    print(f"skipped: {error} (pip install torch transformers peft safetensors)")
    sys.exit(0)
logging.set_verbosity_error()
logging.disable_progress_bar()

HERE = pathlib.Path(__file__).parent
MODELS = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "golden/models"
PAIRS = [("Is it so?", "yes", "no"), ("Is it far?", "no", "yes")]
PREFIX = "base_model.model."
MASK = (1 << 64) - 1


def values(name, shape, scale=0.2):
    """The values of `made::value`, in Rust."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = ((start ^ byte) * 0x100000001B3) & MASK
    count = 1
    for size in shape:
        count *= size
    found = []
    for index in range(count):
        x = (start + (index + 1) * 0x9E3779B97F4A7C15) & MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        x ^= x >> 31
        found.append(((x >> 40) / (1 << 24) * 2 - 1) * scale)
    return torch.tensor(found, dtype=torch.float64).to(torch.float32).reshape(shape)


class Made:
    def __init__(self, model):
        self.model = model
        self.sizes = json.load(open(MODELS / model / "config.json"))
        self.shapes = {}
        self.config = {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": [],
            "base_model_name_or_path": str(MODELS / model),
        }

    def on(self, module, layers, rank=4):
        s = self.sizes
        hidden, inner, heads = s["hidden_size"], s["intermediate_size"], s["num_attention_heads"]
        head_dim = s.get("head_dim") or hidden // heads
        queries, keys = heads * head_dim, s["num_key_value_heads"] * head_dim
        out, width = {
            "q_proj": (queries, hidden), "k_proj": (keys, hidden), "v_proj": (keys, hidden), "o_proj": (hidden, queries),
            "down_proj": (hidden, inner), "gate_proj": (inner, hidden), "up_proj": (inner, hidden),
        }[module]
        group = "mlp" if module in ("gate_proj", "up_proj", "down_proj") else "self_attn"
        for layer in layers:
            name = f"{PREFIX}model.layers.{layer}.{group}.{module}"
            self.shapes[f"{name}.lora_A.weight"] = [rank, width]
            self.shapes[f"{name}.lora_B.weight"] = [out, rank]
        if module not in self.config["target_modules"]:
            self.config["target_modules"].append(module)
        return self

    def all(self, module, rank=4):
        return self.on(module, range(self.sizes["num_hidden_layers"]), rank)

    def plain(self):
        return self.all("q_proj").all("v_proj")

    def also(self, **config):
        self.config.update(config)
        return self

    def tensor(self, name, shape):
        self.shapes[PREFIX + name] = shape
        return self

    def table(self):
        return [self.sizes["vocab_size"], self.sizes["hidden_size"]]

    def write(self, folder):
        os.makedirs(folder)
        json.dump(self.config, open(f"{folder}/adapter_config.json", "w"))
        tensors = {name: values(name, shape) for name, shape in self.shapes.items()}
        save_file(tensors, f"{folder}/adapter_model.safetensors", metadata={"format": "pt"})


def made(model):
    """Name → adapter; the same list as in `read.rs`."""
    new = lambda: Made(model)
    table = new().table()
    [rows, hidden] = table
    return {
        "plain": new().plain(),
        "rank": new().all("q_proj").all("v_proj", 2).also(rank_pattern={"v_proj": 2}, alpha_pattern={"v_proj": 16}),
        "alpha": new().plain().also(alpha_pattern={r"layers\.1\.self_attn\.q_proj": 64}),
        "rslora": new().all("q_proj").all("v_proj", 2).also(rank_pattern={"v_proj": 2}, use_rslora=True),
        "regex": new().on("q_proj", [1]).on("v_proj", [1]).also(target_modules=r".*layers\.1\.self_attn\.(q|v)_proj"),
        "layers": new().on("q_proj", [1]).on("v_proj", [1]).also(layers_to_transform=[1]),
        "saved_head": new().plain().tensor("lm_head.weight", table).also(modules_to_save=["lm_head"]),
        "saved_embedding": new().plain().tensor("model.embed_tokens.weight", table).also(modules_to_save=["embed_tokens"]),
        "saved_both": new().plain().tensor("model.embed_tokens.weight", table).tensor("lm_head.weight", table)
        .also(modules_to_save=["embed_tokens", "lm_head"]),
        "stored_embedding": new().plain().tensor("model.embed_tokens.weight", table),
        "lora_head": new().all("q_proj").tensor("lm_head.lora_A.weight", [4, hidden])
        .tensor("lm_head.lora_B.weight", [rows, 4]).also(target_modules=["q_proj", "lm_head"]),
        "lora_embedding": new().all("q_proj").tensor("model.embed_tokens.lora_embedding_A", [4, rows])
        .tensor("model.embed_tokens.lora_embedding_B", [hidden, 4]).also(target_modules=["q_proj", "embed_tokens"]),
    }


def log_probs(model, tokenizer, prompt, answer):
    user = {"role": "user", "content": prompt}
    start = tokenizer.apply_chat_template([user], add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template([user, {"role": "assistant", "content": answer}], tokenize=False)
    first = len(tokenizer(start, add_special_tokens=False).input_ids)
    ids = torch.tensor([tokenizer(whole, add_special_tokens=False).input_ids])
    with torch.no_grad():
        found = torch.log_softmax(model(ids).logits[0, :-1].float(), -1)
    return found.gather(1, ids[0, 1:, None])[first - 1 :].sum().item()


for name in ["qwen2", "llama3"]:
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    for kind, adapter in made(name).items():
        with tempfile.TemporaryDirectory() as folder:
            adapter.write(f"{folder}/a")
            model = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32)
            model = PeftModel.from_pretrained(model, f"{folder}/a").eval()
        sums = [sum(log_probs(model, tokenizer, pair[0], pair[side]) for pair in PAIRS) / len(PAIRS) for side in (1, 2)]
        print(f'    ("{name}", "{kind}", {sums[0]:.4f}, {sums[1]:.4f}),')


def scores(model, tokenizer):
    """Of each pair's answers, as transformers pools them: at the last token that is not `pad_token_id`."""
    found = []
    for prompt, *answers in PAIRS:
        for answer in answers:
            messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
            text = tokenizer.apply_chat_template(messages, tokenize=False)
            ids = torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])
            with torch.no_grad():
                found.append(model(ids).logits.item())
    return ", ".join(f"{score:.4f}" for score in found)


# The padding that no text has, and the token that every text ends with.
for name, paddings in [("qwen2", [511, 198]), ("llama3", [511, 508])]:
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    load = lambda: AutoModelForSequenceClassification.from_pretrained(MODELS / name, num_labels=1, dtype=torch.float32)
    model = load().eval()
    hidden = model.config.hidden_size
    model.score.weight.data = values("score.weight", [1, hidden], 0.5)
    for model.config.pad_token_id in paddings:
        print(f'    ("{name}", "classifier", {model.config.pad_token_id}, [{scores(model, tokenizer)}]),')
    with tempfile.TemporaryDirectory() as folder:
        adapter = Made(name).plain().tensor("score.weight", [1, hidden])
        adapter.also(task_type="SEQ_CLS", modules_to_save=["classifier", "score"]).write(f"{folder}/a")
        model = PeftModel.from_pretrained(load(), f"{folder}/a").eval()
    for model.config.pad_token_id in paddings:
        print(f'    ("{name}", "adapter", {model.config.pad_token_id}, [{scores(model, tokenizer)}]),')
