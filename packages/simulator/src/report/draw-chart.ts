import type { SeriesPoint } from '../simulation/simulate.ts'

const width = 720
const panelHeight = 110
const left = 52
const right = 12
const gap = 26
/** As many points as the drawing has room for. */
const pointsDrawn = 240

type Line = { label: string; colour: string; points: { atS: number; value: number }[] }
type Panel = { title: string; lines: Line[] }

/** A policy's series, and how it is drawn. */
export type Drawn = { label: string; colour: string; series: SeriesPoint[] }

/**
 * Draws arrivals, backlog and fleet over time, one below the other, as an SVG.
 * @param policies the first one's arrivals are drawn; they all had the same
 */
export function drawChart(title: string, policies: Drawn[], seriesPeriodS: number): string {
  const line = ({ label, colour, series }: Drawn, value: (point: SeriesPoint) => number): Line => ({
    label,
    colour,
    points: thin(series.map((point) => ({ atS: point.atS, value: value(point) }))),
  })
  const [first] = policies
  const panels: Panel[] = [
    {
      title: 'jobs arriving a second',
      lines: first ? [line({ ...first, colour: '#666' }, ({ arrivals }) => arrivals / seriesPeriodS)] : [],
    },
    { title: 'jobs waiting', lines: policies.map((each) => line(each, ({ backlog }) => backlog)) },
    { title: 'workers in service', lines: policies.map((each) => line(each, ({ inService }) => inService)) },
  ]
  const endS = Math.max(...policies.map(({ series }) => series.at(-1)?.atS ?? 0), 1)
  const height = 30 + panels.length * (panelHeight + gap) + 10
  const legend = policies.map(
    ({ label, colour }, index) =>
      `<text x="${width - right - 130 * (policies.length - index - 1)}" y="18" fill="${colour}" text-anchor="end">${label}</text>`,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<title>${escaped(title)}: arrivals, jobs waiting and workers over time</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${left}" y="18" font-weight="bold">${escaped(title)}</text>`,
    ...legend,
    ...panels.map((panel, index) => drawPanel(panel, 30 + index * (panelHeight + gap), endS)),
    ...hours(endS, height),
    '</svg>\n',
  ].join('\n')
}

function drawPanel({ title, lines }: Panel, top: number, endS: number): string {
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

/** Marks of time, about six. */
function hours(endS: number, height: number): string[] {
  const stepS = [300, 600, 1200, 3600, 7200, 14_400, 21_600].find((step) => endS / step <= 7) ?? 86_400
  return Array.from({ length: Math.floor(endS / stepS) + 1 }, (_, index) => {
    const at = index * stepS
    const x = Math.round(left + (at / endS) * (width - left - right))
    const label = stepS < 3600 ? `${at / 60} min` : `${at / 3600} h`
    const anchor = x > width - 40 ? 'end' : 'middle'
    return `<text x="${x}" y="${height - 4}" text-anchor="${anchor}" fill="#666">${label}</text>`
  })
}

/** Of each stretch of points the highest: peaks are what one looks for. */
function thin(points: Line['points']): Line['points'] {
  const each = Math.ceil(points.length / pointsDrawn)
  if (each <= 1) return points
  const kept: Line['points'] = []
  for (let at = 0; at < points.length; at += each) {
    kept.push(points.slice(at, at + each).reduce((best, point) => (point.value > best.value ? point : best)))
  }
  return kept
}

/** A trace is named after its file, which may be called anything. */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
