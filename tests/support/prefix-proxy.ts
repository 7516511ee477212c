import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'

// A reverse proxy as its own process (start-prefix-proxy.ts), with one path of its site for the API. It removes the path
// from requests, as nginx does with `proxy_pass http://api/`, and prints all paths for which it has nothing else.

const [prefix = ''] = process.argv.slice(2)
let target = ''

const server = createServer((incoming, outgoing) => {
  const { url = '/' } = incoming
  const rest = url.slice(prefix.length)
  const isInside = url.startsWith(prefix) && /^(?:$|[/?])/.test(rest)
  if (isInside) return forward(incoming, outgoing, rest.startsWith('/') ? rest : `/${rest}`)
  process.send?.({ outside: url })
  outgoing.writeHead(404).end('another app')
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' ? address?.port : undefined })
})
process.on('message', (message: { target: string }) => {
  target = message.target
})

function forward(incoming: IncomingMessage, outgoing: ServerResponse, path: string): void {
  const { hostname, port } = new URL(target)
  const { method, headers } = incoming
  const forwarded = request({ hostname, port, method, path, headers }, (response) => {
    outgoing.writeHead(response.statusCode ?? 502, response.headers)
    pipeline(response, outgoing, () => {})
  })
  forwarded.on('error', () => outgoing.destroy())
  // A client that disconnects, for example from an event stream, ends the request.
  outgoing.on('close', () => forwarded.destroy())
  pipeline(incoming, forwarded, () => {})
}
