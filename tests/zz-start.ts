import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { startServices } from './support/start-services.ts'
import { startWorkerFleet } from './worker/support/worker-fleet.ts'
import { startApiProcess } from './support/api-process.ts'
import { randomBytes } from 'node:crypto'
const cpu = (pid) => { const f = readFileSync(`/proc/${pid}/stat`, 'utf8'); const s = f.slice(f.lastIndexOf(')') + 2).split(' '); return [Number(s[11]) / 100, Number(s[12]) / 100] }
const fleet = await startWorkerFleet()
const shared = { ...fleet.environment, LOG_LEVEL: 'info', ...(process.env.OUT && { NODE_DEBUG_NATIVE: 'COMPILE_CACHE' }), PUBLIC_ORIGIN: 'http://localhost:3000', SESSION_KEYS: randomBytes(32).toString('base64'), MAX_EVENT_LOOP_DELAY_MS: '0' }
const idle = Number(process.env.IDLE ?? 0)
for (let i = 0; i < Number(process.env.N ?? 3); i++) {
  if (process.env.WHAT !== 'worker') {
    const api = await startApiProcess({ ...shared, INSTANCE: 'api' })
    const a = cpu(api.pid); await delay(idle); const b = cpu(api.pid)
    console.log('api ready', a, 'idle', b)
    await api.stop(); if (process.env.OUT) (await import('node:fs')).writeFileSync(process.env.OUT, api.lines.join('\n'))
  }
  if (process.env.WHAT !== 'api') {
    const worker = await fleet.spawnWorker({ ...shared, INSTANCE: 'worker' })
    const a = cpu(worker.pid); await delay(idle); const b = cpu(worker.pid)
    console.log('worker ready', a, 'idle', b)
    worker.kill('SIGTERM'); await worker.exit()
  }
}
await fleet.close()
