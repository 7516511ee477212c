import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { createHttpClient } from '../../support/http-client.ts'
import { nodeOptionsWith } from '../../support/process-environment.ts'
import { announce, formOf, sendForm } from '../../support/send-upload.ts'
import { type Services, startServices } from '../../support/start-services.ts'
import { suite } from '../../support/suite.ts'

const test = suite('tracing of processes', {}, { limitMs: 60_000 })
const reportModules = fileURLToPath(
  new URL('../../fixtures/services/report-telemetry-modules.mjs', import.meta.url),
)

/** Sends a text, which needs no decoder, and waits until it is processed. */
async function upload({ api, finished }: Services): Promise<void> {
  const text = new Uint8Array(Buffer.from('some text'))
  const announced = await announce(createHttpClient(api.url), text.length, { contentType: 'text/plain' })
  await sendForm(formOf(announced), text)
  assert.is((await finished({ owner: '', id: announced.id })).state, 'ready')
}

/** Returns the lines of both logs. */
function linesOf({ apiLog, worker }: Services): Record<string, unknown>[] {
  return [...apiLog(), ...worker.log.lines]
}

/**
 * Returns the modules of OpenTelemetry that each of the two processes has loaded. Its API is not one of them: prom-client
 * loads that always, and without an SDK it does nothing.
 */
function loadedBy(lines: Record<string, unknown>[]): string[][] {
  const modules = lines.filter(({ event }) => event === 'telemetry-modules').map((line) => line['modules'])
  assert.is(modules.length, 2)
  return modules.map((paths) =>
    (Array.isArray(paths) ? paths.map(String) : []).filter((path) => !path.includes('/@opentelemetry/api/')),
  )
}

test('without an endpoint, nothing of OpenTelemetry but its API is loaded, and no log line has a trace id', async () => {
  const started = await startServices({
    ANONYMOUS_UPLOADS: 'on',
    NODE_OPTIONS: nodeOptionsWith(reportModules),
    OTEL_SERVICE_NAME: 'unused',
  })
  try {
    await upload(started)
    assert.equal(await started.stop(), [0, 0])
  } finally {
    await started.close()
  }
  const lines = linesOf(started)
  assert.ok(lines.some(({ event }) => event === 'processed'))
  assert.equal(loadedBy(lines), [[], []])
  assert.not.ok(lines.some((line) => 'traceId' in line))
})

test.run()
