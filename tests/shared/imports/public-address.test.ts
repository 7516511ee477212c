import { BlockList } from 'node:net'
import { createPublicAddress } from '@millrace/shared/imports/public-address.ts'
import { isAddressBlock } from '@millrace/shared/network/address-block.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('public address')
const isPermitted = createPublicAddress([])

test('public addresses are permitted', () => {
  const addresses = [
    '1.1.1.1',
    '93.184.216.34',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '100.63.255.255',
    '100.128.0.0',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450:4001:80b::200e',
    '::ffff:1.1.1.1',
    '64:ff9b::1.1.1.1',
  ]
  assert.equal(
    addresses.filter((address) => !isPermitted(address)),
    [],
  )
})

test('addresses that are not public are refused', () => {
  const addresses = [
    // "this" network, private, shared, loopback, link-local and with it the metadata of clouds
    ...['0.0.0.0', '0.1.2.3', '10.0.0.1', '10.255.255.255', '100.64.0.1', '100.100.100.200', '127.0.0.1'],
    ...['127.255.255.254', '169.254.0.1', '169.254.169.254', '169.254.170.2', '172.16.0.1', '172.31.255.255'],
    ...['192.168.0.1', '192.168.255.255', '168.63.129.16'],
    // protocol assignments, documentation, benchmarks, multicast, reserved, broadcast
    ...['192.0.0.1', '192.0.0.192', '192.0.2.1', '192.88.99.1', '198.18.0.1', '198.19.255.255'],
    ...['198.51.100.1', '203.0.113.1', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255'],
    // the same in IPv6
    ...[
      '::',
      '::1',
      'fe80::1',
      'fe80::1%lo',
      'fec0::1',
      'fc00::1',
      'fd00:ec2::254',
      'fd12:3456::1',
      'ff02::1',
    ],
    ...['100::1', '2001:db8::1', '2001::1', '2001:2::1', '2001:10::1', '2001:20::1', '3fff::1', '5f00::1'],
    ...['4000::1', '8000::1'],
    // IPv4 inside of IPv6: compatible, mapped, translated, NAT64, 6to4
    ...[
      '::7f00:1',
      '::127.0.0.1',
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '::ffff:a9fe:a9fe',
      '::ffff:0:7f00:1',
    ],
    ...['64:ff9b::7f00:1', '64:ff9b::169.254.169.254', '64:ff9b::10.0.0.1', '64:ff9b:1::1.1.1.1'],
    ...['2002:7f00:1::1', '2002:a9fe:a9fe::1', '2002:101:101::1'],
    // not addresses, or not in the form of resolved ones
    ...['', 'localhost', '127.1', '2130706433', '0x7f.0.0.1', '0177.0.0.1', '1.1.1.1.', ' 1.1.1.1', '[::1]'],
  ]
  assert.equal(
    addresses.filter((address) => isPermitted(address)),
    [],
  )
})

test('allowed networks are permitted, and their neighbours are not', () => {
  const isAllowed = createPublicAddress(['127.0.0.0/8', '192.168.7.9', 'fd00::/8', 'fe80::/10'])
  for (const address of ['127.0.0.1', '::ffff:127.0.0.1', '192.168.7.9', 'fd01::1', 'fe80::1', '1.1.1.1']) {
    assert.ok(isAllowed(address), address)
  }
  for (const address of ['192.168.7.8', '10.0.0.1', '::1', '::ffff:10.0.0.1']) {
    assert.not.ok(isAllowed(address), address)
  }
})

test('addresses of metadata and credential services are never permitted', () => {
  const isAllowed = createPublicAddress(['0.0.0.0/0', '::/0'])
  assert.ok(isAllowed('10.0.0.1'))
  for (const address of ['169.254.169.254', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe']) {
    assert.not.ok(isAllowed(address), address)
  }
  for (const address of ['fd00:ec2::254', '168.63.129.16', '169.254.170.23']) {
    assert.not.ok(isAllowed(address), address)
  }
})

/** RFC 6890, checked with another implementation. */
const special = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
  ['168.63.129.16', 32],
] as const) {
  special.addSubnet(net, bits)
}

/** Half of the values are next to the edges of blocks, where mistakes are likely. */
const ipv4 = fc
  .tuple(
    fc.oneof(
      fc.nat({ max: 255 }),
      fc.constantFrom(0, 10, 100, 127, 168, 169, 172, 192, 198, 203, 224, 240, 255),
    ),
    fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 16, 31, 32, 63, 64, 127, 128, 168, 254)),
    fc.nat({ max: 255 }),
    fc.nat({ max: 255 }),
  )
  .map((octets) => octets.join('.'))

test('every form of an IPv4 address is permitted or refused as in RFC 6890', async () => {
  await checkProperty(
    fc.property(ipv4, (address) => {
      const expected = !special.check(address)
      for (const form of [address, `::ffff:${address}`, `64:ff9b::${address}`]) {
        assert.is(isPermitted(form), expected, form)
      }
    }),
    { runs: 2000 },
  )
})

test('IPv6 addresses outside of global unicast are refused', async () => {
  const groups = fc.array(fc.nat({ max: 0xffff }), { minLength: 7, maxLength: 7 })
  await checkProperty(
    fc.property(fc.nat({ max: 0xffff }), groups, (first, rest) => {
      const address = [first, ...rest].map((group) => group.toString(16)).join(':')
      if (first < 0x2000 || first > 0x3fff) assert.not.ok(isPermitted(address), address)
    }),
  )
})

test('any text is permitted or refused without an exception', async () => {
  await checkProperty(
    fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.webAuthority()), (text) => {
      assert.type(isPermitted(text), 'boolean')
      assert.type(isAddressBlock(text), 'boolean')
    }),
  )
})

test('allowed networks accept addresses and CIDR blocks only', () => {
  for (const text of ['10.0.0.0/8', '127.0.0.1', '::1', 'fd00::/8', '::/0'])
    assert.ok(isAddressBlock(text), text)
  const wrong = ['10/8', '127.1', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', 'fe80::1%lo', 'localhost', '']
  for (const text of wrong) assert.not.ok(isAddressBlock(text), text)
})

test.run()
