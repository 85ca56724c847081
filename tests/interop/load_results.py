#!/usr/bin/env python3
"""Loads results of `runner run` in transformers and peft and compares their log-probabilities or scores with ours.

RESULT is a stage's `model/` folder: a whole model in Hugging Face layout, or a PEFT adapter, whose base is
`--base` or what `adapter_config.json` names. FIGURES is JSON that our engine wrote for that model:

    {"input_ids": [n ids], "token_logprobs": [n - 1 numbers], "text": "optional: what the ids stand for"}
    {"input_ids": [n ids], "score": number, "text": as above}      for a reward model

where `token_logprobs[i]` is ln p(input_ids[i + 1] | input_ids[..i + 1]), and `score` is what the head in
`value_head.safetensors`, or that of an adapter of a sequence classifier, makes of the last token's hidden state. Everything runs in float32 on the CPU.
Where RESULT has a tokenizer and `text` is given, the tokenizer must give the same ids.
Exit 0: equal to 1e-4, or the Python packages are absent (it says so). Exit 1: not equal. Exit 2: wrong arguments.
"""
import argparse
import json
import pathlib
import sys

TOLERANCE = 1e-4

try:
    import peft
    import safetensors.torch
    import torch
    import transformers
except ImportError as error:
    print(f"skipped: {error} (pip install torch transformers peft safetensors)")
    sys.exit(0)

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def whole(folder):
    """A model in Hugging Face layout. Weights that the file lacks, or has too many of, are an error."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    odd = {name: list(found) for name, found in info.items() if found}
    if odd:
        raise SystemExit(f"{folder}: weights do not fit the model: {odd}")
    return model


def adapter(folder, base):
    """A base model and the adapter in `folder`. peft reports keys that it could not place, so they are checked."""
    config = peft.PeftConfig.from_pretrained(folder)
    base = base or config.base_model_name_or_path
    if config.task_type == "SEQ_CLS":  # the adapter brings the head of a classifier, which its base may lack
        load = transformers.AutoModelForSequenceClassification.from_pretrained
        model = peft.get_peft_model(load(base, num_labels=1, dtype=torch.float32), config)
    else:
        model = peft.get_peft_model(whole(base), config)
    found = peft.load_peft_weights(folder, device="cpu")
    result = peft.set_peft_model_state_dict(model, found)
    lost = [key for key in result.missing_keys if "lora_" in key]
    if lost or result.unexpected_keys:
        raise SystemExit(f"{folder}: adapter weights missing {lost}, unexpected {list(result.unexpected_keys)}")
    return model


def token_logprobs(model, ids):
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([ids])).logits[0, :-1]  # [n - 1, vocabulary]
    return logits.double().log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def score(model, folder, ids):
    if getattr(model, "peft_config", None) and model.active_peft_config.task_type == "SEQ_CLS":
        with torch.no_grad():
            return model.eval()(input_ids=torch.tensor([ids])).logits[0].double()
    head = safetensors.torch.load_file(folder / "value_head.safetensors")
    weight, bias = head.pop("v_head.summary.weight"), head.pop("v_head.summary.bias")
    if weight.shape != (1, model.config.hidden_size) or bias.shape != (1,) or head:
        raise SystemExit(f"{folder}: odd head: weight {tuple(weight.shape)}, bias {tuple(bias.shape)}, also {list(head)}")
    with torch.no_grad():
        hidden = model.eval()(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1]  # [1, n, hidden]
        return torch.nn.functional.linear(hidden[0, -1:], weight, bias)[0].double()


def compare(folder, written, base):
    """Prints one line; true if everything agrees."""
    is_adapter = (folder / "adapter_config.json").exists()
    ids = written["input_ids"]
    model = adapter(folder, base) if is_adapter else whole(folder)
    if "score" in written:
        what, ours, theirs = "a score", torch.tensor([written["score"]], dtype=torch.float64), score(model, folder, ids)
    else:
        ours = torch.tensor(written["token_logprobs"], dtype=torch.float64)
        if len(ours) != len(ids) - 1 or len(ids) < 2:
            raise SystemExit(f"{folder}: {len(ids)} ids need {len(ids) - 1} log-probs, {len(ours)} are given")
        what, theirs = f"{len(ours)} log-probs", token_logprobs(model, ids)
    worst = float((theirs - ours).abs().max())
    good = worst <= TOLERANCE  # false for NaN too
    notes = [f"{'peft' if is_adapter else 'transformers'}: {what}, worst difference {worst:.1e}"]
    if (folder / "tokenizer.json").exists() and "text" in written:
        tokens = transformers.PreTrainedTokenizerFast.from_pretrained(folder)(written["text"], add_special_tokens=False)["input_ids"]
        same = list(tokens) == ids
        good &= same
        notes.append("tokenizer gives the same ids" if same else f"tokenizer gives other ids: {tokens}")
    print(f"{'ok ' if good else 'OFF'} {folder}: {', '.join(notes)}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="the base of adapters")
    parser.add_argument("pairs", nargs="+", metavar="RESULT FIGURES")
    args = parser.parse_args()
    if len(args.pairs) % 2:
        parser.error("results and files of figures come in pairs")
    paths = [pathlib.Path(path) for path in args.pairs]
    results = [compare(folder, json.loads(file.read_text(encoding="utf-8")), args.base)
               for folder, file in zip(paths[::2], paths[1::2])]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
