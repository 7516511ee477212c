import { randomBytes } from 'node:crypto'
import type { GrowingPlan } from '@millrace/shared/parts/part-plan.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { tusChecksum } from '../../support/tus-client.ts'
import { createTusInMemory, type WriteOutcome } from './support/tus-in-memory.ts'

const test = suite('tus offsets under cut connections')

/** Parts of 8 bytes; from the fourth on they grow and are streamed, as those of files above 78 GiB. */
const growing: GrowingPlan = { partBytes: (number) => 8 + Math.max(0, number - 3) * 5, evenParts: 3 }
const even: GrowingPlan = { partBytes: () => 8, evenParts: 10_000 }

/** A PATCH: how much of the rest it announces, how much of that comes, and in pieces of which size. */
const request = fc.record({
  announced: fc.integer({ min: 1, max: 40 }),
  cutAfter: fc.option(fc.nat({ max: 39 })),
  pieceBytes: fc.integer({ min: 1, max: 20 }),
  checksum: fc.constantFrom('none', 'none', 'right', 'wrong'),
  writes: fc.array(fc.constantFrom<WriteOutcome>('stored', 'stored', 'stored', 'refused', 'response lost'), {
    maxLength: 4,
  }),
})

test('whatever is cut or fails, an offset that was told stays true, and the file is whole at the end', () =>
  checkProperty(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 70 }),
      fc.constantFrom(even, growing),
      fc.array(request, { maxLength: 8 }),
      async (size, plan, requests) => {
        const file = randomBytes(size)
        const tus = createTusInMemory({ size, plan })
        let told = 0
        for (const { announced, cutAfter, pieceBytes, checksum, writes } of requests) {
          const start = await tus.offset()
          if (start === size) break
          const end = Math.min(size, start + announced)
          const isWrong = checksum === 'wrong'
          // Bytes that do not match their checksum were damaged on their way.
          const bytes = isWrong ? damaged(file.subarray(start, end)) : file.subarray(start, end)
          const came = bytes.subarray(0, cutAfter ?? bytes.length)
          const isCut = came.length < bytes.length
          const result = await tus
            .patch({
              chunks: piecesOf(came, pieceBytes),
              length: bytes.length,
              checksum: checksum === 'none' ? undefined : tusChecksum(file.subarray(start, end)),
              writes,
            })
            .catch((error: unknown) => {
              if (error instanceof AppError) return error.code
              throw error
            })
          told = await tus.offset()
          assert.ok(told >= start, `The offset fell from ${start} to ${told}.`)
          assert.ok(
            told <= start + came.length,
            `The offset is ${told}, but ${start + came.length} bytes came.`,
          )
          assert.is(hex(await tus.stored()), hex(file.subarray(0, told)))
          if (isWrong) assert.is(told, start, 'Bytes that do not match their checksum count.')
          if (isCut && checksum === 'right' && writes.length === 0) assert.is(told, start)
          if (!isWrong && !isCut && !writes.some((outcome) => outcome !== 'stored')) {
            assert.equal([result, told], [end, end])
          }
          if (typeof result === 'number') assert.is(told, result, 'The response told another offset.')
        }
        const rest = file.subarray(await tus.offset())
        // Also without further bytes: a request whose last one failed may have stored all of them.
        await tus.patch({ chunks: [rest], length: rest.length }).catch((error) => {
          if (error.code !== 'upload_closed') throw error
        })
        assert.not(tus.hasUnfinished(), 'Unfinished bytes remain of a whole file.')
        assert.is(await tus.offset(), size)
        assert.is(hex(tus.original() ?? Buffer.alloc(0)), hex(file))
      },
    ),
    { runs: 150 },
  ))

/** Other bytes than these in each place. Random ones may be the same. */
const damaged = (bytes: Buffer) => Buffer.from(bytes.map((byte) => byte ^ 1))

const hex = (bytes: Buffer) => bytes.toString('hex')

function piecesOf(bytes: Buffer, pieceBytes: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, index) =>
    bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes),
  )
}

test('an offset that was told stays true if the response to the first unfinished bytes of a streamed part is lost', async () => {
  const file = randomBytes(26)
  const tus = createTusInMemory({ size: 26, plan: growing })
  assert.is(await tus.patch({ chunks: [file.subarray(0, 18)], length: 18 }), 18)
  // The end of the part that was told, then a byte of the next one.
  const next = { chunks: [file.subarray(18, 25)], length: 7, checksum: tusChecksum(file.subarray(18, 25)) }
  const error = await tus.patch({ ...next, writes: ['stored', 'response lost'] }).catch((error) => error)
  assert.is(error.code, 'dependency_unavailable')
  assert.is(await tus.offset(), 25)
})

test('bytes of a cut connection are stored, as far as a part that is collected goes', async () => {
  const file = randomBytes(30)
  const tus = createTusInMemory({ size: 30, plan: even })
  const error = await tus.patch({ chunks: [file.subarray(0, 21)], length: 30 }).catch((error) => error)
  assert.is(error.code, 'invalid_request')
  assert.is(await tus.offset(), 21)
})

test.run()
