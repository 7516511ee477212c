import { partLimit } from '@millrace/shared/parts/part-plan.ts'
import Type from 'typebox'

export const PartNumber = Type.Integer({ minimum: 1, maximum: partLimit })

export const PartEtag = Type.String({
  minLength: 1,
  maxLength: 256,
  description: "ETag header of S3's response to the part",
})

export const PartUrlView = Type.Object(
  { partNumber: Type.Integer(), url: Type.String({ description: 'PUT the bytes of the part to this URL' }) },
  { title: 'PartUrl' },
)

/** Limit of a body that lists the parts of a file: 10,000 parts of some 60 bytes each. */
export const completeBodyLimitBytes = 2 * 1024 * 1024
