'use client'

export { createUploadHooks } from './upload-hooks.ts'
export type { UploadItem } from './upload-item.ts'
export type { UploadListOptions, UploadListView } from './upload-list.ts'
export { useUpload } from './use-upload.ts'
