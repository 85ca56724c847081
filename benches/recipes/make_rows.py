"""Writes what the GPU benches run on to target/bench: make_rows.py

Preference rows of made-up words, whose mean numbers of tokens are those of real data, and a
tokenizer a vocabulary, one token a word. Speed does not depend on which words they are.

| file | prompt | chosen | rejected |
|---|---|---|---|
| hh.jsonl | 120 | 38 | 52 |
| long.jsonl | 435 | 314 | 336 |
"""

import json
import random
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "target" / "bench"
ROWS = 512
# mean numbers of tokens
SHAPES = {"hh": (120, 38, 52), "long": (435, 314, 336)}
VOCABULARIES = (128256, 151936)
SPECIAL = ["<unk>", "</s>", "<pad>"]
WORDS = 100_000


def length(rng: random.Random, mean: int) -> int:
    """From half the mean to three halves."""
    return rng.randint(mean - mean // 2, mean + mean // 2)


def text(rng: random.Random, tokens: int) -> str:
    return " ".join(f"w{rng.randrange(WORDS)}" for _ in range(tokens))


def rows(name: str) -> None:
    rng = random.Random(name)
    means = SHAPES[name]
    with open(FOLDER / f"{name}.jsonl", "w", encoding="utf-8") as file:
        for _ in range(ROWS):
            # the end of an answer is a token of its own
            prompt, chosen, rejected = (length(rng, mean) for mean in means)
            row = {
                "prompt": text(rng, prompt),
                "chosen": text(rng, chosen - 1),
                "rejected": text(rng, rejected - 1),
            }
            file.write(json.dumps(row) + "\n")


def tokenizer(vocabulary: int) -> None:
    folder = FOLDER / f"tokenizer-{vocabulary}"
    folder.mkdir(parents=True, exist_ok=True)
    words = SPECIAL + [f"w{n}" for n in range(vocabulary - len(SPECIAL))]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": word, **flags} for i, word in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "<unk>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "chat_template": "{% for message in messages %}{{ message['content'] }}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in SHAPES:
        rows(name)
    for vocabulary in VOCABULARIES:
        tokenizer(vocabulary)
    print(FOLDER)
