"""Renders templates with Debian's Jinja2, set up as Hugging Face's transformers sets it up: each line of stdin is {"template": text, "values": {...}, "time": seconds?},
each line of stdout {"text": text} or {"error": sentence}."""
import json
import sys
import time

import jinja2
import jinja2.ext
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    """{% generation %} ... {% endgeneration %} writes what is in it."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("write"), [], [], body).set_lineno(line)

    def write(self, caller):
        return caller()


def environment(seconds):
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols, jinja2.ext.do])
    env.filters["tojson"] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: time.strftime(form, time.gmtime(seconds))
    return env


for line in sys.stdin:
    job = json.loads(line)
    try:
        out = {"text": environment(job.get("time", 0)).from_string(job["template"]).render(**job["values"])}
    except Exception as e:  # whatever a template does wrong
        out = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(out), flush=True)
