import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type MetricFamily, metricFamilies } from '@millrace/shared/metrics/metric-families.ts'
import { createMetrics } from '@millrace/shared/metrics/metrics.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { parsePrometheusText } from '../support/prometheus-text.ts'
import { suite } from '../support/suite.ts'

const test = suite('documented metrics')
const root = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')

const ours = new Map<string, MetricFamily>(Object.entries(metricFamilies))
/** Types of all families that a process of either service has, by name. */
const registered = new Map<string, string>()

test.before(async () => {
  for (const service of ['api', 'worker'] as const) {
    const metrics = createMetrics({ service, instance: 'x', version: '1' })
    metrics.watchProcess()
    for (const [name, { type }] of parsePrometheusText(await metrics.read())) registered.set(name, type)
  }
})

/** The rows of docs/metrics.md that describe families. */
function documented() {
  return read('docs/metrics.md')
    .split('\n')
    .flatMap((line) => {
      const [, names = '', type = '', rest = ''] =
        /^\| ((?:`[a-z0-9_]+`(?:, )?)+) \| (counter|gauge|histogram) \|(.*)\|$/.exec(line) ?? []
      const [labels = ''] = rest.split(' | ')
      return codesIn(names).map((name) => ({ name, type, labels: codesIn(labels) }))
    })
}

function codesIn(text: string): string[] {
  return [...text.matchAll(/`([a-z0-9_]+)`/g)].map(([, code = '']) => code)
}

test('docs/metrics.md describes each family of both services, and no other', () => {
  const rows = documented()
  assert.equal(rows.map(({ name }) => name).sort(), [...registered.keys()].sort())
  for (const { name, type, labels } of rows) {
    assert.is(type, registered.get(name), name)
    const family = ours.get(name)
    if (family) assert.equal(labels, [...family.labels], name)
  }
})

test('docs/metrics.md lists the families of a service under its heading', () => {
  const [, both = '', api = '', worker = ''] = read('docs/metrics.md').split(/^## Families of /m)
  for (const [name, { services }] of ours) {
    const section = services.length === 2 ? both : services[0] === 'api' ? api : worker
    assert.ok(section.includes(`| \`${name}\` |`), name)
  }
})

test('names, units and buckets follow the conventions of Prometheus', () => {
  for (const [name, { type, labels, buckets }] of ours) {
    assert.match(name, /^millrace_[a-z]+(_[a-z]+)*$/)
    assert.is(name.endsWith('_total'), type === 'counter', name)
    assert.not.match(name, /_(ms|milliseconds|kb|mb|percent)(_|$)/)
    for (const label of labels) {
      assert.match(label, /^[a-z]+(_[a-z]+)*$/)
      assert.not.ok(
        ['id', 'owner', 'path', 'host', 'url', 'tenant', 'user', 'le'].includes(label),
        `${name} ${label}`,
      )
    }
    assert.is(buckets !== undefined, type === 'histogram', name)
    assert.equal(
      buckets?.toSorted((a, b) => a - b),
      buckets,
    )
    if (type === 'histogram') assert.match(name, /_seconds$/)
  }
})

const Dashboard = Type.Object({
  title: Type.String(),
  uid: Type.String(),
  panels: Type.Array(
    Type.Object({
      id: Type.Integer(),
      title: Type.String(),
      type: Type.String(),
      description: Type.Optional(Type.String()),
      gridPos: Type.Object({ h: Type.Integer(), w: Type.Integer(), x: Type.Integer(), y: Type.Integer() }),
      targets: Type.Optional(Type.Array(Type.Object({ expr: Type.String(), legendFormat: Type.String() }))),
    }),
  ),
})

/** Labels that Prometheus adds to each series, and that of buckets. */
const addedLabels = ['job', 'instance', 'le']

/** Checks that a query names families, labels of them and series of their types that exist. */
function checkQuery(expr: string): void {
  const selected = [...expr.matchAll(/\b((?:millrace|process|nodejs)_[a-z0-9_]+)(\{[^}]*\})?(\[)?/g)]
  assert.ok(selected.length > 0, expr)
  const labels = new Set(addedLabels)
  for (const [, series = '', matchers = '', range] of selected) {
    const name = registered.has(series) ? series : series.replace(/_(bucket|sum|count)$/, '')
    const type = registered.get(name)
    assert.ok(type, `${series} in ${expr}`)
    assert.is(series !== name, type === 'histogram', `${series} in ${expr}`)
    // A rate of a gauge, and a counter without one, mean nothing.
    assert.is(range !== undefined, type !== 'gauge', `${series} in ${expr}`)
    const own = [...(ours.get(name)?.labels ?? []), ...addedLabels]
    for (const label of own) labels.add(label)
    for (const [, label = ''] of matchers.matchAll(/([a-z_]+)(?:=~|!~|!=|=)/g))
      assert.ok(own.includes(label), expr)
  }
  for (const [, list = ''] of expr.matchAll(/\bby \(([^)]*)\)/g)) {
    for (const label of list.split(', ')) assert.ok(labels.has(label), `${label} in ${expr}`)
  }
}

test('every query of the dashboard and of docs/metrics.md names families, labels and ranges that exist', () => {
  const { panels } = Compile(Dashboard).Parse(JSON.parse(read('docs/grafana/millrace.json')))
  const queries = panels.flatMap(({ targets = [] }) => targets)
  assert.ok(queries.length > 30)
  for (const { expr, legendFormat } of queries) {
    checkQuery(expr)
    for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
      assert.ok(
        /\bby \(/.test(expr) ? expr.includes(label) : addedLabels.includes(label),
        `${legendFormat} of ${expr}`,
      )
    }
  }
  for (const [, expr = ''] of read('docs/metrics.md').matchAll(
    /`((?:max|sum|rate|histogram_quantile)\b[^`]*)`/g,
  )) {
    if (expr.includes('(')) checkQuery(expr)
  }
})

test('every panel of the dashboard has a description and a place of its own, and every family of ours is shown', () => {
  const { panels } = Compile(Dashboard).Parse(JSON.parse(read('docs/grafana/millrace.json')))
  assert.is(new Set(panels.map(({ id }) => id)).size, panels.length)
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
  )
  assert.is(new Set(cells).size, cells.length)
  for (const { title, type, description } of panels) assert.ok(type === 'row' || description, title)
  const shown = JSON.stringify(panels)
  // Shown by other means: slots of the fleet, requests at the moment.
  const unshown = ['millrace_queue_slots', 'millrace_http_requests_active']
  assert.equal(
    [...ours.keys()].filter((name) => !shown.includes(name)),
    unshown,
  )
})

test('the Prometheus of compose.yaml reads the port of API and workers, by the names of its services', () => {
  const Compose = Type.Object({
    services: Type.Record(
      Type.String(),
      Type.Object({
        image: Type.Optional(Type.String()),
        profiles: Type.Optional(Type.Array(Type.String())),
        environment: Type.Optional(Type.Record(Type.String(), Type.String())),
        volumes: Type.Optional(Type.Array(Type.String())),
      }),
    ),
  })
  const { services } = Compile(Compose).Parse(parse(read('compose.yaml'), { merge: true }))
  const Scrapes = Type.Object({
    scrape_configs: Type.Array(
      Type.Object({
        job_name: Type.String(),
        dns_sd_configs: Type.Array(Type.Object({ names: Type.Array(Type.String()), port: Type.Integer() })),
      }),
    ),
  })
  const { scrape_configs: scrapes } = Compile(Scrapes).Parse(parse(read('docs/observe/prometheus.yml')))
  assert.equal(
    scrapes.map(({ job_name }) => job_name),
    ['millrace-api', 'millrace-worker'],
  )
  for (const { names, port } of scrapes.flatMap((scrape) => scrape.dns_sd_configs)) {
    for (const name of names) assert.is(services[name]?.environment?.['METRICS_PORT'], String(port), name)
  }
  const observing = Object.values(services).filter(({ profiles }) => profiles?.includes('observe'))
  assert.is(observing.length, 2)
  for (const { image = '', volumes = [] } of observing) {
    assert.match(image, /:v?\d+\.\d+\.\d+$/)
    for (const [, file = ''] of volumes.map((volume) => /^\.\/([^:]+):/.exec(volume) ?? [])) {
      if (file.endsWith('.yml') || file.endsWith('.yaml')) assert.ok(parse(read(file)), file)
    }
  }
})

test.run()
