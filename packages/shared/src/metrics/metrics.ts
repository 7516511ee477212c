import { performance } from 'node:perf_hooks'
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import {
  type LabelsOf,
  type MetricFamily,
  type MetricName,
  metricFamilies,
  type NameOf,
  type Service,
} from './metric-families.ts'
import { addCounter, addHistogram, type CounterSeries, type HistogramSeries } from './tallies.ts'

/** How a call of Redis, S3 or SQS ended: see `outcomeOf`. */
export type CallOutcome = 'ok' | 'refused' | 'failed' | 'aborted'
export type Dependency = 'redis' | 's3' | 'sqs'

/** Records calls of one operation. @param seconds how long the call took */
export type RecordCall = (outcome: CallOutcome, seconds: number) => void
/** Returns the function that records calls of an operation. Callers that call often keep it. */
export type CallsOf = (dependency: Dependency, operation: string) => RecordCall

/**
 * Families of prom-client that list handles by their classes, some deprecated and some misnamed. With thousands of
 * connections they take ms to collect.
 */
const unusedNodeFamilies = ['handles', 'requests', 'resources'].flatMap((kind) => [
  `nodejs_active_${kind}`,
  `nodejs_active_${kind}_total`,
])

/**
 * Creates the metrics of one process: a registry of its own, with the families of its service. Rooms get narrow functions that
 * a service's `metrics` room makes of this, not this itself.
 *
 * @param options.instance the name of the process in logs
 * @param options.version of Millrace
 */
export function createMetrics(options: { service: Service; instance: string; version: string }) {
  const { service, instance, version } = options
  const registry = new Registry()
  const counters = new Map<string, (...values: string[]) => CounterSeries>()
  const histograms = new Map<string, (...values: string[]) => HistogramSeries>()
  const gauges = new Map<string, Gauge>()
  const beforeRead: (() => Promise<void> | void)[] = []

  for (const [name, family] of Object.entries<MetricFamily>(metricFamilies)) {
    if (!family.services.includes(service)) continue
    if (family.type === 'counter') counters.set(name, addCounter(registry, { name, ...family }))
    else if (family.type === 'histogram') histograms.set(name, addHistogram(registry, { name, ...family }))
    else
      gauges.set(
        name,
        new Gauge({ name, help: family.help, labelNames: [...family.labels], registers: [registry] }),
      )
  }

  /** @throws Error if this service has no such family */
  function find<Found>(families: Map<string, Found>, name: MetricName): Found {
    const found = families.get(name)
    if (!found) throw new Error(`The ${service} has no metric family ${name}.`)
    return found
  }

  /** Returns the series of a counter with these label values. */
  function counter<Name extends NameOf<'counter'>>(name: Name, ...values: LabelsOf<Name>): CounterSeries {
    return find(counters, name)(...values)
  }

  /** Returns the series of a histogram with these label values. */
  function histogram<Name extends NameOf<'histogram'>>(
    name: Name,
    ...values: LabelsOf<Name>
  ): HistogramSeries {
    return find(histograms, name)(...values)
  }

  /** Sets a gauge. @param value undefined: there is none at the moment */
  function setGauge<Name extends NameOf<'gauge'>>(
    name: Name,
    value: number | undefined,
    ...values: LabelsOf<Name>
  ): void {
    const gauge = find(gauges, name)
    if (value === undefined) gauge.remove(...values)
    else gauge.labels(...values).set(value)
  }

  setGauge('millrace_build_info', 1, service, instance, version, process.versions.node)
  let eventLoop = performance.eventLoopUtilization()
  beforeRead.push(() => {
    const now = performance.eventLoopUtilization()
    const { active, idle } = performance.eventLoopUtilization(now, eventLoop)
    eventLoop = now
    counter('millrace_event_loop_seconds_total', 'active').add(active / 1000)
    counter('millrace_event_loop_seconds_total', 'idle').add(idle / 1000)
  })

  return {
    counter,
    histogram,
    setGauge,

    /** Calls a function each time before the metrics are read. It sets gauges and does not throw. */
    beforeRead(run: () => Promise<void> | void): void {
      beforeRead.push(run)
    },

    /**
     * Adds prom-client's families of the process and of Node: CPU, memory, handles, garbage collection, event loop. Their
     * observers run until the process exits, so only `main.ts` calls this.
     */
    watchProcess(): void {
      collectDefaultMetrics({ register: registry })
      for (const name of unusedNodeFamilies) registry.removeSingleMetric(name)
    },

    /** Returns the function that records calls of Redis, S3 or SQS. */
    callsOf(dependency: Dependency, operation: string): RecordCall {
      const duration = histogram('millrace_dependency_call_duration_seconds', dependency, operation)
      const series: Partial<Record<CallOutcome, CounterSeries>> = {}
      return (outcome, seconds) => {
        series[outcome] ??= counter('millrace_dependency_calls_total', dependency, operation, outcome)
        series[outcome].add(1)
        duration.observe(seconds)
      }
    },

    contentType: registry.contentType,
    /** Returns all metrics in Prometheus' text format. */
    async read(): Promise<string> {
      await Promise.all(beforeRead.map((run) => run()))
      return registry.metrics()
    },
  }
}

export type Metrics = ReturnType<typeof createMetrics>
/** Reads the metrics of a process. */
export type ReadMetrics = Pick<Metrics, 'contentType' | 'read'>
