"""chat_masks.py RUNNER TEMPLATE…: what `runner` trains of rows, against transformers and TRL.

For each template (a `.jinja` file) rows of one to four turns, with and without system turns, tools and
reasoning, are rendered by `runner render --json` and compared, row by row:

- sft rows: token ids and trained tokens equal `apply_chat_template(…, return_assistant_tokens_mask=True)`
  with the same template, in which `{#G#}` and `{#E#}` are `{% generation %}` and `{% endgeneration %}`;
  for a template without these comments the marked one is `NAME.generation.jinja` beside it;
- preference rows: prompt and completions equal what TRL's DPOTrainer makes of them (1.16: the completion
  starts where the tokens of the prompt alone and those of prompt and answer part).

Rows that `runner` drops are listed with their reasons: there is no mask to compare. A row that transformers
cannot render must be dropped. Prints a line a template and kind; exits with 1 if any row differs.

Needs transformers, tokenizers and trl 1.16.
"""

import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, decoders, trainers
from transformers import PreTrainedTokenizerFast
from trl.data_utils import _tokenize, common_prefix_length

SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>", "</tool_call>",
    "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|system|>", "<|user|>",
    "<|assistant|>", "<|end|>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "<｜User｜>", "<｜Assistant｜>",
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>",
]
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "Looks it up.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
    for name in ("get_weather", "get_time")
]
QUESTIONS = ["Two plus two?", "And what of the weather in Oslo, please?", "yes", "A last one:\n\nwhy?"]
ANSWERS = ["Four.", "It is cold there, 3 degrees; take a coat.", "yes", "  Because of <b>this</b>.\n"]


def thinking(how, text):
    if how == "content":
        return {"content": f"<think>\nfirst {len(text)} letters\n</think>\n\n{text}"}
    if how:
        return {how: f"first {len(text)} letters", "content": text}
    return {"content": text}


def call(index, content):
    turn = {"role": "assistant", "tool_calls": [{"id": f"abcdefgh{index}", "type": "function", "function": {
        "name": "get_weather", "arguments": {"city": "Oslo \"x\"", "days": 2}}}]}
    if content is not None:
        turn["content"] = content
    return turn


def conversations():
    """(messages, tools): everything up to an answer."""
    for turns in (1, 2, 3, 4):
        for system in (None, "Be brief.", "You are a helper who answers in one line."):
            for how in (None, "content", "reasoning_content", "thinking", "reasoning"):
                for where in ("all", "first", "last") if how else ("all",):
                    for tools in (None, "unused", "first", "last", "silent"):
                        messages = [{"role": "system", "content": system}] if system else []
                        for turn in range(turns):
                            messages.append({"role": "user", "content": QUESTIONS[turn]})
                            if (tools == "first" and turn == 0) or (
                                tools in ("last", "silent") and turn == turns - 1
                            ):
                                messages.append(call(turn, None if tools == "silent" else ""))
                                messages.append({"role": "tool", "name": "get_weather", "content": '{"t": 3}',
                                                 "tool_call_id": f"abcdefgh{turn}"})
                            thinks = where == "all" or turn == (0 if where == "first" else turns - 1)
                            answer = thinking(how if thinks else None, ANSWERS[turn])
                            messages.append({"role": "assistant", **answer})
                        yield messages, TOOLS if tools else None


def sft_rows():
    for messages, tools in conversations():
        yield {"messages": messages, **({"tools": tools} if tools else {})}


def preference_rows():
    for messages, tools in conversations():
        rejected = {"role": "assistant", "content": "Five, or 3 degrees."}
        row = {"prompt": messages[:-1], "chosen": messages[-1:], "rejected": [rejected]}
        yield {**row, **({"tools": tools} if tools else {})}


def tokenizer(folder, template, eos, bos):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(re_pattern(), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=900, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    texts = [json.dumps(row, ensure_ascii=False) for row in sft_rows()]
    inner.train_from_iterator(texts + [template, "a\n\nb\n\n</think>\n\nc \n\n"] * 20, trainer)
    inner.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=eos, bos_token=bos, pad_token="<|endoftext|>")
    fast.save_pretrained(folder)
    (pathlib.Path(folder) / "chat_template.jinja").write_text(template, encoding="utf-8")
    return fast


def re_pattern():
    from tokenizers import Regex
    return Regex(r"[^\r\n\w]?\w+|\d| ?[^\s\w]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def ends(template):
    """End and beginning of text that go with a template."""
    if "<|im_end|>" in template:
        return "<|im_end|>", None
    if "start_header_id" in template:
        return "<|eot_id|>", "<|begin_of_text|>"
    if "User｜" in template:
        return "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>"
    if "[INST]" in template:
        return "</s>", "<s>"
    return "<|endoftext|>", None


def marked(path, template):
    if "{#G#}" in template:
        return template.replace("{#G#}", "{% generation %}").replace("{#E#}", "{% endgeneration %}")
    return path.with_suffix(".generation.jinja").read_text(encoding="utf-8")


def ours(runner, folder, rows, kind):
    data = folder / f"{kind}.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    recipe = folder / f"{kind}.toml"
    recipe.write_text(
        f'name = "masks"\n[model]\nbase = "."\n[data.d]\nsource = "{data.name}"\n'
        f'[[stage]]\nname = "{kind}"\nkind = "{kind}"\ndata = "d"\nmax_length = 100000\n')
    command = [runner, "render", recipe, "--stage", kind, "-n", "1000000", "--json"]
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{out.stderr}")
    lines = [json.loads(line) for line in out.stdout.splitlines()]
    return {line["row"]: line for line in lines}


def expected_sft(fast, row, template):
    result = fast.apply_chat_template(
        row["messages"], tools=row.get("tools"), chat_template=template, tokenize=True, return_dict=True,
        return_assistant_tokens_mask=True)
    plain = fast.apply_chat_template(row["messages"], tools=row.get("tools"), tokenize=False)
    same = fast.apply_chat_template(row["messages"], tools=row.get("tools"), chat_template=template, tokenize=False)
    assert plain == same, "the marked template renders another text"
    return [(result["input_ids"], result["assistant_masks"])]


def expected_preference(fast, row):
    kwargs = {"tools": row.get("tools")}
    prompt = _tokenize(fast, row["prompt"], add_generation_prompt=True, **kwargs)["input_ids"]
    wholes = [_tokenize(fast, row["prompt"] + row[side], **kwargs)["input_ids"] for side in ("chosen", "rejected")]
    start = min(common_prefix_length(prompt, whole) for whole in wholes)
    return [(whole, [0] * start + [1] * (len(whole) - start)) for whole in wholes]


def compare(name, kind, rows, lines, expect):
    counts, reasons, differ = collections.Counter(), collections.Counter(), 0
    for index, row in enumerate(rows):
        line = lines.get(index, {"reason": "not shown"})
        reason = line.get("dropped") or line.get("reason")
        try:
            wanted = expect(row)
        except Exception as error:
            wanted = None
            if isinstance(error, AssertionError):
                raise
        if reason:
            reasons[re.sub(r"\d+|(: )?\".*", "", reason) + ("" if wanted else " [transformers fails too]")] += 1
            continue
        found = [(line["prompt"] + branch["tokens"], [0] * len(line["prompt"]) + [int(t) for t in branch["trained"]])
                 for branch in line["branches"]]
        if wanted is None or [(list(ids), list(mask)) for ids, mask in wanted] != found:
            differ += 1
            if differ <= 2:
                print(f"  {name} {kind} row {index} differs: {json.dumps(row, ensure_ascii=False)}")
                for (ids, mask), (other, theirs) in zip(wanted or [], found):
                    print(f"    wanted {show(ids, mask)}\n    found  {show(other, theirs)}")
        else:
            counts["equal"] += 1
    kept = counts["equal"] + differ
    print(f"{name} {kind}: {len(rows)} rows, {kept} compared, {counts['equal']} equal, {sum(reasons.values())} dropped")
    for reason, count in reasons.most_common():
        print(f"    {count} dropped: {reason}")
    return differ


def show(ids, mask):
    return repr("".join(f"[{FAST.decode([i])}]" if m else FAST.decode([i]) for i, m in zip(ids, mask)))


def main():
    global FAST
    runner, *templates = sys.argv[1:]
    runner = pathlib.Path(runner).resolve()
    differ = 0
    for path in map(pathlib.Path, templates):
        if path.name.endswith(".generation.jinja"):
            continue
        source = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            FAST = tokenizer(folder, source, *ends(source))
            (folder / "config.json").write_text(json.dumps({
                "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": len(FAST),
                "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "num_key_value_heads": 1, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6}))
            FAST = PreTrainedTokenizerFast.from_pretrained(folder)
            rows = list(sft_rows())
            template = marked(path, source)
            differ += compare(path.stem, "sft", rows, ours(runner, folder, rows, "sft"),
                              lambda row: expected_sft(FAST, row, template))
            rows = list(preference_rows())
            differ += compare(path.stem, "dpo", rows, ours(runner, folder, rows, "dpo"),
                              lambda row: expected_preference(FAST, row))
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
