import { join } from 'node:path'

/** The program of Node 20, the oldest that clients may use. */
export const node20 = join(import.meta.dirname, '../../clients/node-20/node_modules/.bin/node')
