#!/usr/bin/env python3
"""Renders every template of some folders for many conversations, by transformers' Jinja2 and by
`runner render`, and lists what differs: texts, and templates that fail for one only.

    template_sweep.py RUNNER FOLDER... [--jobs N] [--show N] [--only NAME] [--random N [--seed N]]

Needs transformers and jinja2. Ends with status 1 if anything differs. Renderings that hold what Python
itself prints by address (functions, generators) are left out.
"""
import argparse
import collections
import datetime
import itertools
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from transformers.utils.chat_template_utils import _compile_jinja_template

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "The city's name, e.g. \"Oslo\" & <Paris>", "enum": ["Oslo", "São Paulo"]},
        "days": {"type": "integer", "default": 3, "minimum": 1},
        "scale": {"type": "number", "default": 1e-07},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {
            "type": "object",
            "properties": {"lat": {"type": "number"}, "near": {"type": ["string", "null"]}},
            "required": ["lat"],
        },
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "exact": {"type": "boolean", "default": False, "nullable": True},
    },
    "required": ["city"],
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "The weather.\nFor days.", "parameters": PARAMETERS,
                                      "return": {"type": "string", "description": "text"}}},
    {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}},
]
FLAT_TOOLS = [{"name": "weather", "description": "The weather.", "parameters": PARAMETERS}]


def call(arguments, id="abcdefghi", name="weather"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


ARGUMENTS = {"city": "Oslo \"ø\"\n<b>", "days": 12345678901234567890123, "scale": 0.5, "tags": ["a", None, True, 2.0], "place": {"lat": -1e22, "near": None}}
SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What's the weather in Oslo? <b>\"now\"</b>\n"}
ASSISTANT = {"role": "assistant", "content": "  It's raining…\n\n"}


def called(arguments, content="", **more):
    return {"role": "assistant", "content": content, "tool_calls": [call(arguments)], **more}


RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "name": "weather", "content": "{\"temperature\": 3.0}"}
CONVERSATIONS = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "two": [USER, ASSISTANT],
    "system two": [SYSTEM, USER, ASSISTANT],
    "turns": [SYSTEM, USER, ASSISTANT, {"role": "user", "content": "And tomorrow?"}, {"role": "assistant", "content": "Sun."}, {"role": "user", "content": "Bye\u2028now"}],
    "call": [SYSTEM, USER, called(ARGUMENTS), RESULT, ASSISTANT],
    "call text": [USER, called(json.dumps(ARGUMENTS)), RESULT],
    "call null": [USER, called({"city": "Oslo"}, None), RESULT, {"role": "assistant", "content": "3 degrees"}],
    "call said": [USER, called({"city": "Oslo"}, "Let me see.", reasoning_content="I should look.\n"), RESULT, ASSISTANT, USER],
    "calls": [USER, {"role": "assistant", "content": None, "tool_calls": [call({"city": "Oslo"}), call({}, "bcdefghij", "now")]}, RESULT,
              {**RESULT, "tool_call_id": "bcdefghij", "name": "now", "content": "12:00"}, ASSISTANT],
    "call only": [USER, {"role": "assistant", "tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}, {"role": "tool", "content": [{"type": "text", "text": "3"}]}],
    "think": [USER, {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nRain."}, USER],
    "reasoning": [USER, {"role": "assistant", "reasoning_content": "Hm. ", "thinking": "Hm. ", "reasoning": "Hm.", "content": "Rain."}, USER],
    "reasoning last": [SYSTEM, USER, {"role": "assistant", "reasoning_content": "Hm. ", "thinking": "Hm. ", "content": "Rain."}],
    "parts": [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image"}, {"type": "text", "text": "You"}]},
              {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]}],
    "empty": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
    "null": [{"role": "user", "content": None}],
    "no messages": [],
    "user first twice": [USER, USER],
    "assistant first": [ASSISTANT, USER],
    "developer": [{"role": "developer", "content": "Be kind."}, USER, ASSISTANT],
    "roles": [{"role": "critic", "content": "x", "name": "n"}, USER],
    "name": [{"role": "user", "content": "Hi", "name": "bob"}, {"role": "assistant", "content": "Hello", "name": "ann"}],
}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
VARIANTS = {
    "": {},
    "tools": {"tools": TOOLS},
    "flat tools": {"tools": FLAT_TOOLS, "enable_thinking": True, "thinking": True},
    "no thinking": {"enable_thinking": False, "thinking": False, "reasoning_effort": "low", "date_string": "26 Jul 2024"},
    "documents": {"documents": [{"title": "T", "text": "One."}, {"title": "U", "text": "Two.", "doc_id": 1}], "tools": []},
    "tools off": {"tools": TOOLS, "enable_thinking": False, "tools_in_user_message": False, "builtin_tools": ["brave_search", "code_interpreter"]},
}


def contexts():
    for (name, messages), (variant, more), prompt in itertools.product(CONVERSATIONS.items(), VARIANTS.items(), (False, True)):
        if variant not in ("", "tools") and name not in ("user", "system", "call", "calls", "reasoning", "turns"):
            continue
        context = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": prompt, **SPECIAL, **more}
        yield f"{name}/{variant}/{'prompt' if prompt else 'whole'}", context


TEXTS = [
    "Hi", "", " ", "  padded\n", "two\nlines\n\nmore", "it's \"quoted\" \\ <b>&amp;</b>", "é茶🌧\u200b\u00a0x", "a\u2028b\x85c\r\nd\te",
    "<think>\nwhy\n</think>\n\nthus", "<think></think>x", "no open</think>rest", "{{ x }} {% y %}", "null", "{\"a\": 1}", "[1, 2]", "<|im_end|>",
    "/no_think hello", "<tool_response>x</tool_response>", "<tool_response>\nok\n</tool_response>", "None", "True",
]
VALUES = [None, True, False, 0, -7, 3.0, 1e-07, 1e22, 0.1, 12345678901234567890123, -9223372036854775809, "text", "it's", "é\n", "", [], {},
          [1, "a", None, 2.5], {"k": {"n": [True, {"z": None}]}}, ["a\u00a0b", "a\u200bb"], "1", [[]]]


def a_value(random, depth=0):
    if depth < 2 and random.random() < 0.2:
        return {random.choice(["a", "items", "keys", "é", "type", "x y"]): a_value(random, depth + 1) for _ in range(random.randrange(3))}
    return random.choice(VALUES)


def a_schema(random, depth=0):
    schema = {"type": random.choice(["string", "integer", "number", "boolean", "array", "object", "null", ["string", "null"]])}
    for key in ("description", "enum", "default", "items", "properties", "required", "anyOf", "nullable", "additionalProperties", "minimum", "examples", "title"):
        if random.random() < 0.25:
            schema[key] = {
                "description": random.choice(TEXTS), "enum": [random.choice(VALUES[:17]) for _ in range(2)], "default": a_value(random),
                "required": random.sample(["a", "items", "b"], 2), "nullable": True, "additionalProperties": False, "minimum": 1,
                "examples": [a_value(random)], "title": random.choice(TEXTS),
                "items": {"type": "string"} if depth > 1 else a_schema(random, depth + 1),
                "properties": {} if depth > 1 else {name: a_schema(random, depth + 1) for name in random.sample(["a", "items", "b", "keys"], 2)},
                "anyOf": [{"type": "string"}, {"type": "integer", "enum": [1, 2]}],
            }[key]
    return schema


def a_tool(random):
    function = {"name": random.choice(["f", "get_weather", "x.y"]), "description": random.choice(TEXTS),
                "parameters": {"type": "object", "properties": {name: a_schema(random) for name in random.sample(["a", "items", "city", "b"], random.randrange(4))}}}
    for key, value in (("required", ["a"]), ("$defs", {"q": {"type": "string"}})):
        if random.random() < 0.4:
            function["parameters"][key] = value
    for key in ("strict", "return", "response"):
        if random.random() < 0.15:
            function[key] = {"type": "object", "description": "d", "properties": {"r": {"type": "string"}}} if key != "strict" else True
    return random.choice([{"type": "function", "function": function}] * 4 + [function])


def a_content(random):
    parts = [{"type": "text", "text": random.choice(TEXTS)} for _ in range(random.randrange(1, 3))]
    if random.random() < 0.3:
        parts.insert(0, {"type": random.choice(["image", "audio", "image_url"])})
    return random.choice([random.choice(TEXTS)] * 8 + [parts, None])


def a_conversation(random):
    messages = [{"role": "system", "content": a_content(random)}] if random.random() < 0.5 else []
    for _ in range(random.randrange(1, 4)):
        messages.append({"role": "user", "content": a_content(random)})
        answer = {"role": "assistant", "content": a_content(random)}
        if random.random() < 0.3:
            answer[random.choice(["reasoning_content", "thinking", "reasoning"])] = random.choice(TEXTS)
        if random.random() < 0.4:
            calls = []
            for number in range(random.randrange(1, 3)):
                arguments = {name: a_value(random) for name in random.sample(["a", "items", "city"], random.randrange(4))}
                calls.append(call(random.choice([arguments, arguments, arguments, json.dumps(arguments)]), f"abcdefgh{number}", random.choice(["f", "get_weather"])))
            answer["tool_calls"] = random.choice([calls, calls, calls, [one["function"] for one in calls]])
            messages.append(answer)
            for one in calls:
                messages.append({"role": "tool", "tool_call_id": one["id"], "name": one["function"]["name"], "content": a_content(random)})
            if random.random() < 0.3:
                continue
            answer = {"role": "assistant", "content": random.choice(TEXTS)}
        messages.append(answer)
    return messages[: random.choice([len(messages), len(messages), len(messages) - 1]) or 1]


def random_contexts(count, seed):
    random = Random(seed)
    for number in range(count):
        context = {"messages": a_conversation(random), "add_generation_prompt": random.random() < 0.5, **SPECIAL}
        if random.random() < 0.5:
            context["tools"] = random.choice([[a_tool(random) for _ in range(random.randrange(1, 3))], [], None])
        for key, values in (("enable_thinking", [True, False]), ("thinking", [True, False]), ("documents", [[{"title": "T", "text": "x", "content": "y"}], []]),
                            ("reasoning_effort", ["low", "high"]), ("date_string", ["1 Jan 2025"]), ("custom_tools", [[a_tool(random)]]),
                            ("keep_past_thinking", [True]), ("preserve_thinking", [True, False]), ("add_vision_id", [True]), ("controls", [{"length": "long"}])):
            if random.random() < 0.15:
                context[key] = random.choice(values)
        yield f"random {number}", context


def by_jinja2(source, context):
    try:
        return _compile_jinja_template(source).render(**json.loads(json.dumps(context))), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def by_runner(runner, template, context):
    command = [runner, "render", "--template", str(template), "--context", context]
    done = subprocess.run(command, capture_output=True)
    if done.returncode == 0:
        return done.stdout.decode(), None
    return None, done.stderr.decode()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("runner")
    options.add_argument("folders", nargs="+", type=Path)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--show", type=int, default=40, help="differences to print")
    options.add_argument("--random", type=int, default=0, help="made-up conversations in place of the given ones")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", default="", help="part of a template's name")
    options = options.parse_args()
    folder = tempfile.TemporaryDirectory()
    given = []
    conversations = random_contexts(options.random, options.seed) if options.random else contexts()
    for index, (name, context) in enumerate(conversations):
        path = Path(folder.name) / f"{index}.json"
        path.write_text(json.dumps(context))
        given.append((name, context, str(path)))
    clock = re.compile(r"strftime_now\([^)]*%-?[HMSIfcXTRsrp]")
    files = sorted(file for folder in options.folders for file in folder.rglob("*.jinja") if options.only in file.name)
    seen = collections.Counter()
    differ = []
    today = datetime.date.today()
    with ThreadPoolExecutor(options.jobs) as pool:
        for file in files:
            source = file.read_text()
            if clock.search(source):
                # The two look at the clock at different times.
                seen["left out"] += len(given)
                continue
            ours = pool.map(lambda one: by_runner(options.runner, file, one[2]), given)
            for (name, context, _), (text, error) in zip(given, list(ours)):
                expected, expected_error = by_jinja2(source, context)
                seen["renderings"] += 1
                if expected is not None and re.search(r" at 0x[0-9a-f]{6,}", expected):
                    seen["left out"] += 1
                elif (text is None) != (expected is None):
                    differ.append((file.name, name, f"Jinja2: {expected_error or 'renders'}\n  runner: {(error or 'renders').strip()[-400:]}"))
                elif text != expected:
                    at = next((i for i, (a, b) in enumerate(zip(text, expected)) if a != b), min(len(text), len(expected)))
                    cut = slice(max(0, at - 40), at + 80)
                    differ.append((file.name, name, f"Jinja2: {expected[cut]!r}\n  runner: {text[cut]!r}"))
                elif text is None:
                    seen["refused by both"] += 1
                    if "panicked" in error:
                        differ.append((file.name, name, error))
    for file, name, what in differ[: options.show]:
        print(f"{file} {name}\n  {what}")
    by_file = collections.Counter(file for file, *_ in differ)
    for file, count in by_file.most_common():
        print(f"{count:5} {file}")
    print(f"{len(files)} templates, {seen['renderings']} renderings, {seen['refused by both']} refused by both, "
          f"{seen['left out']} left out, {len(differ)} differ ({today})")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
