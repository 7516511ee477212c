import { outboxPrefix } from '@millrace/shared/ledger/object-keys.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createImporter, type Importer } from '../support/announce-import.ts'
import { type SourceServer, startSourceServer } from '../support/source-server.ts'
import { openOutbox, webhookOf } from '../support/webhooks.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('events of imports')
const owner = 'acme'
let fleet: WorkerFleet
let source: SourceServer
let importer: Importer

test.before(async () => {
  source = await startSourceServer()
  fleet = await startWorkerFleet({
    environment: { IMPORT_ALLOWED_NETWORKS: '127.0.0.1/32', IMPORT_ALLOWED_PORTS: String(source.port) },
  })
  importer = createImporter(fleet, { ports: [source.port], maxUploadBytes: 1024 ** 2, owner })
})
test.after(async () => {
  await importer.close()
  await fleet.close()
  await source.close()
})

test('an import that ends without bytes is told, also if its worker died before it told', async () => {
  const { webhooks, outbox } = openOutbox(fleet)
  await webhooks.create(webhookOf(owner, '1'))
  source.on('/missing', (_request, response) => response.writeHead(404).end())
  const address = await importer.announce(source.url('/missing'))
  const worker = await fleet.startWorker()
  await fleet.finished(address)
  await worker.close()
  const told = await outbox.listOfUpload(tenantKey(owner), address.id)
  assert.equal(
    told.map(({ type, needsNoManifest, upload }) => [
      type,
      needsNoManifest,
      upload.state,
      upload.error?.code,
    ]),
    [['upload.rejected', true, 'rejected', 'source_not_found']],
  )

  for (const event of told) await outbox.remove(event)
  const written = Promise.withResolvers<void>()
  fleet.s3.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      if ('Key' in args.input && String(args.input.Key).startsWith(outboxPrefix)) written.resolve()
      return result
    },
    { step: 'initialize' },
  )
  await importer.imports.add(address)
  const next = await fleet.startWorker()
  await written.promise
  await next.close()
  assert.equal(await outbox.listOfUpload(tenantKey(owner), address.id), told, 'the same event')
})

test.run()
