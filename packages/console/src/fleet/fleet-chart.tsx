import { numberText, timeText } from '../format/format-quantities.ts'
import type { QueueLoadPoint } from './cluster.ts'

/** Size of the drawing, in units of its view box. */
const width = 600
const height = 120
/** Minimum top of the scale. Jobs wait when the queue load is above 1, so the chart always includes 1. */
const minTop = 1.2

/** Bars of the recent queue load, with a line at 1: all slots are in use. @param history newest first */
export function FleetChart({ history }: { history: QueueLoadPoint[] }) {
  const points = history.toReversed()
  const top = Math.max(minTop, ...points.map(({ load }) => load))
  const step = width / Math.max(points.length, 20)
  const y = (load: number) => height - (load / top) * height
  const highest = points.reduce((best, point) => (point.load > best.load ? point : best))
  return (
    <figure class="fleet-chart">
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
        {points.map(({ at, load }, index) => (
          <rect key={at} x={index * step} y={y(load)} width={step * 0.85} height={height - y(load)} />
        ))}
        <line x1="0" x2={width} y1={y(1)} y2={y(1)} />
      </svg>
      <figcaption>
        Queue load since {timeText(Date.parse(points[0]?.at ?? highest.at))}. Maximum:{' '}
        {numberText(highest.load)}. The line is at 1: above it, jobs wait for a free slot.
      </figcaption>
    </figure>
  )
}
