import Type from 'typebox'

const TiB = 1024 ** 4
const Quota = Type.Optional(Type.Integer({ minimum: 0 }))

/** The variables that API and workers have to agree on: each of them takes files in. */
export const uploadLimitVariables = {
  MAX_UPLOAD_BYTES: Type.Integer({ default: 5 * TiB, minimum: 1, maximum: 5 * TiB }),
  QUOTA_BYTES_TOTAL: Quota,
  QUOTA_FILES_TOTAL: Quota,
  QUOTA_BYTES_PER_DAY: Quota,
  QUOTA_FILES_PER_DAY: Quota,
  IMPORT_ALLOWED_PORTS: Type.String({ default: '80,443', pattern: '^\\d{1,5}(, ?\\d{1,5})*$' }),
}

/** The same as settings, out of variables that were read. */
export function readUploadLimits(variables: {
  MAX_UPLOAD_BYTES: number
  QUOTA_BYTES_TOTAL?: number
  QUOTA_FILES_TOTAL?: number
  QUOTA_BYTES_PER_DAY?: number
  QUOTA_FILES_PER_DAY?: number
  IMPORT_ALLOWED_PORTS: string
}) {
  return {
    maxUploadBytes: variables.MAX_UPLOAD_BYTES,
    /** Of each owner. */
    quota: {
      bytesTotal: variables.QUOTA_BYTES_TOTAL,
      filesTotal: variables.QUOTA_FILES_TOTAL,
      bytesPerDay: variables.QUOTA_BYTES_PER_DAY,
      filesPerDay: variables.QUOTA_FILES_PER_DAY,
    },
    /** Of the servers that files are imported from. */
    importAllowedPorts: variables.IMPORT_ALLOWED_PORTS.split(',').map(Number),
  }
}
