import { clientNetworks } from '@millrace/shared/network/client-networks.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
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

test('a /48 may use eight times as much as a /64', () => {
  assert.equal(
    clientNetworks('2001:db8:1:2::1').map(({ share }) => share),
    [1, 8],
  )
})

test('property: addresses count to one /64 or /48 exactly if their first 64 or 48 bits are the same', async () => {
  const group = fc.constantFrom('0', '1', 'db8', 'ffff')
  // 2000::/3, so that it is no IPv4 address in IPv6 form.
  const address = fc.tuple(fc.constant('2001'), ...Array.from({ length: 7 }, () => group))
  await checkProperty(
    fc.property(address, address, (one, other) => {
      const [network, site] = namesOf(one.join(':'))
      const [otherNetwork, otherSite] = namesOf(other.join(':'))
      const isSame = (groups: number) => one.slice(0, groups).join() === other.slice(0, groups).join()
      assert.is(network === otherNetwork, isSame(4))
      assert.is(site === otherSite, isSame(3))
      assert.is.not(network, site)
    }),
    { runs: 300 },
  )
})

test('a text that is no address counts alone', () => {
  assert.equal(namesOf('unknown'), ['unknown'])
  assert.equal(namesOf(''), [''])
})

test.run()
