import Type from 'typebox'
import { PresetName } from '../presets/preset.ts'
import { UploadMetadata } from './upload.ts'

/** The fields that a client may declare for a file, in every kind of upload. */
export const intentFields = {
  filename: Type.String({
    // Characters are counted as code points, since patterns are compiled with the flag `u`.
    pattern: '^[^\\u0000-\\u001f\\u007f]{1,255}$',
    description: 'shown to people, up to 255 characters; never part of a key',
  }),
  contentType: Type.String({
    maxLength: 1024,
    description:
      'declared media type. It decides nothing: the file type is detected from the bytes. What is no media type is ' +
      'stored as application/octet-stream',
  }),
  preset: Type.Optional(PresetName),
  sha256: Type.Optional(
    Type.String({
      pattern: '^[0-9A-Fa-f]{64}$',
      description: 'hex. The upload is rejected if the bytes have another SHA-256',
    }),
  ),
  metadata: Type.Optional(UploadMetadata),
}
