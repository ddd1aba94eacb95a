// What models say is untrusted: Markdown becomes HTML, the purifier takes out of it everything that is not text, and only then it becomes part of the
// page. Pictures are not fetched (a model could tell what it has read by asking for one) but named. Formulas and colours come afterwards, as nodes.
import DOMPurify from 'dompurify';
import { Marked } from 'marked';

// More is shown as plain text, so that nothing a model says can hold the page up: to pair the * and _ of a line takes the square of their number.
const MAX_RICH = 150_000, MAX_SIGNS_OF_LINE = 1000, MAX_SIGNS_OF_PARAGRAPH = 5000;
const signs = (text) => text.match(/[*_]/g)?.length ?? 0;
const isHeavy = (text) => text.length > MAX_RICH || text.split(/\n[ \t]*\n/).some((paragraph) => signs(paragraph) > MAX_SIGNS_OF_PARAGRAPH ||
  paragraph.split('\n').some((line) => line.length > MAX_SIGNS_OF_LINE && signs(line) > MAX_SIGNS_OF_LINE));

// $...$, $$...$$, \(...\) and \[...\] become elements that formulas.js fills. A dollar before a blank or a digit behind it is money.
const MATH = [
  [/^\$\$([\s\S]+?)\$\$/, true], [/^\\\[([\s\S]+?)\\\]/, true], [/^\\\(([\s\S]+?)\\\)/, false],
  [/^\$(?![\s$])((?:\\.|[^$\\\n])+?)(?<![\s\\])\$(?!\d)/, false],
];
const escapeHtml = (s) => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const math = {
  name: 'math', level: 'inline',
  start: (src) => src.slice(0, 1000).match(/\$|\\[([]/)?.index, // asked at each word: no look at all that follows
  tokenizer(src) {
    for (const [form, display] of MATH) {
      const m = form.exec(src);
      if (m) return { type: 'math', raw: m[0], text: m[1].trim(), display };
    }
    return undefined;
  },
  renderer: (token) => `<span class="math${token.display ? ' display' : ''}">${escapeHtml(token.text)}</span>`,
};

const marked = new Marked({
  gfm: true, breaks: true, extensions: [math],
  renderer: {
    html: (token) => escapeHtml(token.text ?? token.raw),
    image: (token) => `<span class="picture">${escapeHtml(token.text || token.href)}</span>`,
  },
});

const purifier = DOMPurify(window);
purifier.setConfig({
  ALLOWED_TAGS: ['a', 'p', 'br', 'hr', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'strong', 'em', 'del', 'code', 'pre', 'blockquote', 'ul', 'ol', 'li',
    'table', 'thead', 'tbody', 'tr', 'th', 'td', 'span', 'input'],
  ALLOWED_ATTR: ['href', 'title', 'class', 'start', 'align', 'type', 'checked', 'disabled'],
  ADD_URI_SAFE_ATTR: ['align', 'start', 'type', 'checked', 'disabled'], // whose values are no addresses
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  RETURN_DOM_FRAGMENT: true,
});
purifier.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
  }
  if (node.tagName === 'INPUT' && node.getAttribute('type') !== 'checkbox') node.remove();
  const name = node.getAttribute('class');
  if (name && !/^(language-[\w+#.-]+|math|math display|picture)$/.test(name)) node.removeAttribute('class');
});

// The blocks of a text: [{raw, token}]. While a text grows all but its last blocks stay as they are, and need not be drawn again.
export function blocks(text) {
  if (!isHeavy(text)) {
    try {
      return marked.lexer(text).filter((token) => token.type !== 'space' && token.type !== 'def');
    } catch { /* nested deeper than anybody means it */ }
  }
  return [{ type: 'plain', raw: text }];
}

// One block as nodes.
export function draw(token) {
  const plain = () => {
    const p = document.createElement('p');
    p.className = 'plain';
    p.textContent = token.raw;
    return p;
  };
  if (token.type === 'plain') return plain();
  try {
    return purifier.sanitize(marked.parser([token]));
  } catch {
    return plain();
  }
}
