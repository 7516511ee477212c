import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { generateTypes, typesFile } from '../../packages/client/generate-types.ts'
import { startApiInstances } from '../support/api-instances.ts'
import { suite } from '../support/suite.ts'

const test = suite('generated client types')

test('api-types.ts matches the API: if not, run npm run generate -w packages/client', async () => {
  const api = await startApiInstances()
  try {
    const response = await fetch(`${api.url}/openapi.json`)
    assert.is(await readFile(typesFile, 'utf8'), await generateTypes(await response.text()))
  } finally {
    await api.close()
  }
})

test.run()
