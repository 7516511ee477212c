import { redriveCommand, reprocessCommand } from '@millrace/shared/command/commands.ts'
import { createProgress } from '@millrace/shared/command/progress.ts'
import { readArguments } from '@millrace/shared/command/read-arguments.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('commands')

test('arguments become values by the names of their options', () => {
  const read = readArguments(redriveCommand, ['--dry-run', '--limit=7'])
  assert.equal(read, {
    kind: 'run',
    values: {
      'dry-run': true,
      list: undefined,
      limit: '7',
      json: false,
      data: undefined,
      help: false,
    },
  })
})

test('wrong arguments are told in one sentence', () => {
  const sentenceOf = (...parameters: string[]) => {
    const read = readArguments(redriveCommand, parameters)
    return read.kind === 'wrong' ? read.sentence : read.kind
  }
  assert.is(sentenceOf('--wet-run'), "Unknown option '--wet-run'; see --help.")
  assert.is(
    sentenceOf('--limit', '0'),
    '--limit must be a whole number from 1 to 1000000000, not "0"; see --help.',
  )
  assert.is(
    sentenceOf('--list', 'many'),
    '--list must be a whole number from 0 to 1000, not "many"; see --help.',
  )
  assert.is(sentenceOf('--limit'), "Option '--limit <value>' argument missing; see --help.")
  assert.is(sentenceOf('--dry-run=yes'), "Option '--dry-run' does not take an argument; see --help.")
  assert.is(sentenceOf('now'), "Unexpected argument 'now'; see --help.")
  assert.is(sentenceOf('--limit', '--json'), "Option '--limit' argument is ambiguous; see --help.")
})

test('the help names each option', () => {
  const read = readArguments(reprocessCommand, ['--help', '--owner', 'x'])
  const text = read.kind === 'help' ? read.text : ''
  assert.match(text, 'Usage: npm run reprocess -- [options]\n')
  for (const name of [
    '--preset NAME',
    '--owner OWNER',
    '--after POSITION',
    '--dry-run',
    '--json',
    '--data DIR',
    '--help',
  ])
    assert.match(text, `  ${name} `)
})

/** Shows states at times in ms. @returns what was written */
function show(isTerminal: boolean, states: [atMs: number, done: number, total?: number][], columns = 80) {
  let nowMs = 0
  const written: string[] = []
  const progress = createProgress({
    stream: { columns, write: (text: string) => written.push(text) },
    isTerminal,
    now: () => nowMs,
  })
  for (const [atMs, done, total] of states) {
    nowMs = atMs
    progress.show({ done, total, text: 'read' })
  }
  progress.clear()
  return written
}

test('on a terminal, progress is one line that is drawn again and removed at the end', () => {
  const erase = '\r\x1b[2K'
  assert.equal(
    show(true, [
      [0, 0, 400],
      [50, 10, 400],
      [4_000, 100, 400],
      [9_000, 500, 400],
    ]),
    [
      `${erase}[${'.'.repeat(24)}]  0 %  0 of about 400 read`,
      `${erase}[${'#'.repeat(6)}${'.'.repeat(18)}] 25 %  100 of about 400 read, 12 s left`,
      // The total was an estimate.
      `${erase}[${'#'.repeat(23)}.] 99 %  500 of about 500 read`,
      erase,
    ],
  )
  assert.equal(show(true, [[0, 1_000_000, 4_000_000]], 30), [
    `${erase}[${'#'.repeat(6)}${'.'.repeat(18)}] 25`,
    erase,
  ])
  // A terminal that does not know its width.
  assert.match(show(true, [[0, 1, 4]], 0).join(''), '1 of about 4 read')
})

test('elsewhere, progress is a line of text each five seconds', () => {
  assert.equal(
    show(false, [
      [0, 1],
      [4_000, 1_200],
      [5_000, 1_300],
      [9_000, 1_400],
      [10_500, 9_000, 10_000],
    ]),
    ['1,300 read\n', '9,000 of about 10,000 read, 2 s left\n'],
  )
})

test.run()
