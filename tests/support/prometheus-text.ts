/** One line with a value. */
export type Sample = { name: string; labels: Record<string, string>; value: number }
/** A family of the text: its head, and its samples in order. */
export type ParsedFamily = { type: string; help: string; samples: Sample[] }

const familyName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const labelPattern = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y
/** What Go's ParseFloat takes, which the format refers to. prom-client writes `Nan`. */
const number = /^[+-]?(?:inf(?:inity)?|\d+(?:\.\d+)?(?:e[+-]?\d+)?)$|^nan$/i
const types: ReadonlySet<string> = new Set(['counter', 'gauge', 'histogram', 'summary', 'untyped'])

/**
 * Parses Prometheus' text format 0.0.4, and more strictly than Prometheus does: every family has its HELP and its TYPE
 * directly before its samples, no series occurs twice, counters have names that end with `_total` and are not negative, and
 * histograms are complete and cumulative.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * @throws Error with the line
 */
export function parsePrometheusText(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('\n')) throw new Error('The last line has no line feed.')
  const families = new Map<string, ParsedFamily>()
  const seen = new Set<string>()
  let help: { name: string; help: string } | undefined
  let current: { name: string; family: ParsedFamily } | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const fail = (why: string): never => {
      throw new Error(`${why}: ${line}`)
    }
    if (line === '') continue
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP') {
      if (rest === '') fail('HELP has no text')
      help = { name, help: rest }
      continue
    }
    if (kind === 'TYPE') {
      if (help?.name !== name) fail('TYPE does not follow its HELP')
      if (!familyName.test(name)) fail('not a name')
      if (families.has(name)) fail('the family occurs twice')
      if (!types.has(rest)) fail('not a type')
      current = { name, family: { type: rest, help: help?.help ?? '', samples: [] } }
      families.set(name, current.family)
      help = undefined
      continue
    }
    if (help || !current) return fail('a sample without HELP and TYPE')
    const sample = parseSample(line)
    if (!sample) return fail('not a sample')
    if (!belongs(sample.name, current.name, current.family.type)) fail('not a sample of this family')
    const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()])
    if (seen.has(key)) fail('the series occurs twice')
    seen.add(key)
    if (current.family.type === 'counter') {
      if (!sample.name.endsWith('_total')) fail('a counter without _total')
      if (!(sample.value >= 0)) fail('a negative counter')
    }
    current.family.samples.push(sample)
  }
  if (help) throw new Error(`HELP without TYPE: ${help.name}`)
  for (const [name, { type, samples }] of families) if (type === 'histogram') checkHistogram(name, samples)
  return families
}

function parseSample(line: string): Sample | undefined {
  const [, name = '', body, value = ''] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
  if (!number.test(value)) return undefined
  const labels: Record<string, string> = {}
  let end = 0
  while (body !== undefined && end < body.length) {
    labelPattern.lastIndex = end
    const found = labelPattern.exec(body)
    if (!found) return undefined
    const [, label = '', text = ''] = found
    if (Object.hasOwn(labels, label)) return undefined
    labels[label] = text.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
    end = labelPattern.lastIndex
  }
  return { name, labels, value: Number(value.replace(/inf(?:inity)?/i, 'Infinity').replace(/nan/i, 'NaN')) }
}

function belongs(sample: string, family: string, type: string): boolean {
  if (type === 'histogram') {
    return ['_bucket', '_sum', '_count'].some((suffix) => sample === `${family}${suffix}`)
  }
  if (type === 'summary') return [family, `${family}_sum`, `${family}_count`].includes(sample)
  return sample === family
}

function checkHistogram(name: string, samples: Sample[]): void {
  const bySeries = Map.groupBy(samples, ({ labels: { le: _, ...labels } }) =>
    JSON.stringify(Object.entries(labels).sort()),
  )
  for (const [series, parts] of bySeries) {
    const fail = (why: string): never => {
      throw new Error(`${why}: ${name} ${series}`)
    }
    const buckets = parts.filter((part) => part.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels }) => Number(labels['le']?.replace('Inf', 'Infinity')))
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY) fail('the last bucket is not +Inf')
    if (bounds.some((bound, index) => !(bound > (bounds[index - 1] ?? Number.NEGATIVE_INFINITY)))) {
      fail('the buckets are not in order')
    }
    if (buckets.some(({ value }, index) => value < (buckets[index - 1]?.value ?? 0))) fail('not cumulative')
    const count = parts.find((part) => part.name === `${name}_count`)?.value
    if (count === undefined || count !== buckets.at(-1)?.value) fail('the count is not that of +Inf')
    if (!parts.some((part) => part.name === `${name}_sum`)) fail('there is no sum')
  }
}

/** Returns the sum of all samples of a name that have these labels. Without any, 0. */
export function sumOf(
  families: Map<string, ParsedFamily>,
  name: string,
  labels: Record<string, string> = {},
): number {
  return [...families.values()]
    .flatMap(({ samples }) => samples)
    .filter((sample) => sample.name === name)
    .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0)
}
