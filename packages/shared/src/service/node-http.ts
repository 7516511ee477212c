/**
 * Node's module `node:http`. An `import` from it reads all that it exports, and `WebSocket` among it loads undici (fetch): 50 ms of
 * CPU time at the start of each process, of 900 until the modules of a worker are loaded.
 */
export const nodeHttp = process.getBuiltinModule('node:http')
