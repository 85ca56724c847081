#!/usr/bin/env python3
"""Writes expected.json: what Jinja2 renders, set up as transformers' `apply_chat_template` does.
Needs transformers and jinja2 (made with 5.24.0 and 3.1.6). A rendering that raises is null."""
import json
from pathlib import Path
from transformers.utils.chat_template_utils import _compile_jinja_template

here = Path(__file__).parent


def rendered(source, context):
    try:
        return _compile_jinja_template(source).render(**json.loads(json.dumps(context)))
    except Exception:
        return None


cases = json.loads((here / "cases.json").read_text())
contexts = json.loads((here / "contexts.json").read_text())
shipped = [file for file in sorted((here / "../../templates").glob("*.jinja")) if file.name != "report.html.jinja"]
files = sorted(here.glob("*.jinja")) + shipped
expected = {
    "cases": [rendered(source, cases["context"]) for source in cases["sources"]],
    "templates": {
        file.name: {name: rendered(file.read_text(), context) for name, context in contexts.items()}
        for file in files
    },
}
text = json.dumps(expected, ensure_ascii=False, indent=0, sort_keys=True)
(here / "expected.json").write_text(text + "\n")
