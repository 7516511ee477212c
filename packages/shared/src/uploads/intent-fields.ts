import Type from 'typebox'
import { PresetName } from '../presets/preset.ts'
import { UploadMetadata } from './upload.ts'

/** The fields that a client may declare for a file, in every kind of upload. */
export const intentFields = {
  filename: Type.String({
    pattern: '^[^\\u0000-\\u001f\\u007f]{1,255}$',
    description: 'shown to people; never part of a key',
  }),
  contentType: Type.String({
    pattern: '^[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(\\s?;[ -~]{0,127})?$',
    description: 'declared media type. The file type is detected from the bytes',
  }),
  preset: Type.Optional(PresetName),
  sha256: Type.Optional(
    Type.String({
      pattern: '^[0-9a-f]{64}$',
      description: 'hex. The upload is rejected if the bytes have another SHA-256',
    }),
  ),
  metadata: Type.Optional(UploadMetadata),
}
