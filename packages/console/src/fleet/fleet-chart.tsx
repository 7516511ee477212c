import { momentText, shortNumber } from '../format.ts'
import type { QueueLoadPoint } from './cluster.ts'

/** In units of the drawing. */
const width = 600
const height = 120
/** A load of 1 is where jobs begin to wait, so it is on the chart always. */
const leastTop = 1.2

/** The load of the last while as bars, with a line where all slots are busy. @param history newest first */
export function FleetChart({ history }: { history: QueueLoadPoint[] }) {
  const points = history.toReversed()
  const top = Math.max(leastTop, ...points.map(({ load }) => load))
  const step = width / Math.max(points.length, 20)
  const y = (load: number) => height - (load / top) * height
  const highest = points.reduce((most, point) => (point.load > most.load ? point : most))
  return (
    <figure class="fleet-chart">
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
        {points.map(({ at, load }, index) => (
          <rect key={at} x={index * step} y={y(load)} width={step * 0.85} height={height - y(load)} />
        ))}
        <line x1="0" x2={width} y1={y(1)} y2={y(1)} />
      </svg>
      <figcaption>
        Load since {momentText(Date.parse(points[0]?.at ?? highest.at))}, at most {shortNumber(highest.load)}.
        Above the line jobs wait.
      </figcaption>
    </figure>
  )
}
