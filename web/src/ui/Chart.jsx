// A curve that grows: uPlot, in the page's colours.
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const WHOLE = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6].map((e) => n * 10 ** e)).sort((a, b) => a - b); // steps of the x axis
const toTexts = (format) => format && ((_, all) => all.map(format));

function options(series, height, format, formatX) {
  const axis = { stroke: colour('--soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: '12px system-ui' };
  return {
    width: 300, height, legend: { show: false }, cursor: { points: { size: 6 }, drag: { setScale: false } }, padding: [8, 12, 0, 0],
    scales: { x: { time: false }, y: { range: (_, min, max) => range(min, max) } },
    axes: [{ ...axis, space: 70, size: 32, incrs: WHOLE, values: toTexts(formatX) }, { ...axis, size: 52, values: toTexts(format) }],
    series: [{}, ...series.map((s) => ({ label: s.label, stroke: colour(s.colour ?? '--accent'), width: 2, points: { show: s.points ?? false, size: 6 }, spanGaps: true }))],
  };
}

// data: [x, y1, y2...]; series: [{label, colour}]. What is drawn is told in words, too.
// A flat curve at 0 has room above it; others have some around them.
function range(min, max) {
  if (min === null) return [0, 1];
  if (min === max) return min === 0 ? [0, 1] : [min * 0.9, max * 1.1];
  const room = (max - min) * 0.08;
  return [min >= 0 ? Math.max(0, min - room) : min - room, max + room];
}

export function Chart({ data, series, label, height = 220, format, formatX }) {
  const ref = useRef(), plot = useRef();
  useEffect(() => {
    plot.current = new uPlot(options(series, height, format, formatX), data, ref.current);
    const fit = () => ref.current && plot.current?.setSize({ width: ref.current.clientWidth, height });
    const watch = new ResizeObserver(fit);
    watch.observe(ref.current);
    fit();
    return () => {
      watch.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [document.documentElement.dataset.theme, series.length]);
  useEffect(() => { plot.current?.setData(data); }, [data]);
  return <div class="plot" ref={ref} role="img" aria-label={label} />;
}
