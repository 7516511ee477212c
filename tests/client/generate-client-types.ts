import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import { generateTypes, typesFile } from '../../packages/client/generate-types.ts'
import { startApiInstances } from '../support/api-instances.ts'

const program = await provideProgram(redisProgram, (line) => process.stdout.write(`${line}\n`))
const directory = await mkdtemp(join(tmpdir(), 'millrace-generate-'))
const redis = await startRedisServer({ directory, program })
const api = await startApiInstances({ redisUrl: redis.url })
const response = await fetch(`${api.url}/openapi.json`)
await writeFile(typesFile, await generateTypes(await response.text()))
await api.close()
await redis.close()
await rm(directory, { recursive: true })
