import { Counter, Histogram, type Registry } from 'prom-client'
import type { MetricFamily } from './metric-families.ts'

/**
 * Counters and histograms of a registry whose values are kept here. prom-client's own look up, sort and check the labels
 * with each observation, which takes 0.4 to 1.3 µs (measured). A request for a session takes 33 µs in all
 * (docs/cost-of-ingest.md), and a call of Redis happens several times in each.
 *
 * The registry gets objects of prom-client that read their values from here.
 */

/** A number that grows. */
export type CounterSeries = { add(amount: number): void }
/** Counts of values by bucket. */
export type HistogramSeries = { observe(value: number): void }

type Family = Pick<MetricFamily, 'help' | 'labels' | 'buckets'> & { name: string }
type Sample = { metricName?: string; labels: Record<string, string | number>; value: number }

/** Adds a counter to a registry. @returns a function that finds the series of some label values, or adds it */
export function addCounter(registry: Registry, { name, help, labels }: Family) {
  const { seriesOf, all } = createSeries(labels, () => {
    let value = 0
    return {
      add(amount: number) {
        value += amount
      },
      samples: (own: Record<string, string>): Sample[] => [{ labels: own, value }],
    }
  })
  const counter = new Counter({ name, help, labelNames: [...labels], registers: [] })
  registry.registerMetric(withSamples(counter, { name, help, type: 'counter' }, all))
  return seriesOf
}

/** Adds a histogram to a registry. @returns a function that finds the series of some label values, or adds it */
export function addHistogram(registry: Registry, { name, help, labels, buckets = [] }: Family) {
  const { seriesOf, all } = createSeries(labels, () => {
    const counts = new Array<number>(buckets.length + 1).fill(0)
    let sum = 0
    return {
      observe(value: number) {
        let bucket = 0
        while (bucket < buckets.length && value > (buckets[bucket] ?? 0)) bucket += 1
        counts[bucket] = (counts[bucket] ?? 0) + 1
        sum += value
      },
      samples(own: Record<string, string>): Sample[] {
        let count = 0
        const cumulative = counts.map((inBucket, bucket) => {
          count += inBucket
          const le = buckets[bucket] ?? '+Inf'
          return { metricName: `${name}_bucket`, labels: { ...own, le }, value: count }
        })
        return [
          ...cumulative,
          { metricName: `${name}_sum`, labels: own, value: sum },
          { metricName: `${name}_count`, labels: own, value: count },
        ]
      },
    }
  })
  const histogram = new Histogram({
    name,
    help,
    labelNames: [...labels],
    buckets: [...buckets],
    registers: [],
  })
  registry.registerMetric(withSamples(histogram, { name, help, type: 'histogram' }, all))
  return seriesOf
}

function createSeries<Series extends { samples(labels: Record<string, string>): Sample[] }>(
  names: readonly string[],
  create: () => Series,
) {
  const byKey = new Map<string, { labels: Record<string, string>; series: Series }>()
  function seriesOf(...values: readonly string[]): Series {
    // No value contains the separator: all come from lists of ours.
    const key = values.join('\n')
    const found = byKey.get(key)
    if (found) return found.series
    const labels = Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']))
    const series = create()
    byKey.set(key, { labels, series })
    return series
  }
  // A family without labels has its one series from the start, so that a counter begins at 0.
  if (names.length === 0) seriesOf()
  return {
    seriesOf,
    all: () => [...byKey.values()].flatMap(({ labels, series }) => series.samples(labels)),
  }
}

/** Returns a metric that is one of prom-client's except for its values. */
function withSamples<Metric extends object>(metric: Metric, head: object, samples: () => Sample[]): Metric {
  return Object.create(metric, {
    // prom-client reads histograms by this method, if there is one.
    getForPromString: { value: undefined },
    get: { value: async () => ({ ...head, aggregator: 'sum', values: samples() }) },
  })
}
