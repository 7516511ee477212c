import { readFile } from 'node:fs/promises'
import { generateTypes, typesFile } from '@millrace/client/generate-types.ts'
import * as assert from 'uvu/assert'
import { startApiInstances } from '../support/api-instances.ts'
import { suite } from '../support/suite.ts'

const test = suite('types of the client')

test('are those of the API (npm run generate -w packages/client)', async () => {
  const api = await startApiInstances()
  try {
    const response = await fetch(`${api.url}/openapi.json`)
    assert.is(await readFile(typesFile, 'utf8'), await generateTypes(await response.text()))
  } finally {
    await api.close()
  }
})

test.run()
