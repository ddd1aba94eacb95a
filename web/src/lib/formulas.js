// Formulas, as KaTeX draws them: nodes, never HTML, with styles that are set one by one, so that the content policy holds.
import katex from 'katex';

export function drawFormulas(root) {
  for (const node of root.querySelectorAll('span.math')) {
    const source = node.textContent;
    try {
      katex.render(source, node, { displayMode: node.classList.contains('display'), throwOnError: true, trust: false, strict: 'ignore', maxSize: 20, maxExpand: 200 });
    } catch {
      node.textContent = source;
      node.classList.add('broken');
    }
  }
}
