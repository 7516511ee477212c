export { createClient } from '@millrace/client'
export { Upload as TusUpload } from 'tus-js-client'
// Uppy 6 sends neither cookies nor headers to another origin.
export { default as AwsS3 } from 'uppy-5-aws-s3'
export { default as Uppy } from 'uppy-5-core'
