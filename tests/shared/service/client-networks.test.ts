import { clientNetworks } from '@millrace/shared/service/client-networks.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('client-networks')

const namesOf = (address: string) => clientNetworks(address).map(({ name }) => name)

test('an IPv4 address counts alone, also in its IPv6 forms', () => {
  for (const address of ['192.0.2.7', '::ffff:192.0.2.7', '::ffff:c000:207', '0:0:0:0:0:FFFF:192.0.2.7']) {
    assert.equal(clientNetworks(address), [{ name: '192.0.2.7', share: 1 }], address)
  }
})

test('an IPv6 address counts to its /64 and to its /48, in whichever form it is written', () => {
  const expected = ['2001:db8:1:2::/64', '2001:db8:1::/48']
  for (const address of ['2001:db8:1:2::1', '2001:0DB8:0001:0002:ffff:1:2:3', '2001:db8:1:2::1%eth0']) {
    assert.equal(namesOf(address), expected, address)
  }
  assert.equal(namesOf('2001:db8::1'), ['2001:db8:0:0::/64', '2001:db8:0::/48'])
  assert.equal(namesOf('::1'), ['0:0:0:0::/64', '0:0:0::/48'])
  assert.equal(namesOf('2001:db8:1:2:3:4:5:6'), expected)
})

test('a /48 may use more than a /64, and much less than all of its /64 together', () => {
  const [network, site] = clientNetworks('2001:db8:1:2::1')
  assert.is(network?.share, 1)
  assert.ok((site?.share ?? 0) > 1 && (site?.share ?? 0) < 100)
})

test('a text that is no address counts alone', () => {
  assert.equal(namesOf('unknown'), ['unknown'])
  assert.equal(namesOf(''), [''])
})

test.run()
