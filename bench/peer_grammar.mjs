// npm's @mlc-ai/web-xgrammar beside our grammars. peer_grammar.mjs TOKENIZER END says "ready" and answers each line {"schema": text or null for any JSON,
// "walk": [ids]} with the seconds {"compile": ..., "first": ..., "most": ..., "mean": ...}: compiling, the first mask of the walk, the slowest of a second
// walk and its mean. A walk that it does not let through is {"refused": place}.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const [file, end] = process.argv.slice(2);
const packages = new URL('../tests/node/node_modules/', import.meta.url);
Object.assign(globalThis, { require: createRequire(new URL('x.js', packages)), __filename: import.meta.url, __dirname: packages.pathname });
await import(new URL('@mlc-ai/web-xgrammar/lib/index.js', packages));
const { GrammarCompiler, GrammarMatcher, TokenizerInfo } = globalThis.xgrammar;
const json = JSON.parse(readFileSync(file, 'utf8')), pieces = [];
for (const [t, id] of Object.entries(json.model.vocab)) pieces[id] = t;
for (const t of json.added_tokens) pieces[t.id] = t.content;
const info = await TokenizerInfo.createTokenizerInfo(pieces, 'byte_level', false, pieces.length, Number(end));
const seconds = () => Number(process.hrtime.bigint()) / 1e9;

async function measure({ schema, walk }) {
  const compiler = await GrammarCompiler.createGrammarCompiler(info, false);
  let start = seconds();
  const compiled = schema === null ? await compiler.compileBuiltinJSONGrammar() : await compiler.compileJSONSchema(schema, true, undefined, undefined, true);
  const out = { compile: seconds() - start };
  for (let round = 0; round < 2; round++) {
    const m = await GrammarMatcher.createGrammarMatcher(compiled);
    let most = 0, sum = 0;
    for (const [i, id] of walk.entries()) {
      start = seconds();
      await m.getNextTokenBitmask();
      const took = seconds() - start;
      if (round === 0 && i === 0) out.first = took;
      most = Math.max(most, took);
      sum += took;
      if (!m.acceptToken(id)) return { refused: i };
    }
    Object.assign(out, { most, mean: sum / walk.length });
    m.dispose();
  }
  compiled.dispose();
  compiler.dispose();
  return out;
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await measure(JSON.parse(line))));
