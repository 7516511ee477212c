/** Identifies an upload. An id without its owner finds nothing (decision 0004). */
export type UploadAddress = { owner: string; id: string }
