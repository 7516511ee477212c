import { bundleConfig, buildCloud } from './support/mock-cloud.ts'
import { cloudOptions } from './stacks/cloud-options.ts'
const t = () => { const u = process.cpuUsage(); return ((u.user + u.system) / 1e6) }
let a = t()
await bundleConfig()
console.log('bundle', t() - a); a = t()
for (const [name, o] of Object.entries(cloudOptions)) { const w = performance.now(); const c = await buildCloud(o); console.log(name, (t() - a).toFixed(2), (performance.now() - w).toFixed(0), c.resources.length); a = t() }
