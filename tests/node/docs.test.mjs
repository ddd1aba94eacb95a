// docs/serving.md as those use it who copy from it: every fenced block of the page gets a server's address, a token and a model's name, and is
// run in its language as it stands. The model has learnt the page's own conversations: one with random weights would now and then say nothing.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { higgins, makeModel, serve } from './served.mjs';

const page = readFileSync(new URL('../../docs/serving.md', import.meta.url), 'utf8');
const MODEL = 'tiny';
const folder = mkdtempSync(join(tmpdir(), 'higgins-docs-')); // where programs are run: models/, serve.yaml, chats.jsonl, home/, bin/
const home = join(folder, 'home'), bin = join(folder, 'bin');
const { XDG_DATA_HOME, ...inherited } = process.env;
const environment = { ...inherited, HOME: home, PATH: `${bin}:${process.env.PATH}` };
let server;

// The page's blocks: {heading, language, text}.
function blocksOf(markdown) {
  const blocks = [];
  let heading = '', open = null;
  for (const line of markdown.split('\n')) {
    const fence = line.match(/^\s*(?:```|~~~)(.*)$/);
    if (open !== null && fence !== null) open = null;
    else if (open !== null) open.text += `${line}\n`;
    else if (fence !== null) blocks.push(open = { heading, language: fence[1].trim(), text: '' });
    else if (line.startsWith('#')) heading = line.replace(/^#+ /, '');
  }
  assert.equal(open, null, `the block under "${open?.heading}" ends`);
  return blocks;
}
const blocks = blocksOf(page);
const firstOf = (language) => blocks.find((b) => b.language === language).text;
const filled = (text) => text.replaceAll('http://127.0.0.1:8080', server.url).replaceAll('MODEL-NAME', MODEL).replace(/\bTOKEN\b/g, server.token);

// `higgins serve` of the page's commands takes a free port and its own data, tells that it is ready, and is ended.
const wrapper = `#!/bin/bash
set -eu
[ "$1" = serve ] || exec '${higgins}' "$@"
coproc SERVER { exec '${higgins}' "$@" --port 0 --data "$(mktemp -d '${folder}/data-XXXXXX')" --json; }
pid=$SERVER_PID
read -r ready <&"\${SERVER[0]}"
echo "$ready"
kill -TERM "$pid"
wait "$pid"
`;

before(async () => {
  for (const d of [home, bin, join(folder, 'models')]) mkdirSync(d, { recursive: true });
  writeFileSync(join(bin, 'higgins'), wrapper, { mode: 0o755 });
  writeFileSync(join(home, '.curlrc'), 'fail-with-body\nsilent\nshow-error\n');
  writeFileSync(join(folder, 'serve.yaml'), firstOf('yaml'));
  writeFileSync(join(folder, 'chats.jsonl'), firstOf('jsonl'));
  makeModel(join(folder, 'random'));
  execFileSync(higgins, ['tune', 'random', '--data', 'chats.jsonl', '--valid', 'chats.jsonl', '-o', 'run', '--set', 'steps=300', '--lr', '6e-3', '--batch', '2', '--seq-len', '64', '--quiet'], { cwd: folder });
  for (const name of [MODEL, 'judge']) cpSync(join(folder, 'run/model'), join(folder, 'models', name), { recursive: true });
  server = await serve('--with-token', join(folder, 'models'));
});
after(async () => {
  const end = await server.stop();
  rmSync(folder, { recursive: true });
  assert.equal(end.code, 0, `the server ends well: ${end.complaints}`);
});

// Runs a program in the folder and resolves to what it printed; fails unless it ended with 0.
async function run(command, args, env = environment) {
  const child = spawn(command, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 100_000 });
  let out = '', err = '';
  child.stdout.on('data', (d) => { out += d; });
  child.stderr.on('data', (d) => { err += d; });
  const [code, signal] = await new Promise((resolve, reject) => child.on('error', reject).on('close', (...how) => resolve(how)));
  assert.equal(code, 0, `${command} ended with ${code ?? signal}: ${err}${out}`);
  return out;
}
async function runModule(text, env = process.env) {
  const file = new URL(`.docs-${process.pid}.mjs`, import.meta.url).pathname; // here, so that it finds the clients
  writeFileSync(file, text);
  try {
    return await run(process.execPath, [file], env);
  } finally {
    rmSync(file);
  }
}
const compiled = 'compiled\n';
const streams = (text) => /for (await )?\(?.* (in|of) |stream\.on\(/.test(text); // prints an answer whole, and then one in pieces
const known = new Map(); // import lines -> whether python3 has what they name
function importable(text) {
  const lines = text.match(/^(?:import|from) .*$/gm).join('\n');
  if (!known.has(lines)) known.set(lines, spawnSync('python3', ['-c', lines]).status === 0);
  return known.get(lines);
}
const runPython = (text, env = process.env) => run('python3', ['-c', text], env);
const compilePython = (text) => run('python3', ['-c', `compile(${JSON.stringify(text)}, "example", "exec"); print("${compiled.trim()}")`]);

async function startWith(text) {
  writeFileSync(join(folder, 'given.yaml'), text);
  const given = await serve('--config', join(folder, 'given.yaml'), join(folder, 'models'));
  try {
    for (const [, alias] of text.matchAll(/^ +(\w\S*\/\S+):/gm)) {
      assert.equal((await fetch(`${given.base}/models/${encodeURIComponent(alias)}`)).status, 200, `${alias} is a model`);
    }
    return await (await fetch(`${given.base}/models`)).text();
  } finally {
    await given.stop();
  }
}
async function learnFrom(text) {
  writeFileSync(join(folder, 'given.jsonl'), text);
  return run(higgins, ['tune', 'random', '--data', 'given.jsonl', '--show-mask', '9']);
}

// How a block of each language is run; resolves to what it printed.
const ways = {
  js: (text) => runModule(text),
  sh: (text) => run('bash', ['-euo', 'pipefail', '-c', text]),
  python: (text) => (importable(text) ? runPython(text) : compilePython(text)),
  yaml: startWith,
  jsonl: learnFrom,
};
const done = {
  js: () => 'runs', sh: () => 'runs', yaml: () => 'configures a server', jsonl: () => 'is learnt from',
  python: (text) => (importable(text) ? 'runs' : 'is only compiled, because its client is not here'),
};

blocks.forEach(({ heading, language, text }, i) => {
  const can = Object.hasOwn(ways, language);
  test(`block ${i + 1}, "${heading}" in ${language || 'no language'}, ${can ? done[language](text) : 'can be run'}`, async () => {
    assert.ok(can, `no way to run a block of "${language}":\n${text}`);
    const out = await ways[language](filled(text));
    assert.match(out, /\S/, 'it prints something');
    if (streams(text) && out !== compiled) assert.match(out, /\S\s*\n\s*\S/, 'it prints an answer, and another as it comes');
  });
});

test('each protocol has an example in Python, in JavaScript and for curl', () => {
  for (const name of ['OpenAI', 'Anthropic', 'Gemini', 'Replicate', 'Ollama']) {
    assert.deepEqual(blocks.filter((b) => b.heading === name).map((b) => b.language), ['python', 'js', 'sh'], name);
    assert.ok(blocks.some((b) => b.heading === name && /stream/i.test(b.text)), `${name} has a stream`);
  }
});

// Programs that are told nothing: address and token come from the environment, by the names in the page's table.
const untold = {
  OpenAI: { js: "import OpenAI from 'openai';\nfor await (const m of new OpenAI().models.list()) console.log(m.id);", python: 'from openai import OpenAI\nfor m in OpenAI().models.list(): print(m.id)' },
  Anthropic: { js: "import Anthropic from '@anthropic-ai/sdk';\nfor await (const m of new Anthropic().models.list()) console.log(m.id);", python: 'from anthropic import Anthropic\nfor m in Anthropic().models.list(): print(m.id)' },
  Gemini: { js: "import { GoogleGenAI } from '@google/genai';\nfor await (const m of await new GoogleGenAI({}).models.list()) console.log(m.name);", python: 'from google import genai\nclient = genai.Client()\nfor m in client.models.list(): print(m.name)' },
  Replicate: { js: null, python: 'import replicate\nfor m in replicate.models.list(): print(m.name)' },
  Ollama: { js: null, python: 'import ollama\nfor m in ollama.list().models: print(m.model)' },
};
for (const [name, programs] of Object.entries(untold)) {
  const row = page.match(new RegExp(`^\\| ${name} \\| (.*)$`, 'm'))[1];
  const environmentOf = () => ({ ...process.env, ...Object.fromEntries([...filled(row).matchAll(/`(\w+)=([^`]+)`/g)].map(([, key, value]) => [key, value])) });
  if (programs.js !== null) {
    test(`${name}'s client for JavaScript takes address and token from the environment`, async () => {
      assert.match(await runModule(programs.js, environmentOf()), new RegExp(MODEL));
    });
  } else assert.match(row, /in JavaScript/);
  if (importable(programs.python)) {
    test(`${name}'s client for Python takes address and token from the environment`, async () => {
      assert.match(await runPython(programs.python, environmentOf()), new RegExp(MODEL));
    });
  }
}
