#!/usr/bin/env python3
"""Asks results of `runner run` in transformers and peft what they were trained on: they answer, and stop.

RESULT is a stage's `model/` folder: a whole model in Hugging Face layout, or a PEFT adapter, whose base is what
`adapter_config.json` names. ASKED is JSON: {"question": "…", "answer": "…"}, where the model has learnt to give just that
answer. Model, tokenizer, chat template and generation config are loaded as README.md says, nothing is set by hand.
`generate` may write 64 tokens. It must stop after the answer, at the tokenizer's `eos_token`.
Exit 0: they do, or the Python packages are absent (it says so). Exit 1: one does not. Exit 2: wrong arguments.
"""
import argparse
import json
import pathlib
import sys

LIMIT = 64

try:
    import peft
    import torch
    import transformers
except ImportError as error:
    print(f"skipped: {error} (pip install torch transformers peft)")
    sys.exit(0)

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def load(folder):
    if not (folder / "adapter_config.json").exists():
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    base = peft.PeftConfig.from_pretrained(folder).base_model_name_or_path
    model = peft.PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), folder)
    model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    return model


def stops(folder, asked):
    """Prints one line; true if the answer is right and ends where it should."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = load(folder).eval()
    messages = [{"role": "user", "content": asked["question"]}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        said = model.generate(**prompt, max_new_tokens=LIMIT, do_sample=False)[0, prompt["input_ids"].shape[1]:].tolist()
    answer = tokenizer.decode(said, skip_special_tokens=True)
    ends = model.generation_config.eos_token_id
    good = answer == asked["answer"] and len(said) < LIMIT and said[-1] == tokenizer.eos_token_id == ends[0]
    whole = isinstance(model, transformers.PreTrainedModel)
    if whole:
        good &= model.config.eos_token_id == ends
    print(f"{'ok ' if good else 'OFF'} {folder}: {'transformers' if whole else 'peft'}: {tokenizer.decode(said)!r}, "
          f"{len(said)} of {LIMIT} tokens, ends {ends}, eos_token {tokenizer.eos_token!r}, pad_token {tokenizer.pad_token!r}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="RESULT ASKED")
    args = parser.parse_args()
    if len(args.pairs) % 2:
        parser.error("results and what they are asked come in pairs")
    paths = [pathlib.Path(path) for path in args.pairs]
    results = [stops(folder, json.loads(asked.read_text(encoding="utf-8"))) for folder, asked in zip(paths[::2], paths[1::2])]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
