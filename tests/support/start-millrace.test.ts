import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import Type from 'typebox'
import { Value } from 'typebox/value'
import * as assert from 'uvu/assert'
import { allGone, listProcesses } from './process-list.ts'
import { suite } from './suite.ts'

const test = suite('systems that tests start')
const marks: string[] = []

const processesOf = (mark: string) => listProcesses().filter(({ environment }) => environment.includes(mark))

test.after(() => {
  // What a failed test has left.
  for (const { pid } of marks.flatMap(processesOf)) process.kill(pid, 'SIGKILL')
})

/** Runs a program as a process of tests: it creates a sandbox, tells it, and goes on with these statements. */
async function runProgram(statements: string) {
  const code = `
    import { spawn } from 'node:child_process'
    import { createSandbox, startWithNode } from '${new URL('start-millrace.ts', import.meta.url)}'
    const sandbox = await createSandbox()
    const { mark, directory } = sandbox
    const [name, value] = mark.split('=')
    ${statements}
    console.log(JSON.stringify({ mark, directory }))`
  const child = spawn(
    process.execPath,
    ['--conditions=@millrace/source', '--input-type=module', '--eval', code],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const told = Value.Parse(Type.Object({ mark: Type.String(), directory: Type.String() }), JSON.parse(line))
  marks.push(told.mark)
  return { child, ...told }
}

test('a process of tests that exits too early ends what it has started, and deletes its data', async () => {
  const { child, mark, directory } = await runProgram(`
    spawn('sleep', ['600'], { detached: true, stdio: 'ignore', env: { ...process.env, [name]: value } })
    setTimeout(() => process.exit(1))`)
  await once(child, 'close')
  assert.equal(processesOf(mark), [])
  assert.not.ok(existsSync(directory))
})

test('a system ends when the process of tests that has started it is killed', async () => {
  const { child, mark, directory } = await runProgram("startWithNode(sandbox, ['--port', '0'])")
  child.kill('SIGKILL')
  await allGone(mark)
  await rm(directory, { recursive: true })
})

test.run()
