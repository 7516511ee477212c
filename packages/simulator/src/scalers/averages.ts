import type { FleetPoint } from './fleet-metrics.ts'

/**
 * Returns the last `count` averages over periods of `periodS`, oldest first.
 * @param points averages over the metric's own, shorter period, oldest first
 */
export function averages(points: readonly FleetPoint[], periodS: number, count: number): FleetPoint[] {
  const [first, second] = points
  if (!first || !second || periodS === second.atS - first.atS) return points.slice(-count)
  const pointsPerPeriod = periodS / (second.atS - first.atS)
  const history: FleetPoint[] = []
  let end = points.findLastIndex(({ atS }) => atS % periodS === 0) + 1
  for (; end >= pointsPerPeriod && history.length < count; end -= pointsPerPeriod)
    history.push(average(points.slice(end - pointsPerPeriod, end)))
  return history.reverse()
}

function average(points: readonly FleetPoint[]): FleetPoint {
  const mean = (value: (point: FleetPoint) => number) =>
    points.reduce((sum, point) => sum + value(point), 0) / points.length
  return {
    atS: points.at(-1)?.atS ?? 0,
    load: mean(({ load }) => load),
    demand: mean(({ demand }) => demand),
    waiting: mean(({ waiting }) => waiting),
    busyShare: mean(({ busyShare }) => busyShare),
    inService: mean(({ inService }) => inService),
  }
}
