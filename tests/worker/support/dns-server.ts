import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'

/** RFC 1035, 4.1.1 and 3.2.2, RFC 3596. */
const serverFailure = 2
const noSuchName = 3
const typeOf = { A: 1, AAAA: 28 }

export type DnsServer = Awaited<ReturnType<typeof startDnsServer>>

/** A DNS server on loopback with the names that the test sets. */
export async function startDnsServer() {
  const zone = new Map<string, (query: number) => string[] | 'failure'>()
  const queries = new Map<string, number>()
  const socket = createSocket('udp4')
  socket.on('message', (query, { port, address }) => {
    const { name, type, end } = readQuestion(query)
    const key = `${name} ${type}`
    const count = (queries.get(key) ?? 0) + 1
    queries.set(key, count)
    const result = zone.get(name)?.(count)
    const addresses = Array.isArray(result) ? result : []
    const records = addresses
      .filter((text) => type === (isIPv6(text) ? typeOf.AAAA : typeOf.A))
      .map((text) => record(type, text))
    const failure = result === 'failure' ? serverFailure : 0
    const header = Buffer.alloc(12)
    query.copy(header, 0, 0, 2)
    // A response, with recursion desired and available.
    header.writeUInt16BE(0x8180 | (result === undefined ? noSuchName : failure), 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(records.length, 6)
    socket.send(Buffer.concat([header, query.subarray(12, end), ...records]), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    /** `address:port`, as in IMPORT_DNS_SERVERS. */
    server: `127.0.0.1:${socket.address().port}`,
    /** @param addresses of the name, or a function that returns them for the nth query, or a failure */
    set(name: string, addresses: string[] | 'failure' | ((query: number) => string[])): void {
      zone.set(name, typeof addresses === 'function' ? addresses : () => addresses)
    },
    /** The number of queries for a name's IPv4 addresses. */
    queries: (name: string) => queries.get(`${name} ${typeOf.A}`) ?? 0,
    close: () => void socket.close(),
  }
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

/** An address record of the queried name with a TTL of 0. */
function record(type: number, address: string): Buffer {
  const bytes = isIPv6(address) ? ipv6Bytes(address) : Buffer.from(address.split('.').map(Number))
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(bytes.length, 10)
  return Buffer.concat([head, bytes])
}

function ipv6Bytes(address: string): Buffer {
  const [left = '', right = ''] = address.split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  const missing = 8 - groups(left).length - groups(right).length
  const all = [...groups(left), ...Array.from({ length: missing }, () => '0'), ...groups(right)]
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex')
}
