import { chmod, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EnvironmentError } from '@millrace/shared/service/environment.ts'
import { readConfig } from '@millrace/worker/config.ts'
import { findFfmpeg } from '@millrace/worker/media/find-ffmpeg.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('finding ffmpeg')
const required = {
  REDIS_URL: 'redis://127.0.0.1:6379',
  BUCKET: 'millrace',
  EVENTS_QUEUE_URL: 'http://127.0.0.1:9324/000000000000/events',
}

test('ffmpeg is the first program of that name on PATH, unless FFMPEG names another one or is off', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-path-'))
  const program = join(directory, 'ffmpeg')
  await writeFile(program, '')
  assert.is(findFfmpeg(undefined, `/nowhere:${directory}`), undefined)
  await chmod(program, 0o755)
  assert.is(findFfmpeg(undefined, `.:/nowhere:${directory}`), program)
  assert.is(findFfmpeg('off', directory), undefined)
  assert.is(findFfmpeg(process.execPath, directory), process.execPath)
  assert.is(findFfmpeg(undefined), undefined)
  assert.is(readConfig({ ...required, PATH: directory }).ffmpeg, program)
  assert.is(readConfig({ ...required, PATH: directory, FFMPEG: 'off' }).ffmpeg, undefined)
})

test('FFMPEG that names no program is a problem of the configuration', () => {
  for (const setting of ['ffmpeg', '/nowhere/ffmpeg']) {
    try {
      readConfig({ ...required, FFMPEG: setting })
      assert.unreachable(setting)
    } catch (error) {
      assert.ok(error instanceof EnvironmentError)
      assert.equal(error.problems, ['FFMPEG is neither the absolute path of a program nor "off".'])
    }
  }
})

test.run()
