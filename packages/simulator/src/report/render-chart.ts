import type { SeriesPoint } from '../simulation/simulate.ts'

const width = 720
const panelHeight = 110
const left = 52
const right = 12
const gap = 26
/** The number of points that fit into the chart's width. */
const maxPoints = 240

type Line = { label: string; colour: string; points: { atS: number; value: number }[] }
type Panel = { title: string; lines: Line[] }

/** A policy's series, its label and its colour. */
export type ChartSeries = { label: string; colour: string; series: SeriesPoint[] }

/**
 * Renders arrivals, backlog and fleet size over time as an SVG with three panels.
 * @param policies series of the same trace; the arrivals are taken from the first one
 */
export function renderChart(title: string, policies: ChartSeries[], seriesPeriodS: number): string {
  const line = ({ label, colour, series }: ChartSeries, value: (point: SeriesPoint) => number): Line => ({
    label,
    colour,
    points: downsample(series.map((point) => ({ atS: point.atS, value: value(point) }))),
  })
  const [first] = policies
  const panels: Panel[] = [
    {
      title: 'Arriving jobs per second',
      lines: first ? [line({ ...first, colour: '#666' }, ({ arrivals }) => arrivals / seriesPeriodS)] : [],
    },
    { title: 'Waiting jobs', lines: policies.map((policy) => line(policy, ({ backlog }) => backlog)) },
    {
      title: 'Workers in service',
      lines: policies.map((policy) => line(policy, ({ inService }) => inService)),
    },
  ]
  const endS = Math.max(...policies.map(({ series }) => series.at(-1)?.atS ?? 0), 1)
  const height = 30 + panels.length * (panelHeight + gap) + 10
  const legend = policies.map(
    ({ label, colour }, index) =>
      `<text x="${width - right - 130 * (policies.length - index - 1)}" y="18" fill="${colour}" text-anchor="end">${label}</text>`,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<title>${escapeText(title)}: arriving jobs, waiting jobs and workers over time</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${left}" y="18" font-weight="bold">${escapeText(title)}</text>`,
    ...legend,
    ...panels.map((panel, index) => renderPanel(panel, 30 + index * (panelHeight + gap), endS)),
    ...timeLabels(endS, height),
    '</svg>\n',
  ].join('\n')
}

function renderPanel({ title, lines }: Panel, top: number, endS: number): string {
  const highest = Math.max(1, ...lines.flatMap(({ points }) => points.map(({ value }) => value)))
  const bottom = top + gap / 2 + panelHeight
  const x = (atS: number) => Math.round(left + (atS / endS) * (width - left - right))
  const y = (value: number) => Math.round(bottom - (value / highest) * panelHeight)
  return [
    `<text x="${left}" y="${top + 8}" fill="#666">${title}</text>`,
    `<path d="M${left} ${bottom - panelHeight}V${bottom}H${width - right}" fill="none" stroke="#bbb"/>`,
    `<text x="${left - 6}" y="${bottom - panelHeight + 8}" text-anchor="end" fill="#666">${Math.round(highest)}</text>`,
    `<text x="${left - 6}" y="${bottom}" text-anchor="end" fill="#666">0</text>`,
    ...lines.map(
      ({ colour, points }) =>
        `<path d="M${points.map(({ atS, value }) => `${x(atS)} ${y(value)}`).join('L')}" fill="none" stroke="${colour}" stroke-width="1.3"/>`,
    ),
  ].join('\n')
}

/** Returns labels of the time axis, about six. */
function timeLabels(endS: number, height: number): string[] {
  const stepS = [300, 600, 1200, 3600, 7200, 14_400, 21_600].find((step) => endS / step <= 7) ?? 86_400
  return Array.from({ length: Math.floor(endS / stepS) + 1 }, (_, index) => {
    const at = index * stepS
    const x = Math.round(left + (at / endS) * (width - left - right))
    const label = stepS < 3600 ? `${at / 60} min` : `${at / 3600} h`
    const anchor = x > width - 40 ? 'end' : 'middle'
    return `<text x="${x}" y="${height - 4}" text-anchor="${anchor}" fill="#666">${label}</text>`
  })
}

/** Reduces the points to `maxPoints`. Keeps the highest of each group, so that peaks remain visible. */
function downsample(points: Line['points']): Line['points'] {
  const groupSize = Math.ceil(points.length / maxPoints)
  if (groupSize <= 1) return points
  const peaks: Line['points'] = []
  for (let at = 0; at < points.length; at += groupSize) {
    peaks.push(
      points.slice(at, at + groupSize).reduce((peak, point) => (point.value > peak.value ? point : peak)),
    )
  }
  return peaks
}

/** Escapes a text for SVG. A trace has the name of its file, which may contain any characters. */
function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
