import Type from 'typebox'
import { PresetName } from '../presets/preset.ts'
import { UploadMetadata } from './upload.ts'

/** What a client may say of a file, whichever way the file comes. */
export const intentFields = {
  filename: Type.String({
    pattern: '^[^\\u0000-\\u001f\\u007f]{1,255}$',
    description: 'for people; never part of a key',
  }),
  contentType: Type.String({
    pattern: '^[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(\\s?;[ -~]{0,127})?$',
    description: 'the type that the client declares; what the file is, is told by its bytes',
  }),
  preset: Type.Optional(PresetName),
  sha256: Type.Optional(
    Type.String({ pattern: '^[0-9a-f]{64}$', description: 'rejected if the bytes differ' }),
  ),
  metadata: Type.Optional(UploadMetadata),
}
