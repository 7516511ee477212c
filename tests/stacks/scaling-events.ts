// Runs the dashboard's queries over events as Auto Scaling sends them.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Json } from '../support/mock-aws.ts'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'
import { production } from './clouds.ts'
import { at, list, one, parse, texts } from './find.ts'

const test = suite('scaling events')

const events: Json[] = list(
  parse(readFileSync(join(root, 'tests/fixtures/scaling-events/events.json'), 'utf8')),
)

/** Returns the query of a widget of the production dashboard, one command an item. */
function queryOf(title: string): string[] {
  const { inputs } = one(production, 'aws:cloudwatch/dashboard:Dashboard', 'Dashboard')
  const widget = list(at(parse(inputs['dashboardBody']), 'widgets')).find(
    (each) => at(each, 'properties', 'title') === title,
  )
  return String(at(widget, 'properties', 'query')).split(/\n\| /)
}

/** Runs the few commands of CloudWatch Logs Insights that the queries use. @throws Error for any other command */
function run(query: string[], records: Json[]): Record<string, number> {
  const fieldOf = (record: Json, name: string) => at(record, ...name.replaceAll('`', '').split('.'))
  let rows = records.map((record) => ({ record, parsed: new Map<string, string>() }))
  let result: Record<string, number> | undefined
  for (const command of query) {
    const filter = /^filter (\S+) like \/(.+)\/$/.exec(command)
    const parsing = /^parse (\S+) \/(.+)\/$/.exec(command)
    const present = /^filter ispresent\((\w+)\)$/.exec(command)
    const alias = /^fields (\S+) as (\w+)$/.exec(command)
    const stats = /^stats count_distinct\((\w+)\) as \w+ by (\w+)$/.exec(command)
    if (command.startsWith('SOURCE ')) continue
    if (filter) {
      const [, name = '', pattern = ''] = filter
      rows = rows.filter(({ record }) => new RegExp(pattern).test(String(fieldOf(record, name))))
    } else if (present) {
      const [, name = ''] = present
      rows = rows.filter(({ parsed }) => parsed.has(name))
    } else if (parsing) {
      const [, name = '', pattern = ''] = parsing
      for (const { record, parsed } of rows) {
        const groups = new RegExp(pattern).exec(String(fieldOf(record, name)))?.groups ?? {}
        for (const [key, value] of Object.entries(groups)) parsed.set(key, value)
      }
    } else if (alias) {
      const [, name = '', as = ''] = alias
      for (const { record, parsed } of rows) parsed.set(as, String(fieldOf(record, name)))
    } else if (stats) {
      const [, counted = '', by = ''] = stats
      const seen = new Map<string, Set<string>>()
      for (const { parsed } of rows) {
        const group = String(parsed.get(by))
        const value = parsed.get(counted)
        if (value !== undefined) seen.set(group, (seen.get(group) ?? new Set()).add(value))
      }
      result = Object.fromEntries([...seen].map(([group, values]) => [group, values.size]))
    } else throw new Error(`The test does not know this command: ${command}`)
  }
  return result ?? {}
}

test('the rule sends these events to the log', () => {
  const rule = one(production, 'aws:cloudwatch/eventRule:EventRule', 'ScalingEvents')
  const types = texts(at(parse(rule.inputs['eventPattern']), 'detail-type'))
  for (const event of events) assert.ok(types.includes(String(at(event, 'detail-type'))))
})

test('a scale-out counts once however many instances it launches, also if their launch fails', () => {
  assert.equal(run(queryOf('Scale-outs (last 24 h)'), events), {
    // At 09:00 by two instances; at 11:00, whose launch failed.
    'millrace-production-api': 2,
    // At 10:00 by three instances, by the policy whose alarm AWS makes; at 12:00 by a person.
    'millrace-production-worker': 2,
  })
})

test('a scale-in counts once however many instances it terminates', () => {
  assert.equal(run(queryOf('Scale-ins (last 24 h)'), events), {
    'millrace-production-api': 1,
    'millrace-production-worker': 1,
  })
})

test('instance refreshes, unhealthy instances, Spot interruptions and rebalancing count as neither', () => {
  const replacements = events.filter(
    (event) => !/desired capacity from/.test(String(at(event, 'detail', 'Cause'))),
  )
  assert.ok(replacements.length >= 8)
  for (const title of ['Scale-outs (last 24 h)', 'Scale-ins (last 24 h)']) {
    assert.equal(run(queryOf(title), replacements), {})
  }
})

test.run()
