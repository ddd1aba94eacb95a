// Code in colours: the common languages of highlight.js, which escapes what it is given.
import hljs from 'highlight.js/lib/common';
import DOMPurify from 'dompurify';

const MAX_COLOURED = 50_000;

export function colour(node, language) {
  const code = node.textContent;
  if (code.length > MAX_COLOURED || (language && !hljs.getLanguage(language))) return;
  const { value } = language ? hljs.highlight(code, { language, ignoreIllegals: true }) : hljs.highlightAuto(code);
  node.replaceChildren(DOMPurify.sanitize(value, { ALLOWED_TAGS: ['span'], ALLOWED_ATTR: ['class'], RETURN_DOM_FRAGMENT: true }));
}
